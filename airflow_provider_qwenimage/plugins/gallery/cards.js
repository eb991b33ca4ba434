// Draws images and failures.

import { element } from "./element.js";
import { language, t } from "./language.js";
import { marks } from "./marks.js";
import { texts } from "./plain.js";
import { downloadAddress, imageAddress } from "./scope.js";

const UNITS = ["bytes", "kB", "MB", "GB"];

function size(bytes) {
  const step = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), UNITS.length - 1);
  return `${(bytes / 1000 ** step).toFixed(step ? 1 : 0)} ${UNITS[step]}`;
}

export function money(amount, currency) {
  return `${Number(amount.toFixed(4))}${currency ? ` ${currency}` : ""}`;
}

const isNumber = (value) => typeof value === "number";

function facts(image) {
  const pixels = image.width && image.height ? `${image.width} × ${image.height}` : image.size;
  return [
    ...image.labels,
    [t("model"), image.model],
    [t("size"), [pixels, isNumber(image.bytes) ? size(image.bytes) : null].filter(Boolean).join(", ")],
    [t("seed"), image.seed],
    [t("cost"), isNumber(image.cost) ? money(image.cost, image.currency) : null],
    [t("mark"), image.uri ? marks(image) : null],
    [t("task"), image.owner.name],
    [t("request"), image.request_id],
    [t("uri"), image.uri],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
}

/** What the filter looks at. */
export function text(image) {
  return [image.prompt, image.revised_prompt, ...facts(image).flat()].join("\n").toLowerCase();
}

async function reason(address) {
  try {
    const { ok, status } = await fetch(address);
    return ok ? t("browserCannot") : t(status === 404 ? "imageGone" : "notShown", { status });
  } catch {
    return t("noAnswer");
  }
}

function picture(image, open) {
  const address = imageAddress(image.owner, image.uri);
  const shown = element("img", { alt: image.prompt ?? "", loading: "lazy", decoding: "async", width: image.width, height: image.height });
  const button = element("button", { type: "button", className: "picture", title: t("openFull") }, shown);
  button.setAttribute("aria-label", t("openNamed", { name: image.prompt ?? image.uri }));
  button.addEventListener("click", () => open(image, button));
  shown.addEventListener("error", async () => button.replaceWith(blank(await reason(address))));
  shown.src = address;
  return button;
}

function blank(words) {
  return element("div", { className: "picture blank" }, element("p", { textContent: words }));
}

function unstored(image) {
  const time = image.expires_at && new Date(image.expires_at).toLocaleString(language);
  return blank([t("unstored"), ...(time ? [t("linkDies", { time })] : [])].join(" "));
}

function actions(image) {
  const copy = element("button", { type: "button", textContent: t("copyUri") });
  copy.addEventListener("click", async () => {
    copy.textContent = t((await copied(image.uri)) ? "copied" : "notAllowed");
    setTimeout(() => (copy.textContent = t("copyUri")), 2000);
  });
  const download = element("a", { href: downloadAddress(image.owner, image.uri), download: "", className: "button", textContent: t("download") });
  return element("div", { className: "actions" }, copy, download);
}

/** The clipboard is for pages served over TLS; a selection can be copied everywhere. */
async function copied(words) {
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    const field = element("textarea", { value: words, className: "hidden" });
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

export function card(image, open) {
  const details = element("dl");
  for (const [name, value] of facts(image)) {
    details.append(element("dt", { textContent: name }), element("dd", { textContent: String(value), title: String(value) }));
  }
  const item = element(
    "li",
    { className: "card" },
    image.uri ? picture(image, open) : unstored(image),
    element("p", { className: "prompt", textContent: image.prompt ?? "", title: image.revised_prompt ?? image.prompt ?? "" }),
    details,
  );
  if (image.uri) {
    item.append(actions(image));
  }
  return item;
}

/** A failed request of a batch names its row and its prompt. */
export function failure({ owner, index, where, labels, prompt, reason: words }) {
  const named = texts(labels).map(([name, value]) => `${name} ${value}`).join(", ");
  const place = [owner.name, where, isNumber(index) ? t("imageNumber", { index }) : null, named, prompt ? t("quoted", { words: prompt }) : null];
  const told = element("strong", { textContent: `${place.filter(Boolean).join(", ")}: ` });
  return element("li", {}, told, String(words ?? t("noReason")));
}
