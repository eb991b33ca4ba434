// Images in full size, one or several side by side, fitted or pixel by pixel. Arrows go on, 1 switches, Escape closes.

import { copied } from "./chosen.js";
import { element, find } from "./element.js";
import { facts, nameOf } from "./facts.js";
import { t } from "./language.js";
import { downloadAddress, imageAddress } from "./scope.js";

export class Viewer {
  #images = () => [];
  #compared = [];
  #at = 0;
  #from = null;

  constructor() {
    this.dialog = find("viewer");
    find("viewer-close").addEventListener("click", () => this.dialog.close());
    find("viewer-previous").addEventListener("click", () => this.#go(-1));
    find("viewer-next").addEventListener("click", () => this.#go(1));
    find("viewer-pixels").addEventListener("click", () => this.#switch());
    this.dialog.addEventListener("close", () => this.#closed());
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Show `image`; `images` returns what lies to its sides. */
  open(image, from, images) {
    this.#images = images;
    this.#compared = [];
    this.#at = Math.max(images().indexOf(image), 0);
    this.#begin(from);
  }

  /** Show some images side by side. */
  compare(images, from) {
    this.#compared = images;
    this.#begin(from);
  }

  #begin(from) {
    this.#from = from;
    this.#switch(true);
    this.#show();
    if (!this.dialog.open) {
      this.dialog.showModal();
    }
  }

  #closed() {
    find("viewer-stage").replaceChildren();
    this.#from?.focus();
  }

  #key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const panning = find("viewer-stage").classList.contains("pixels") && event.target.classList.contains("pane");
    if (step && !panning && this.#compared.length === 0) {
      this.#go(step);
    } else if (event.key === "1") {
      this.#switch();
    }
  }

  #go(step) {
    const last = this.#images().length - 1;
    this.#at = Math.min(Math.max(this.#at + step, 0), last);
    this.#show();
  }

  #switch(whole = find("viewer-stage").classList.contains("pixels")) {
    find("viewer-stage").classList.toggle("pixels", !whole);
    find("viewer-pixels").setAttribute("aria-pressed", String(!whole));
  }

  #show() {
    const images = this.#images();
    const several = this.#compared.length > 0;
    const shown = several ? this.#compared : [images[this.#at]];
    find("viewer-stage").replaceChildren(...shown.map((image) => pane(image, shown.length > 1)));
    find("viewer-place").textContent = several ? t("compared", { count: shown.length }) : t("place", { at: this.#at + 1, count: images.length });
    find("viewer-previous").hidden = find("viewer-next").hidden = several;
    find("viewer-previous").disabled = this.#at === 0;
    find("viewer-next").disabled = this.#at === images.length - 1;
    find("viewer-about").replaceChildren(...(several ? [] : about(shown[0])));
  }
}

function about(image) {
  const details = element("dl");
  for (const [name, value] of facts(image)) {
    details.append(element("dt", { textContent: name }), element("dd", { textContent: String(value) }));
  }
  const copy = element("button", { type: "button", textContent: t("copyUri") });
  copy.addEventListener("click", async () => {
    copy.textContent = t((await copied(image.uri)) ? "copied" : "notAllowed");
  });
  const download = element("a", { href: downloadAddress(image.owner, image.uri), download: "", className: "button", textContent: t("download") });
  const prompts = [image.prompt, image.revised_prompt].filter(Boolean).map((textContent) => element("p", { textContent }));
  return [...prompts, details, element("div", { className: "actions" }, copy, download)];
}

/** One image in a part of the stage of its own; dragging moves all of them, so that they show the same place. */
function pane(image, named) {
  const shown = element("img", { src: imageAddress(image.owner, image.uri), alt: image.prompt ?? "", draggable: false });
  const box = element("div", { className: "pane", tabIndex: 0 }, shown);
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", nameOf(image));
  box.addEventListener("pointerdown", (event) => box.setPointerCapture(event.pointerId));
  box.addEventListener("pointermove", (event) => event.buttons === 1 && box.scrollBy(-event.movementX, -event.movementY));
  box.addEventListener("scroll", () => {
    for (const other of box.closest(".stage").querySelectorAll(".pane")) {
      if (other !== box && (other.scrollLeft !== box.scrollLeft || other.scrollTop !== box.scrollTop)) {
        other.scrollTo(box.scrollLeft, box.scrollTop);
      }
    }
  });
  return element("figure", {}, box, ...(named ? [element("figcaption", { textContent: nameOf(image) })] : []));
}
