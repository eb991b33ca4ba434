// Images in full size, one or several side by side, zoomed and moved together. Arrows go on, 1 shows every pixel.

import { button, element } from "./element.js";
import { nameOf } from "./facts.js";
import { t } from "./language.js";
import { Pane } from "./pane.js";

const CLOSE_ENOUGH = 0.005; // of what can be moved: a place is a whole pixel of each

export class Viewer {
  #caption;
  #images = [];
  #sides = [];
  #at = []; // which images are shown; the last one is the one that goes on
  #isActual = false;
  #from = null;

  /**
   * `caption` makes what stands below an image: its `element`, `show(image, { alone })`, and in `acts` what keys do.
   */
  constructor(caption) {
    this.#caption = caption;
    this.place = element("span", { id: "viewer-place", className: "wide" });
    this.place.setAttribute("role", "status");
    this.previous = button("←", () => this.#go(-1), { id: "viewer-previous", ariaLabel: t("previous") });
    this.next = button("→", () => this.#go(1), { id: "viewer-next", ariaLabel: t("next") });
    this.pixels = button("1:1", () => this.#turn(), { id: "viewer-pixels", title: t("pixelsHint") });
    const close = button(t("close"), () => this.dialog.close(), { id: "viewer-close" });
    this.stage = element("div", { id: "viewer-stage", className: "stage" });
    const bar = element("div", { className: "bar" }, this.place, this.previous, this.next, this.pixels, close);
    this.dialog = element("dialog", { id: "viewer", ariaLabel: t("fullSize") }, bar, this.stage);
    this.dialog.addEventListener("turn", () => this.#turn());
    this.dialog.addEventListener("close", () => this.#closed());
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener("keydown", (event) => this.#press(event));
    document.body.append(this.dialog);
  }

  /** Show some of these images, by default all of them; the focus goes back to `from`. */
  open(images, from, shown = images) {
    this.#images = images;
    this.#from = from;
    this.#at = shown.map((image) => images.indexOf(image));
    while (this.#sides.length < shown.length) {
      this.#sides.push(this.#side());
    }
    this.#sides.forEach(({ figure }, side) => (figure.hidden = side >= shown.length));
    this.previous.hidden = this.next.hidden = images.length === shown.length;
    this.#zoom(false);
    this.dialog.showModal();
    shown.forEach((_, side) => this.#show(side));
    this.#sides[0].pane.stage.focus();
  }

  /** What stands below the images. */
  get captions() {
    return this.#sides.map(({ caption }) => caption);
  }

  #side() {
    const pane = new Pane((place) => this.#shown.forEach((other) => other.pane !== pane && this.#follow(other.pane, place)));
    const caption = this.#caption();
    const figure = element("figure", {}, pane.stage, element("figcaption", {}, caption.element));
    this.stage.append(figure);
    return { pane, caption, figure };
  }

  get #shown() {
    return this.#sides.slice(0, this.#at.length);
  }

  /** Each moves the others; what is there already is not moved again. */
  #follow(pane, { x, y }) {
    const { place } = pane;
    if (this.#isActual && Math.abs(place.x - x) + Math.abs(place.y - y) > CLOSE_ENOUGH) {
      pane.move({ x, y });
    }
  }

  #show(side) {
    const image = this.#images[this.#at[side]];
    const { pane, caption } = this.#sides[side];
    pane.show(image, nameOf(image));
    caption.show(image, { alone: this.#at.length === 1 });
    const [last, count] = [this.#at.at(-1), this.#images.length];
    const isAll = count > 1 && this.#at.length === count;
    this.place.textContent = isAll ? t("compared", { count }) : this.#at.map((at) => t("place", { at: at + 1, count })).join(" | ");
    this.previous.disabled = last === 0;
    this.next.disabled = last === count - 1;
  }

  #go(step) {
    const side = this.#at.length - 1;
    if (!this.next.hidden) {
      this.#at[side] = Math.min(Math.max(this.#at[side] + step, 0), this.#images.length - 1);
      this.#show(side);
    }
  }

  #turn() {
    this.#zoom(!this.#isActual);
  }

  #zoom(isActual) {
    this.#isActual = isActual;
    this.pixels.setAttribute("aria-pressed", String(isActual));
    this.#sides.forEach(({ pane }) => pane.zoom(isActual));
  }

  /** Images in full size are large: those that nobody looks at are let go. */
  #closed() {
    this.#sides.forEach(({ pane }) => pane.clear());
    this.#from?.focus();
  }

  /** The side that has the focus; without one, the one that goes on. */
  get #active() {
    return this.#shown.find(({ figure }) => figure.contains(document.activeElement)) ?? this.#shown.at(-1);
  }

  #press(event) {
    if (event.target.closest("textarea") || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const isOnButton = event.target.closest("button") !== null;
    const isOnImage = event.target.closest(".canvas") !== null;
    const acts = {
      1: () => this.#turn(),
      ...this.#active.caption.acts?.({ isOnButton }),
      // In full size the arrows move the image, as the browser does it.
      ...(this.#isActual && isOnImage ? {} : { ArrowLeft: () => this.#go(-1), ArrowRight: () => this.#go(1) }),
    };
    if (acts[event.key]) {
      event.preventDefault();
      acts[event.key]();
    }
  }
}
