// A list of cards of one height that draws only those near the view: of 5,000 images the page holds some dozens.

const AHEAD = 1; // views drawn above and below the one that is seen
const GAP = 16; // pixels between cards, as the style sheet has it
const WORDS = 124; // pixels of a card below its picture
const LINE = 18; // pixels of a further line

export class Grid {
  #list;
  #words;
  #make;
  #items = [];
  #drawn = new Map(); // position: card
  #waiting = false;

  /** `make` draws the card of an item, which has so many `lines` more than those of a run. */
  constructor(list, make, lines = 0) {
    this.#list = list;
    this.#words = WORDS + lines * LINE;
    this.#make = make;
    const later = () => this.#later();
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", later, { passive: true });
  }

  /** Show other items; those that stay where they are keep their cards. */
  show(items) {
    for (const [place, card] of this.#drawn) {
      if (items[place] !== this.#items[place]) {
        this.#drop(place, card);
      }
    }
    this.#items = items;
    this.#draw();
  }

  /** The cards that are drawn, by their items. */
  get cards() {
    return [...this.#drawn].map(([place, card]) => [this.#items[place], card]);
  }

  #later() {
    if (!this.#waiting) {
      this.#waiting = true;
      requestAnimationFrame(() => {
        this.#waiting = false;
        this.#draw();
      });
    }
  }

  #draw() {
    const columns = getComputedStyle(this.#list).gridTemplateColumns.split(" ");
    const row = Math.round(parseFloat(columns[0])) + this.#words;
    const rows = Math.ceil(this.#items.length / columns.length);
    const above = -this.#list.getBoundingClientRect().top;
    const bounded = (number) => Math.min(Math.max(number, 0), rows);
    const first = bounded(Math.floor((above - AHEAD * innerHeight) / (row + GAP)));
    const last = bounded(Math.ceil((above + (1 + AHEAD) * innerHeight) / (row + GAP)));
    this.#list.style.gridAutoRows = `${row}px`;
    this.#list.style.paddingTop = `${first * (row + GAP)}px`;
    this.#list.style.paddingBottom = `${(rows - last) * (row + GAP)}px`;
    this.#fill(first * columns.length, Math.min(last * columns.length, this.#items.length));
  }

  #fill(first, end) {
    for (const [place, card] of this.#drawn) {
      if (place < first || place >= end) {
        this.#drop(place, card);
      }
    }
    let before = null;
    for (let place = end - 1; place >= first; place -= 1) {
      const card = this.#drawn.get(place) ?? this.#card(place);
      if (card.nextSibling !== before || !card.parentNode) {
        this.#list.insertBefore(card, before);
      }
      card.setAttribute("aria-setsize", this.#items.length);
      before = card;
    }
  }

  #card(place) {
    const card = this.#make(this.#items[place]);
    card.setAttribute("aria-posinset", place + 1);
    this.#drawn.set(place, card);
    return card;
  }

  /** What goes out of view asks for nothing more. */
  #drop(place, card) {
    card.querySelectorAll("img").forEach((image) => image.removeAttribute("src"));
    card.remove();
    this.#drawn.delete(place);
  }
}
