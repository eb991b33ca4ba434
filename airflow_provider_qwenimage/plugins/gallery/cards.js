// Draws images and failures. All text is set as text: a prompt is never HTML.

import { marks } from "./marks.js";
import { texts } from "./plain.js";
import { downloadAddress, imageAddress } from "./scope.js";

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

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
    ["Model", image.model],
    ["Size", [pixels, isNumber(image.bytes) ? size(image.bytes) : null].filter(Boolean).join(", ")],
    ["Seed", image.seed],
    ["Cost", isNumber(image.cost) ? money(image.cost, image.currency) : null],
    ["Mark", image.uri ? marks(image) : null],
    ["Task", image.owner.name],
    ["Request", image.request_id],
    ["URI", image.uri],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
}

/** What the filter looks at. */
export function text(image) {
  return [image.prompt, image.revised_prompt, ...facts(image).flat()].join("\n").toLowerCase();
}

async function reason(address) {
  try {
    const answer = await fetch(address);
    const { detail } = await answer.json();
    return typeof detail === "string" ? detail : `The image cannot be shown (${answer.status}).`;
  } catch {
    return "This browser cannot show the image; download it instead.";
  }
}

function picture(image, open) {
  const address = imageAddress(image.owner, image.uri);
  const shown = element("img", { alt: image.prompt ?? "", loading: "lazy", decoding: "async", width: image.width, height: image.height });
  const button = element("button", { type: "button", className: "picture", title: "Open in full size" }, shown);
  button.setAttribute("aria-label", `Open in full size: ${image.prompt ?? image.uri}`);
  button.addEventListener("click", () => open(image, button));
  shown.addEventListener("error", async () => button.replaceWith(blank(await reason(address))));
  shown.src = address;
  return button;
}

function blank(words) {
  return element("div", { className: "picture blank" }, element("p", { textContent: words }));
}

function unstored(image) {
  const until = image.expires_at ? ` Its link dies at ${new Date(image.expires_at).toLocaleString()}.` : "";
  return blank(`Made, and not stored by this run so far.${until}`);
}

function actions(image) {
  const copy = element("button", { type: "button", textContent: "Copy URI" });
  copy.addEventListener("click", async () => {
    copy.textContent = (await copied(image.uri)) ? "Copied" : "Not allowed";
    setTimeout(() => (copy.textContent = "Copy URI"), 2000);
  });
  const download = element("a", { href: downloadAddress(image.owner, image.uri), download: "", className: "button", textContent: "Download" });
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
  const place = [owner.name, where, isNumber(index) ? `image ${index}` : null, named, prompt ? `“${prompt}”` : null];
  const told = element("strong", { textContent: `${place.filter(Boolean).join(", ")}: ` });
  return element("li", {}, told, String(words ?? "no reason given"));
}
