// One image in full size, or two side by side that are zoomed and moved together.

import { element, find } from "./element.js";
import { t } from "./language.js";
import { Pane } from "./pane.js";
import { Verdict } from "./verdict.js";

const MOST = 2;

export class Comparison {
  #images;
  #called;
  #sides = [];
  #at = []; // which images are shown; the last one is the one that goes on
  #isActual = false;
  #from = null;

  /** `called` names an image. */
  constructor(images, choice, called) {
    this.#images = images;
    this.#called = called;
    this.dialog = find("comparison");
    for (let side = 0; side < MOST; side += 1) {
      this.#sides.push(this.#side(side, choice));
    }
    find("panes").append(...this.#sides.map(({ figure }) => figure));
    find("comparison-close").addEventListener("click", () => this.dialog.close());
    find("comparison-previous").addEventListener("click", () => this.#go(-1));
    find("comparison-next").addEventListener("click", () => this.#go(1));
    find("comparison-actual").addEventListener("click", () => this.#turn());
    this.dialog.addEventListener("turn", () => this.#turn());
    this.dialog.addEventListener("close", () => this.#from?.focus());
    this.dialog.addEventListener("keydown", (event) => this.#press(event));
    choice.watch(() => this.#sides.forEach(({ verdict }) => verdict.update()));
  }

  /** Show the images at these places; the focus goes back to `from`. */
  open(at, from) {
    this.#at = at;
    this.#from = from;
    this.#sides.forEach(({ figure }, side) => (figure.hidden = side >= at.length));
    this.#zoom(false);
    this.dialog.showModal();
    at.forEach((_, side) => this.#show(side));
    this.#sides[0].pane.stage.focus();
  }

  /** Let it be looked at, and no more. */
  close() {
    this.#sides.forEach(({ verdict }) => verdict.close());
  }

  #side(side, choice) {
    const pane = new Pane((place) => this.#sides.forEach((other, at) => at !== side && this.#follow(other.pane, place)));
    const verdict = new Verdict(choice);
    const words = element("p", { className: "caption" });
    const figure = element("figure", {}, pane.stage, element("figcaption", {}, words, verdict.element));
    return { pane, verdict, words, figure };
  }

  /** Each moves the other; what is there already is not moved again. */
  #follow(pane, { x, y }) {
    const { place } = pane;
    if (this.#isActual && Math.abs(place.x - x) + Math.abs(place.y - y) > 0.005) {
      pane.move({ x, y });
    }
  }

  #show(side) {
    const image = this.#images[this.#at[side]];
    const { pane, verdict, words } = this.#sides[side];
    const name = this.#called(image);
    pane.show(image, name);
    verdict.of(image.uri, name);
    words.textContent = [name, image.prompt].filter(Boolean).join(": ");
    const last = this.#at.at(-1);
    find("comparison-place").textContent = this.#at.map((at) => t("place", { at: at + 1, count: this.#images.length })).join(" | ");
    find("comparison-previous").disabled = last === 0;
    find("comparison-next").disabled = last === this.#images.length - 1;
  }

  #go(step) {
    const side = this.#at.length - 1;
    this.#at[side] = Math.min(Math.max(this.#at[side] + step, 0), this.#images.length - 1);
    this.#show(side);
  }

  #turn() {
    this.#zoom(!this.#isActual);
  }

  #zoom(isActual) {
    this.#isActual = isActual;
    find("comparison-actual").setAttribute("aria-pressed", String(isActual));
    this.#sides.forEach(({ pane }) => pane.zoom(isActual));
  }

  /** The side that has the focus; without one, the one that goes on. */
  get #active() {
    const held = this.#sides.find(({ figure }) => figure.contains(document.activeElement));
    return held ?? this.#sides[this.#at.length - 1];
  }

  #press(event) {
    if (event.target.closest("textarea") || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const { verdict } = this.#active;
    const isOnButton = event.target.closest("button") !== null;
    const acts = {
      1: () => this.#turn(),
      x: () => verdict.reject.disabled || verdict.turnDown(),
      ...(isOnButton ? {} : { " ": () => verdict.choose.click() }),
      // In full size the arrows move the image, as the browser does it.
      ...(this.#isActual && !isOnButton ? {} : { ArrowLeft: () => this.#go(-1), ArrowRight: () => this.#go(1) }),
    };
    if (acts[event.key]) {
      event.preventDefault();
      acts[event.key]();
    }
  }
}
