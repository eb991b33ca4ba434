// An image to choose from: small, with its name, its prompt, and what can be done with it.

import { button, element } from "./element.js";
import { nameOf } from "./facts.js";
import { t } from "./language.js";
import { thumbnailAddress } from "./scope.js";
import { Verdict } from "./verdict.js";

export class Tile {
  #image;
  #choice;
  #buttons;

  /** `acts` are open(image, from) and compare(image, from). */
  constructor(image, choice, acts) {
    this.#image = image;
    this.#choice = choice;
    const name = nameOf(image);
    this.verdict = new Verdict(choice);
    this.verdict.of(image.uri, name);
    this.picture = this.#picture(name);
    const zoom = button(t("zoom"), () => acts.open(image, this.picture), { ariaLabel: t("openNamed", { name }) });
    this.compare = button(t("sideBySide"), () => acts.compare(image, this.picture), { ariaLabel: t("compareNamed", { name }) });
    this.verdict.reject.after(zoom, this.compare);
    this.#buttons = [this.picture, this.verdict.choose, this.verdict.reject, zoom, this.compare];
    this.item = this.#item(name);
    this.update();
  }

  /** Show what is chosen by now. */
  update() {
    this.item.dataset.state = this.#choice.state(this.#image.uri);
    this.picture.setAttribute("aria-pressed", String(this.item.dataset.state === "chosen"));
    this.picture.setAttribute("aria-disabled", String(this.#choice.isClosed));
    this.verdict.update();
  }

  /** Whether it waits to be compared with another one. */
  hold(isHeld) {
    this.compare.setAttribute("aria-pressed", String(isHeld));
  }

  /** Whether its buttons are on the way of the Tab key. */
  reach(isReached) {
    this.#buttons.forEach((button) => (button.tabIndex = isReached ? 0 : -1));
  }

  #picture(name) {
    const { prompt, owner, uri } = this.#image;
    const shown = element("img", { alt: prompt ?? name, decoding: "async" });
    shown.addEventListener("error", () => shown.hasAttribute("src") && shown.replaceWith(element("p", { className: "blank", textContent: t("imageGone") })));
    shown.src = thumbnailAddress(owner, uri);
    const picture = element("button", { type: "button", className: "picture" }, shown);
    picture.setAttribute("aria-label", t("choose", { name: [name, prompt].filter(Boolean).join(": ") }));
    picture.addEventListener("click", () => this.verdict.choose.click());
    return picture;
  }

  /** The comment lies on the picture: a tile is of one height, whatever is said of it. */
  #item(name) {
    const labels = this.#image.labels.map(([label, value]) => `${label} ${value}`).join(", ");
    const told = [name, labels].filter(Boolean).join(" · ");
    const prompt = this.#image.prompt ?? "";
    return element(
      "li",
      { className: "card" },
      this.picture,
      this.verdict.comment,
      element("p", { className: "file", textContent: told, title: told }),
      element("p", { className: "prompt", textContent: prompt, title: prompt }),
      this.verdict.element,
    );
  }
}
