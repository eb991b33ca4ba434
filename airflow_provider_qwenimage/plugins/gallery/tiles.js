// The images to choose from: as many drawn as are looked at, one of them reached by Tab, the others by the arrows.

import { element } from "./element.js";
import { t } from "./language.js";
import { thumbnailAddress } from "./scope.js";
import { Verdict } from "./verdict.js";

const STEP = 36; // tiles drawn at a time

export class Tiles {
  #images;
  #choice;
  #acts;
  #drawn = [];
  #current = 0;

  /** `acts` are open(at, from) and compare(at, from); `acts.called` names an image. */
  constructor(grid, more, images, choice, acts) {
    Object.assign(this, { grid, more });
    this.#images = images;
    this.#choice = choice;
    this.#acts = acts;
    const places = new Map(images.map(({ uri }, at) => [uri, at]));
    choice.watch((uris) => uris.forEach((uri) => this.#drawn[places.get(uri)]?.update()));
    grid.addEventListener("keydown", (event) => this.#press(event));
    grid.addEventListener("focusin", (event) => this.#enter(this.#drawn.findIndex(({ item }) => item.contains(event.target))));
  }

  /** Draw further ones while the end of the page is near. */
  draw() {
    while (this.#drawn.length < this.#images.length && this.more.getBoundingClientRect().top < innerHeight * 2) {
      this.#further();
    }
  }

  /** Show which ones are held for a comparison. */
  hold(places) {
    this.#drawn.forEach(({ compare }, at) => compare.setAttribute("aria-pressed", String(places.includes(at))));
  }

  /** Let them be looked at, and no more. */
  close() {
    this.isClosed = true;
    this.#drawn.forEach((tile) => tile.close());
  }

  #further() {
    const next = this.#images.slice(this.#drawn.length, this.#drawn.length + STEP);
    const tiles = next.map((image, step) => this.#tile(image, this.#drawn.length + step));
    this.#drawn.push(...tiles);
    this.grid.append(...tiles.map(({ item }) => item));
    tiles.forEach((tile) => tile.update());
    if (this.isClosed) {
      tiles.forEach((tile) => tile.close());
    }
    this.#enter(this.#current);
  }

  #tile(image, at) {
    const name = this.#acts.called(image);
    const verdict = new Verdict(this.#choice);
    verdict.of(image.uri, name);
    const shown = element("img", { alt: image.prompt ?? name, loading: "lazy", decoding: "async", width: image.width, height: image.height });
    const picture = element("button", { type: "button", className: "picture" }, shown);
    picture.setAttribute("aria-label", t("choose", { name: [name, image.prompt].filter(Boolean).join(": ") }));
    picture.addEventListener("click", () => verdict.choose.click());
    shown.addEventListener("error", () => shown.replaceWith(element("p", { className: "blank", textContent: t("imageGone") })));
    shown.src = thumbnailAddress(image.owner, image.uri);
    const open = element("button", { type: "button", textContent: t("zoom") });
    open.setAttribute("aria-label", t("openNamed", { name }));
    open.addEventListener("click", () => this.#acts.open(at, picture));
    const compare = element("button", { type: "button", textContent: t("sideBySide") });
    compare.setAttribute("aria-label", t("compareNamed", { name }));
    compare.setAttribute("aria-pressed", "false");
    compare.addEventListener("click", () => this.#acts.compare(at, picture));
    verdict.reject.after(open, compare);
    const labels = image.labels.map(([label, value]) => `${label} ${value}`).join(", ");
    const words = element("p", { className: "prompt", textContent: image.prompt ?? "", title: image.prompt ?? "" });
    const item = element("li", { className: "card" }, picture, element("p", { className: "file", textContent: [name, labels].filter(Boolean).join(" · ") }), words, verdict.element);
    const update = () => {
      item.dataset.state = this.#choice.state(image.uri);
      picture.setAttribute("aria-pressed", String(item.dataset.state === "chosen"));
      verdict.update();
    };
    return { item, picture, verdict, compare, update, buttons: [picture, verdict.choose, verdict.reject, open, compare], close: () => this.#closed(picture, verdict) };
  }

  #closed(picture, verdict) {
    verdict.close();
    picture.setAttribute("aria-disabled", "true");
  }

  /** Only one tile's buttons are on the way of the Tab key. */
  #enter(at) {
    if (at < 0) {
      return;
    }
    this.#current = at;
    this.#drawn.forEach(({ buttons }, other) => buttons.forEach((button) => (button.tabIndex = other === at ? 0 : -1)));
  }

  get #columns() {
    const first = this.#drawn[0]?.item.offsetTop;
    const next = this.#drawn.findIndex(({ item }) => item.offsetTop !== first);
    return next < 0 ? this.#drawn.length : next;
  }

  #go(step) {
    const at = Math.min(Math.max(this.#current + step, 0), this.#images.length - 1);
    while (at >= this.#drawn.length) {
      this.#further();
    }
    this.#drawn[at].picture.focus();
    this.#drawn[at].item.scrollIntoView({ block: "nearest" });
    this.draw();
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const { picture, verdict } = this.#drawn[this.#current];
    const isWriting = event.target.closest("textarea") !== null;
    const acts = isWriting
      ? { Escape: () => picture.focus() }
      : {
          ArrowLeft: () => this.#go(-1),
          ArrowRight: () => this.#go(1),
          ArrowUp: () => this.#go(-this.#columns),
          ArrowDown: () => this.#go(this.#columns),
          Home: () => this.#go(-this.#images.length),
          End: () => this.#go(this.#images.length),
          x: () => verdict.reject.disabled || verdict.turnDown(),
          c: () => this.#acts.compare(this.#current, picture),
          ...(event.target === picture ? { Enter: () => this.#acts.open(this.#current, picture) } : {}),
        };
    if (acts[event.key]) {
      event.preventDefault();
      acts[event.key]();
    }
  }
}
