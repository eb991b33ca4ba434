// Draws images, small: what tells one from another; the rest is told beside its full size.

import { element } from "./element.js";
import { isNumber, money, nameOf, pixels } from "./facts.js";
import { language, t } from "./language.js";
import { thumbnailAddress } from "./scope.js";

async function reason(address) {
  try {
    const { ok, status } = await fetch(address);
    return ok ? t("browserCannot") : t(status === 404 ? "imageGone" : "notShown", { status });
  } catch {
    return t("noAnswer");
  }
}

/** A small picture that opens its image. */
export function picture(image, open) {
  const address = thumbnailAddress(image.owner, image.uri);
  const shown = element("img", { alt: image.prompt ?? "", decoding: "async" });
  const button = element("button", { type: "button", className: "picture", title: t("openFull") }, shown);
  button.setAttribute("aria-label", t("openNamed", { name: [nameOf(image), image.prompt].filter(Boolean).join(": ") }));
  button.addEventListener("click", () => open(image, button));
  shown.addEventListener("error", async () => {
    if (shown.hasAttribute("src")) {
      button.replaceWith(blank(await reason(address)));
    }
  });
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

function labels(image) {
  const words = image.labels.map(([name, value]) => `${name}: ${value}`);
  return element("p", { className: "labels", title: words.join("\n") }, ...words.map((textContent) => element("span", { textContent })));
}

const quiet = (image) =>
  [image.model, pixels(image), isNumber(image.cost) ? `${image.estimate ? "≈ " : ""}${money(image.cost, image.currency)}` : null].filter(Boolean).join(" · ");

/** Tell on its card what became known of an image since. */
export function retell(drawn, image) {
  drawn.querySelector(".quiet").textContent = quiet(image);
}

/** The card of an image with `more` at its end; where it can be chosen, `chosen` tells whether it is, `choose` is called when a person changes that. */
export function card(image, { open, chosen, choose, more = [] }) {
  const name = nameOf(image);
  const title = element("label", { className: "name", title: image.uri ?? "" }, element("span", { textContent: name }));
  if (image.uri && choose) {
    const box = element("input", { type: "checkbox", checked: chosen(image) });
    box.setAttribute("aria-label", t("choose", { name }));
    box.addEventListener("change", (event) => choose(image, box.checked, event));
    title.prepend(box);
  }
  return element(
    "li",
    { className: "card" },
    image.uri ? picture(image, open) : unstored(image),
    title,
    element("p", { className: "prompt", textContent: image.prompt ?? "", title: image.revised_prompt ?? image.prompt ?? "" }),
    element("p", { className: "quiet", textContent: quiet(image) }),
    labels(image),
    ...more,
  );
}
