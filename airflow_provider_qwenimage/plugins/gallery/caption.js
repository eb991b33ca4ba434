// What is decided below an image that is looked at in full size.

import { element } from "./element.js";
import { nameOf } from "./facts.js";
import { Verdict } from "./verdict.js";

export class Caption {
  #verdict;

  constructor(choice) {
    this.#verdict = new Verdict(choice);
    this.words = element("p", { className: "caption" });
    this.element = element("div", {}, this.words, this.#verdict.element);
    choice.watch(() => this.#verdict.update());
  }

  show(image) {
    this.#verdict.of(image.uri, nameOf(image));
    this.words.textContent = [nameOf(image), image.prompt].filter(Boolean).join(": ");
  }

  /** What keys do; on a button the space bar presses that one. */
  acts({ isOnButton }) {
    const { choose, reject } = this.#verdict;
    const turnDown = { x: () => reject.disabled || this.#verdict.turnDown() };
    return isOnButton ? turnDown : { ...turnDown, " ": () => choose.click() };
  }
}
