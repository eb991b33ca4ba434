// The page: reads, filters, and draws as much as is looked at.

import { Refused } from "./api.js";
import { card, failure, money, text } from "./cards.js";
import { collect } from "./collect.js";
import { element, find } from "./element.js";
import { t, translate } from "./language.js";
import { isMarked } from "./marks.js";
import { manifestAddress, scope } from "./scope.js";
import { followTheme } from "./theme.js";
import { Viewer } from "./viewer.js";

const STEP = 36; // cards drawn at a time
const ids = ["grid", "more", "filter", "unmarked", "summary", "notice", "failures", "manifest"];
const [grid, more, filter, unmarked, summary, notice, failures, manifest] = ids.map(find);
const viewer = new Viewer();

let images = [];
let known = new Set(); // URIs: the images of a campaign are told by its shards, and by the task that closes it
let shown = []; // those the filter leaves
let spent = []; // what images cost that are not shown
let notes = [];
let isReading = false;
let reading = 0; // only the latest reading may draw

function say(...words) {
  notice.replaceChildren(...words.map((word) => element("p", { textContent: word })));
  notice.hidden = words.length === 0;
}

function open(image, from) {
  viewer.open(image, from, () => shown.filter((one) => one.uri));
}

/** Draw further cards while the end of the page is near. */
function draw() {
  while (grid.children.length < shown.length && more.getBoundingClientRect().top < innerHeight * 2) {
    const next = shown.slice(grid.children.length, grid.children.length + STEP);
    grid.append(...next.map((image) => card(image, open)));
  }
}

function order(one, other) {
  const task = one.owner.taskId.localeCompare(other.owner.taskId);
  return task || one.owner.mapIndex - other.owner.mapIndex || one.index - other.index;
}

function select() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = images.filter((image) => words.every((word) => text(image).includes(word)));
  shown = unmarked.checked ? wanted.filter((image) => image.uri && !isMarked(image)) : wanted;
}

function redraw() {
  select();
  grid.replaceChildren();
  draw();
  report();
}

function costs() {
  const sums = new Map();
  for (const { cost, currency } of [...images, ...spent].filter((one) => typeof one.cost === "number")) {
    sums.set(currency, (sums.get(currency) ?? 0) + cost);
  }
  return [...sums].map(([currency, sum]) => money(sum, currency)).join(" + ");
}

/** One set has one manifest; a run may have many. */
function link() {
  const stored = images.filter((image) => image.uri);
  const owners = new Set(stored.map((image) => image.owner.name));
  manifest.hidden = owners.size !== 1;
  if (owners.size === 1) {
    manifest.href = manifestAddress(stored[0].owner);
  }
}

function report() {
  link();
  const numbers = { shown: shown.length, count: images.length };
  const count = t(shown.length === images.length ? "count" : "countOf", numbers);
  const cost = costs();
  const made = cost ? t("withCost", { count, cost }) : count;
  summary.textContent = isReading ? t("stillReading", { summary: made }) : made;
  if (isReading) {
    return;
  }
  if (images.length === 0 && spent.length === 0 && failures.hidden) {
    say(t(scope.taskId ? "taskStoredNone" : "runStoredNone"), t("appearHere"), ...notes);
  } else {
    say(...(images.length > 0 && shown.length === 0 ? [t("noMatch")] : []), ...notes);
  }
}

function page(turn) {
  const current = (work) => (...values) => (turn === reading ? work(...values) : undefined);
  return {
    images: current((found) => {
      const further = found.filter((image) => !image.uri || !known.has(image.uri));
      further.forEach((image) => known.add(image.uri));
      images.push(...further);
      images.sort(order);
      select();
      // What is drawn stays where it is unless something came before it.
      const drawn = shown.slice(0, grid.children.length);
      if (further.some((image) => drawn.includes(image))) {
        grid.replaceChildren();
      }
      draw();
      report();
    }),
    priced: current(redraw),
    spent: current((usage) => {
      spent.push(usage);
      report();
    }),
    note: current((words) => notes.push(words)),
    failures: current((found) => {
      if (found.length > 0) {
        const all = failures.querySelector("ul") ?? failures.appendChild(element("ul"));
        all.append(...found.map(failure));
        failures.hidden = false;
      }
    }),
  };
}

async function read() {
  reading += 1;
  const turn = reading;
  [images, known, spent, notes, isReading] = [[], new Set(), [], [], true];
  failures.hidden = true;
  failures.replaceChildren(element("h2", { textContent: t("failures") }));
  say();
  redraw();
  try {
    await collect(page(turn));
  } catch (error) {
    if (!(error instanceof Refused)) {
      console.error(error);
    }
    notes.push(error instanceof Refused ? error.message : t("failedReading"));
  }
  if (turn === reading) {
    isReading = false;
    document.body.dataset.state = "read";
    report();
    if (notes.length > 0 && images.length === 0 && spent.length === 0) {
      summary.textContent = t("nothingToShow");
      say(...notes);
    }
  }
}

translate();
followTheme();
filter.addEventListener("input", redraw);
unmarked.addEventListener("change", redraw);
find("refresh").addEventListener("click", read);
addEventListener("scroll", draw, { passive: true });
addEventListener("resize", draw, { passive: true });
addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== filter) {
    event.preventDefault();
    filter.focus();
  }
});
read();
