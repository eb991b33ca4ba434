// A list of cards of one height that draws only those near the view: of 5,000 images the page holds some dozens.
// The card that had the focus last stays, at its place out of view: the keys go on from it, and what is typed arrives.

const AHEAD = 1; // views drawn above and below the one that is seen
const WORDS = 124; // pixels of a card below its picture
const LINE = 18; // pixels of a further line

export class Grid {
  #list;
  #words;
  #make;
  #items = [];
  #drawn = new Map(); // position: card
  #waiting = false;
  #kept = null; // the place of a card that is never dropped

  /** `make` draws the card of an item, which has so many `lines` more than those of a run. */
  constructor(list, make, lines = 0) {
    this.#list = list;
    this.#words = WORDS + lines * LINE;
    this.#make = make;
    const later = () => this.#later();
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", later, { passive: true });
    list.addEventListener("focusin", (event) => (this.#kept = this.placeOf(event.target) ?? this.#kept));
  }

  /** Show other items; those that stay where they are keep their cards. */
  show(items) {
    for (const [place, card] of this.#drawn) {
      if (items[place] !== this.#items[place]) {
        this.#drop(place, card);
        this.#kept = place === this.#kept ? null : this.#kept;
      }
    }
    this.#items = items;
    this.#draw();
  }

  /** The cards that are drawn, by their items. */
  get cards() {
    return [...this.#drawn].map(([place, card]) => [this.#items[place], card]);
  }

  get columns() {
    return getComputedStyle(this.#list).gridTemplateColumns.split(" ").length;
  }

  /** Where the card lies that holds `element`. */
  placeOf(element) {
    return [...this.#drawn].find(([, card]) => card.contains(element))?.[0];
  }

  /** Draw the card at `place`, wherever the view is, and keep it; return it. */
  keep(place) {
    this.#kept = place;
    this.#draw();
    return this.#drawn.get(place);
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
    const style = getComputedStyle(this.#list);
    const [columns, gap] = [style.gridTemplateColumns.split(" "), parseFloat(style.rowGap)];
    const width = parseFloat(columns[0]);
    const row = Math.round(width) + this.#words;
    const rows = Math.ceil(this.#items.length / columns.length);
    const above = -this.#list.getBoundingClientRect().top;
    const bounded = (number) => Math.min(Math.max(number, 0), rows);
    const first = bounded(Math.floor((above - AHEAD * innerHeight) / (row + gap)));
    const last = bounded(Math.ceil((above + (1 + AHEAD) * innerHeight) / (row + gap)));
    this.#list.style.gridAutoRows = `${row}px`;
    this.#list.style.paddingTop = `${first * (row + gap)}px`;
    this.#list.style.paddingBottom = `${(rows - last) * (row + gap)}px`;
    const isNear = this.#fill(first * columns.length, Math.min(last * columns.length, this.#items.length));
    for (const [place, card] of this.#drawn) {
      const [line, column] = [Math.floor(place / columns.length), place % columns.length];
      const at = { top: line * (row + gap), left: column * (width + gap), width, height: row };
      card.classList.toggle("far", !isNear(place));
      Object.entries(at).forEach(([name, pixels]) => (card.style[name] = isNear(place) ? "" : `${pixels}px`));
    }
  }

  /** Draw the cards from `first` to before `end`, and the one that is kept; return which places are among the former. */
  #fill(first, end) {
    const isNear = (place) => place >= first && place < end;
    const places = Array.from({ length: end - first }, (_, at) => first + at);
    if (this.#kept !== null && this.#kept < this.#items.length && !isNear(this.#kept)) {
      places.push(this.#kept);
      places.sort((one, other) => one - other);
    }
    const wanted = new Set(places);
    for (const [place, card] of this.#drawn) {
      if (!wanted.has(place)) {
        this.#drop(place, card);
      }
    }
    let before = null;
    for (const place of places.reverse()) {
      const card = this.#drawn.get(place) ?? this.#card(place);
      if (card.nextSibling !== before || !card.parentNode) {
        this.#list.insertBefore(card, before);
      }
      card.setAttribute("aria-setsize", this.#items.length);
      before = card;
    }
    return isNear;
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
