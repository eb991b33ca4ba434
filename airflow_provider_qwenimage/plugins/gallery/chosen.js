// The images a person has chosen, and what can be done with all of them at once.

import { element, find } from "./element.js";
import { t } from "./language.js";
import { zipAddresses } from "./scope.js";

const COMPARED = 4; // side by side; more are too small to tell apart

export class Chosen {
  #images = new Map(); // by URI: what is read anew stays chosen
  #last = null;
  #changed;

  /** `shown` returns the images that can be chosen, `compare` shows some side by side, `changed` is told of a change. */
  constructor({ shown, compare, changed }) {
    this.#changed = changed;
    this.shown = shown;
    find("choose-all").addEventListener("click", () => this.#set(shown()));
    find("choose-none").addEventListener("click", () => this.#set([]));
    find("compare").addEventListener("click", (event) => compare([...this.#images.values()], event.currentTarget));
    find("copy").addEventListener("click", () => this.#copy());
  }

  has(image) {
    return this.#images.has(image.uri);
  }

  /** Choose an image or not; with the shift key all between it and the last one. */
  choose(image, wanted, { shiftKey = false } = {}) {
    const shown = this.shown();
    const [from, to] = [shown.indexOf(shiftKey && this.#last ? this.#last : image), shown.indexOf(image)];
    const range = shown.slice(Math.min(from, to), Math.max(from, to) + 1);
    for (const one of range.length > 0 ? range : [image]) {
      this.#images.delete(one.uri);
      if (wanted) {
        this.#images.set(one.uri, one);
      }
    }
    this.#last = image;
    this.#tell();
  }

  /** Forget those that are no longer there. */
  keep(images) {
    this.#set(images.filter((image) => image.uri && this.has(image)));
  }

  #set(images) {
    this.#images = new Map(images.map((image) => [image.uri, image]));
    this.#tell();
  }

  #tell() {
    const images = [...this.#images.values()];
    find("chosen").hidden = images.length === 0;
    find("chosen-count").textContent = t("chosenCount", { count: images.length });
    find("compare").disabled = images.length < 2 || images.length > COMPARED;
    const addresses = zipAddresses(images);
    const link = (href, at) => element("a", { href, download: "", className: "button", textContent: addresses.length > 1 ? t("zipPart", { at: at + 1, count: addresses.length }) : t("zip") });
    find("zips").replaceChildren(...addresses.map(link));
    this.#changed();
  }

  async #copy() {
    const done = await copied([...this.#images.keys()].join("\n"));
    find("copy").textContent = t(done ? "copied" : "notAllowed");
    setTimeout(() => (find("copy").textContent = t("copyUris")), 2000);
  }
}

/** The clipboard is for pages served over TLS; a selection can be copied everywhere. */
export async function copied(words) {
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    const field = element("textarea", { value: words, className: "hidden" });
    (document.querySelector("dialog[open]") ?? document.body).append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
