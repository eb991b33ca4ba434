// The images to choose from: those near the view are drawn; one of all is reached by Tab, the others by the arrows.

import { Grid } from "./grid.js";
import { Tile } from "./tile.js";

const LINES = 2; // the buttons take more room than what a run tells of an image

export class Tiles {
  #images;
  #acts;
  #tiles = new WeakMap(); // by their cards
  #held = [];
  #current = 0;
  #tile = null; // the current one

  /** `acts` are open(image, from) and compare(image, from). */
  constructor(list, images, choice, acts) {
    this.#images = images;
    this.#acts = acts;
    this.grid = new Grid(list, (image) => this.#card(image, choice), LINES);
    choice.watch((uris) => {
      const changed = new Set(uris);
      this.#drawn.forEach(([image, tile]) => changed.has(image.uri) && tile.update());
    });
    list.addEventListener("keydown", (event) => this.#press(event));
    list.addEventListener("focusin", (event) => this.#enter(this.grid.placeOf(event.target) ?? this.#current));
    this.grid.show(images);
    this.#enter(0);
  }

  /** Show which ones are held for a comparison. */
  hold(images) {
    this.#held = images;
    this.#drawn.forEach(([image, tile]) => tile.hold(images.includes(image)));
  }

  get #drawn() {
    return this.grid.cards.map(([image, card]) => [image, this.#tiles.get(card)]);
  }

  #card(image, choice) {
    const tile = new Tile(image, choice, this.#acts);
    this.#tiles.set(tile.item, tile);
    tile.reach(image === this.#images[this.#current]);
    tile.hold(this.#held.includes(image));
    return tile.item;
  }

  /** Only one tile's buttons are on the way of the Tab key; it is there wherever the view is. */
  #enter(at) {
    this.#current = at;
    this.#tile = this.#tiles.get(this.grid.keep(at));
    this.#drawn.forEach(([, tile]) => tile.reach(tile === this.#tile));
  }

  #go(step) {
    this.#enter(Math.min(Math.max(this.#current + step, 0), this.#images.length - 1));
    const { item, picture } = this.#tile;
    picture.focus({ preventScroll: true });
    item.scrollIntoView({ block: "nearest" });
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const image = this.#images[this.#current];
    const { picture, verdict } = this.#tile;
    const isWriting = event.target.closest("textarea") !== null;
    const acts = isWriting
      ? { Escape: () => picture.focus() }
      : {
          ArrowLeft: () => this.#go(-1),
          ArrowRight: () => this.#go(1),
          ArrowUp: () => this.#go(-this.grid.columns),
          ArrowDown: () => this.#go(this.grid.columns),
          Home: () => this.#go(-this.#images.length),
          End: () => this.#go(this.#images.length),
          x: () => verdict.reject.disabled || verdict.turnDown(),
          c: () => this.#acts.compare(image, picture),
          ...(event.target === picture ? { Enter: () => this.#acts.open(image, picture) } : {}),
        };
    if (acts[event.key]) {
      event.preventDefault();
      acts[event.key]();
    }
  }
}
