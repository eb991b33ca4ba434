// The page of a run or a task: reads, filters, and shows as much as is looked at.

import { About } from "./about.js";
import { Refused } from "./api.js";
import { card, retell } from "./cards.js";
import { Chosen } from "./chosen.js";
import { collect } from "./collect.js";
import { element, find } from "./element.js";
import { isNumber, money, text } from "./facts.js";
import { failure } from "./failures.js";
import { Grid } from "./grid.js";
import { t, translate } from "./language.js";
import { isMarked } from "./marks.js";
import { manifestAddress, scope } from "./scope.js";
import { followTheme } from "./theme.js";
import { follow } from "./unfinished.js";
import { Viewer } from "./viewer.js";

const AGAIN = 4000; // milliseconds until it is asked again what running tasks have stored
const ids = ["filter", "unmarked", "summary", "notice", "failures", "manifest"];
const [filter, unmarked, summary, notice, failures, manifest] = ids.map(find);
const viewer = new Viewer(() => new About());

let images = [];
let known = new Set(); // URIs: the images of a campaign are told by its shards, and by the task that closes it
let shown = []; // those the filter leaves
let spent = []; // what images cost that are not shown
let missing = []; // what did not come
let notes = [];
let running = [];
let isReading = false;
let isQuiet = false; // what is shown stays until all is read
let reading = 0; // only the latest reading may draw

const stored = () => shown.filter((image) => image.uri);
const open = (image, from) => viewer.open(stored(), from, [image]);
const chosen = new Chosen({ shown: stored, compare: (some, from) => viewer.open(some, from), changed: tick });
const grid = new Grid(find("grid"), (image) =>
  card(image, { open, chosen: (one) => chosen.has(one), choose: (...change) => chosen.choose(...change) }),
);

function tick() {
  for (const [image, drawn] of grid.cards) {
    const box = drawn.querySelector("input");
    if (box) {
      box.checked = chosen.has(image);
    }
  }
}

function say(...words) {
  notice.replaceChildren(...words.map((textContent) => element("p", { textContent })));
  notice.hidden = words.length === 0;
}

function order(one, other) {
  const task = one.owner.taskId.localeCompare(other.owner.taskId);
  return task || one.owner.mapIndex - other.owner.mapIndex || one.index - other.index;
}

function select() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = images.filter((image) => words.every((word) => text(image).includes(word)));
  shown = unmarked.checked ? wanted.filter((image) => image.uri && !isMarked(image)) : wanted;
  grid.show(shown);
  report();
}

function costs() {
  const sums = new Map();
  const guessed = new Set();
  for (const { cost, currency, estimate } of [...images, ...spent].filter((one) => isNumber(one.cost))) {
    sums.set(currency, (sums.get(currency) ?? 0) + cost);
    if (estimate) {
      guessed.add(currency);
    }
  }
  const told = ([currency, sum]) => (guessed.has(currency) ? t("estimated", { amount: money(sum, currency) }) : money(sum, currency));
  return [...sums].map(told).join(" + ");
}

/** One set has one manifest; a run may have many, and an unfinished one none. */
function link() {
  const unfinished = new Set(running.map((of) => of.taskId));
  const owners = new Map(images.filter((image) => image.uri).map(({ owner }) => [owner.name, owner]));
  const [only] = owners.values();
  manifest.hidden = owners.size !== 1 || unfinished.has(only.taskId);
  if (!manifest.hidden) {
    manifest.href = manifestAddress(only);
  }
}

function nothingYet() {
  if (running.length > 0) {
    return [t(scope.taskId ? "taskGoesOn" : "runGoesOn")];
  }
  return [t(scope.taskId ? "taskStoredNone" : "runStoredNone"), t("appearHere")];
}

function report() {
  if (isQuiet) {
    return;
  }
  link();
  const count = t(shown.length === images.length ? "count" : "countOf", { shown: shown.length, count: images.length });
  const cost = costs();
  const made = cost ? t("withCost", { count, cost }) : count;
  const going = running.length > 0 ? t("stillRunning", { summary: made }) : made;
  summary.textContent = isReading ? t("stillReading", { summary: made }) : going;
  if (isReading) {
    return;
  }
  if (images.length === 0 && spent.length === 0 && failures.hidden) {
    say(...nothingYet(), ...notes);
  } else {
    say(...(images.length > 0 && shown.length === 0 ? [t("noMatch")] : []), ...notes);
  }
}

function page(turn) {
  const current = (work) => (...values) => (turn === reading ? work(...values) : undefined);
  return {
    images: current((found) => {
      const fresh = found.filter((image) => !image.uri || !known.has(image.uri));
      fresh.forEach((image) => known.add(image.uri));
      if (fresh.length > 0) {
        images = [...images, ...fresh].sort(order);
        if (!isQuiet) {
          select();
        }
      }
    }),
    priced: current(() => {
      grid.cards.forEach(([image, drawn]) => retell(drawn, image));
      report();
    }),
    spent: current((usage) => {
      spent.push(usage);
      report();
    }),
    note: current((words) => notes.push(words)),
    running: current((tasks) => {
      running = tasks;
      if (tasks.length > 0) {
        later(turn);
      }
    }),
    failures: current((found) => {
      missing.push(...found);
      if (!isQuiet) {
        tell();
      }
    }),
  };
}

/** Show what did not come. */
function tell() {
  failures.hidden = missing.length === 0;
  failures.replaceChildren(element("h2", { textContent: t("failures") }), element("ul", {}, ...missing.map(failure)));
}

function later(turn) {
  setTimeout(() => turn === reading && look(turn), AGAIN);
}

/** Show what running tasks have stored since; read all of it again once one of them has ended. */
async function look(turn) {
  if (!document.hidden) {
    const going = await follow(running, page(turn));
    if (turn !== reading) {
      return;
    }
    if (going === null) {
      await read({ quietly: true });
      return;
    }
    running = going;
    report();
  }
  later(turn);
}

/** What is told as before stays the same object: its card stays, with the focus that it may have. */
function unchanged(before) {
  const known = new Map(before.map((image) => [image.uri ?? image.url, image]));
  return (image) => {
    const old = known.get(image.uri ?? image.url);
    return old && JSON.stringify(old) === JSON.stringify(image) ? old : image;
  };
}

async function read({ quietly = false } = {}) {
  reading += 1;
  const turn = reading;
  const kept = unchanged(images);
  [images, known, spent, missing, notes, running] = [[], new Set(), [], [], [], []];
  [isReading, isQuiet] = [true, quietly];
  if (!quietly) {
    say();
    tell();
    select();
  }
  try {
    await collect(page(turn));
  } catch (error) {
    if (!(error instanceof Refused)) {
      console.error(error);
    }
    notes.push(error instanceof Refused ? error.message : t("failedReading"));
  }
  if (turn === reading) {
    [isReading, isQuiet] = [false, false];
    images = images.map(kept);
    tell();
    select();
    chosen.keep(images);
    document.body.dataset.state = "read";
    if (notes.length > 0 && images.length === 0 && spent.length === 0) {
      summary.textContent = t("nothingToShow");
      say(...notes);
    }
  }
}

translate();
followTheme();
filter.addEventListener("input", select);
unmarked.addEventListener("change", select);
find("refresh").addEventListener("click", () => read());
addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== filter && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    filter.focus();
  }
});
read();
