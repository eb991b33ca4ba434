// One image in full size, with the keyboard: arrows go on, Escape closes.

import { find } from "./element.js";
import { t } from "./language.js";
import { imageAddress } from "./scope.js";

export class Viewer {
  #images = () => [];
  #at = 0;
  #from = null;

  constructor() {
    this.dialog = find("viewer");
    find("viewer-close").addEventListener("click", () => this.dialog.close());
    find("viewer-previous").addEventListener("click", () => this.#go(-1));
    find("viewer-next").addEventListener("click", () => this.#go(1));
    this.dialog.addEventListener("close", () => this.#from?.focus());
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) {
        this.#go(step);
      }
    });
  }

  /** Show `image`; `images` returns what lies to its sides. */
  open(image, from, images) {
    this.#images = images;
    this.#from = from;
    this.#at = Math.max(images().indexOf(image), 0);
    this.#show();
    this.dialog.showModal();
  }

  #go(step) {
    const last = this.#images().length - 1;
    this.#at = Math.min(Math.max(this.#at + step, 0), last);
    this.#show();
  }

  #show() {
    const images = this.#images();
    const image = images[this.#at];
    const shown = find("viewer-image");
    shown.src = imageAddress(image.owner, image.uri);
    shown.alt = image.prompt ?? "";
    find("viewer-prompt").textContent = image.prompt ?? image.uri;
    find("viewer-place").textContent = t("place", { at: this.#at + 1, count: images.length });
    find("viewer-previous").disabled = this.#at === 0;
    find("viewer-next").disabled = this.#at === images.length - 1;
  }
}
