// One image on a stage: the whole of it, or each of its pixels on one of the screen's, and then moved by hand.

import { element } from "./element.js";
import { imageAddress } from "./scope.js";

export class Pane {
  #isActual = false;
  #from = null;

  /** `moved` is called with the place that is looked at, when the person has moved it. */
  constructor(moved) {
    this.picture = element("img", { draggable: false, decoding: "async" });
    this.stage = element("div", { className: "canvas", tabIndex: 0 }, this.picture);
    this.stage.setAttribute("role", "group");
    this.picture.addEventListener("load", () => this.#fit());
    this.stage.addEventListener("scroll", () => moved(this.place), { passive: true });
    this.stage.addEventListener("dblclick", () => this.stage.dispatchEvent(new CustomEvent("turn", { bubbles: true })));
    this.stage.addEventListener("pointerdown", (event) => this.#grip(event));
    this.stage.addEventListener("pointermove", (event) => this.#drag(event));
    this.stage.addEventListener("pointerup", () => this.#release());
    this.stage.addEventListener("pointercancel", () => this.#release());
  }

  show(image, name) {
    this.picture.alt = name;
    this.stage.setAttribute("aria-label", name);
    this.picture.src = imageAddress(image.owner, image.uri);
  }

  clear() {
    this.picture.removeAttribute("src");
  }

  zoom(isActual) {
    this.#isActual = isActual;
    this.#fit();
  }

  /** Which part is looked at: 0 is the left or upper end of what can be moved, 1 the other one. */
  get place() {
    const { scrollLeft, scrollTop, scrollWidth, scrollHeight, clientWidth, clientHeight } = this.stage;
    return { x: scrollLeft / Math.max(scrollWidth - clientWidth, 1), y: scrollTop / Math.max(scrollHeight - clientHeight, 1) };
  }

  move({ x, y }) {
    const { scrollWidth, scrollHeight, clientWidth, clientHeight } = this.stage;
    this.stage.scrollTo(x * (scrollWidth - clientWidth), y * (scrollHeight - clientHeight));
  }

  #fit() {
    this.stage.classList.toggle("actual", this.#isActual);
    this.picture.style.width = this.#isActual ? `${this.picture.naturalWidth / devicePixelRatio}px` : "";
    if (this.#isActual) {
      this.move({ x: 0.5, y: 0.5 });
    }
  }

  #grip(event) {
    if (this.#isActual && event.button === 0) {
      this.#from = { x: event.clientX + this.stage.scrollLeft, y: event.clientY + this.stage.scrollTop };
      this.stage.setPointerCapture(event.pointerId);
      this.stage.classList.add("held");
    }
  }

  #drag(event) {
    if (this.#from) {
      this.stage.scrollTo(this.#from.x - event.clientX, this.#from.y - event.clientY);
    }
  }

  #release() {
    this.#from = null;
    this.stage.classList.remove("held");
  }
}
