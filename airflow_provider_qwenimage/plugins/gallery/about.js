// What is known of an image that is looked at in full size; of several side by side, their names.

import { copied } from "./chosen.js";
import { button, element } from "./element.js";
import { facts, nameOf } from "./facts.js";
import { t } from "./language.js";
import { downloadAddress } from "./scope.js";

export class About {
  constructor() {
    this.element = element("div", { className: "about", tabIndex: 0, role: "group", ariaLabel: t("about") });
  }

  show(image, { alone }) {
    this.element.replaceChildren(...(alone ? all(image) : [nameOf(image)]));
  }
}

function all(image) {
  const details = element("dl");
  for (const [name, value] of facts(image)) {
    details.append(element("dt", { textContent: name }), element("dd", { textContent: String(value) }));
  }
  const copy = button(t("copyUri"), async () => {
    copy.textContent = t((await copied(image.uri)) ? "copied" : "notAllowed");
  });
  const download = element("a", { href: downloadAddress(image.owner, image.uri), download: "", className: "button", textContent: t("download") });
  const prompts = [image.prompt, image.revised_prompt].filter(Boolean).map((textContent) => element("p", { textContent }));
  return [...prompts, details, element("div", { className: "actions" }, copy, download)];
}
