// The two buttons under an image, and the field for what is to be done better.

import { button, element } from "./element.js";
import { t } from "./language.js";

export class Verdict {
  #choice;
  #uri = "";

  /** `name` is what the image is called to those who do not see it. */
  constructor(choice) {
    this.#choice = choice;
    this.choose = button(t("pick"), () => choice.toggle(this.#uri), { className: "choose" });
    this.reject = button(t("reject"), () => this.turnDown(), { className: "reject" });
    this.comment = element("textarea", { rows: 2, maxLength: 2000, placeholder: t("commentHint"), hidden: true });
    this.comment.addEventListener("input", () => choice.say(this.#uri, this.comment.value));
    this.element = element("div", { className: "verdict" }, this.choose, this.reject, this.comment);
  }

  /** Reject the image, and go where it is said why. */
  turnDown() {
    this.#choice.reject(this.#uri);
    if (!this.comment.hidden) {
      this.comment.focus();
    }
  }

  of(uri, name) {
    this.#uri = uri;
    this.choose.setAttribute("aria-label", t("choose", { name }));
    this.reject.setAttribute("aria-label", t("rejectNamed", { name }));
    this.comment.setAttribute("aria-label", t("commentNamed", { name }));
    this.update();
  }

  update() {
    const state = this.#choice.state(this.#uri);
    this.choose.setAttribute("aria-pressed", String(state === "chosen"));
    this.reject.setAttribute("aria-pressed", String(state === "rejected"));
    this.choose.disabled = this.reject.disabled = this.comment.readOnly = this.#choice.isClosed;
    this.comment.hidden = state !== "rejected";
    const comment = this.#choice.comment(this.#uri);
    if (this.comment.value !== comment) {
      this.comment.value = comment;
    }
  }
}
