// What a person has chosen and rejected so far, and whether it may be answered so. Knows no page.

export class Choice {
  #uris;
  #chosen = new Set();
  #rejected = new Map(); // comments by URI
  #watchers = [];
  isClosed = false;

  /** `minimum` and `maximum` bound how many may be chosen. */
  constructor(uris, { minimum = 1, maximum = null } = {}) {
    this.#uris = uris;
    this.minimum = minimum;
    this.maximum = Math.min(maximum ?? uris.length, uris.length);
  }

  /** Call `work` after every change with the URIs it concerns. */
  watch(work) {
    this.#watchers.push(work);
  }

  /** Let it be looked at, and no more. */
  close() {
    this.isClosed = true;
    this.#changed(this.#uris);
  }

  /** "chosen", "rejected", or "" where nothing was decided. */
  state(uri) {
    return this.#chosen.has(uri) ? "chosen" : this.#rejected.has(uri) ? "rejected" : "";
  }

  comment(uri) {
    return this.#rejected.get(uri) ?? "";
  }

  toggle(uri) {
    if (!this.#chosen.delete(uri)) {
      this.#rejected.delete(uri);
      this.#chosen.add(uri);
    }
    this.#changed([uri]);
  }

  /** Reject an image; one that is rejected is no more. */
  reject(uri) {
    if (!this.#rejected.delete(uri)) {
      this.#chosen.delete(uri);
      this.#rejected.set(uri, "");
    }
    this.#changed([uri]);
  }

  say(uri, comment) {
    if (this.#rejected.has(uri)) {
      this.#rejected.set(uri, comment);
      this.#changed([uri]);
    }
  }

  /** Choose whatever is not rejected. */
  all() {
    this.#chosen = new Set(this.#uris.filter((uri) => !this.#rejected.has(uri)));
    this.#changed(this.#uris);
  }

  none() {
    this.#chosen.clear();
    this.#changed(this.#uris);
  }

  get uris() {
    return this.#uris;
  }

  get total() {
    return this.#uris.length;
  }

  get chosen() {
    return this.#chosen.size;
  }

  get rejected() {
    return this.#rejected.size;
  }

  /** Why it cannot be answered so: the name of a text and its values; null where it can. */
  get problem() {
    if (this.chosen < this.minimum) {
      return ["chooseMore", { count: this.minimum - this.chosen }];
    }
    return this.chosen > this.maximum ? ["chooseFewer", { count: this.chosen - this.maximum }] : null;
  }

  /** What is answered; comments of nothing but spaces are none. */
  get answer() {
    const said = [...this.#rejected].map(([uri, comment]) => [uri, comment.trim()]).filter(([, comment]) => comment);
    return { approved: this.#uris.filter((uri) => this.#chosen.has(uri)), comments: Object.fromEntries(said) };
  }

  /** All of it as plain JSON, and back; what is not among the images is left out. */
  get draft() {
    return { chosen: [...this.#chosen], rejected: [...this.#rejected] };
  }

  restore(draft) {
    const list = (value) => (Array.isArray(value) ? value : []);
    const known = new Set(this.#uris);
    this.#chosen = new Set(list(draft?.chosen).filter((uri) => known.has(uri)));
    const rejected = list(draft?.rejected).filter((one) => Array.isArray(one) && known.has(one[0]) && !this.#chosen.has(one[0]));
    this.#rejected = new Map(rejected.map(([uri, comment]) => [uri, String(comment ?? "")]));
    this.#changed(this.#uris);
  }

  #changed(uris) {
    this.#watchers.forEach((work) => work(uris));
  }
}
