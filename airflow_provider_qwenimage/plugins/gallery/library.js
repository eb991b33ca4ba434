// The page of all images: of every run that the user may read, newest first, as far as it is scrolled.

import { About } from "./about.js";
import { Refused } from "./api.js";
import { card } from "./cards.js";
import { element, find } from "./element.js";
import { approvals, sets } from "./everywhere.js";
import { text } from "./facts.js";
import { Grid } from "./grid.js";
import { language, t, translate } from "./language.js";
import { runAddress } from "./scope.js";
import { followTheme } from "./theme.js";
import { Viewer } from "./viewer.js";

const KEPT = 20_000; // images the page holds; further ones are found by a narrower search
const AHEAD = 60; // images beyond those that are drawn
const APPROVALS = 500; // decisions that are looked up
const fields = ["words", "dag", "day", "approval"].map(find);
const [words, dag, day, approval] = fields;
const viewer = new Viewer(() => new About());

let shown = [];
let runs = new Set(); // those looked through
let searching = 0; // only the latest search may draw
let going = false;
let more = null; // the rest of the search
let states = new Map();

const grid = new Grid(find("grid"), (image) =>
  card(image, { open: (one, from) => viewer.open(shown, from, [one]), more: [link(image.owner), ...state(image)] }),
  2,
);

/** A link to the run, in Airflow's own page where this one lies in it: its frame may not go there by itself. */
function link(of) {
  const href = runAddress(of);
  const made = element("a", { href, className: "run", textContent: of.dagId, title: `${of.runId}\n${new Date(of.at).toLocaleString(language)}` });
  made.addEventListener("click", (event) => {
    if (window.frameElement && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      const outside = Object.assign(parent.document.createElement("a"), { href });
      parent.document.body.append(outside);
      outside.click();
      outside.remove();
    }
  });
  return element("p", { className: "quiet" }, made, ` ${new Date(of.at).toLocaleDateString(language)}`);
}

function state(image) {
  const told = { asked: () => t("waiting"), approved: () => t("approved"), rejected: () => t("rejected") }[states.get(image.uri)];
  return told ? [element("p", { className: "quiet", textContent: told() })] : [];
}

function filter() {
  const from = day.value ? new Date(`${day.value}T00:00`) : null;
  const until = from ? new Date(from.getFullYear(), from.getMonth(), from.getDate() + 1) : null;
  return { dagId: dag.value.trim(), from: from?.toISOString(), until: until?.toISOString() };
}

function wanted(image) {
  const all = text(image);
  const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  return image.uri && asked.every((word) => all.includes(word)) && (!approval.value || states.get(image.uri) === approval.value);
}

function report() {
  const counts = { count: shown.length, runs: runs.size };
  find("summary").textContent = t(more ? "foundSoFar" : "foundAll", counts);
  find("notice").hidden = Boolean(more) || shown.length > 0;
  find("notice").replaceChildren(element("p", { textContent: t("nothingFound") }));
}

const near = () => document.documentElement.scrollHeight - scrollY - innerHeight < 2 * innerHeight;

/** Look through further runs until the page is filled a good way beyond the view. */
async function go(turn) {
  if (going || !more) {
    return;
  }
  going = true;
  const enough = shown.length + AHEAD;
  try {
    while (more && turn === searching && shown.length < enough) {
      const { done, value: set } = await more.next();
      if (turn !== searching) {
        return;
      }
      if (done || shown.length >= KEPT) {
        more = null;
        break;
      }
      runs.add(`${set.of.dagId}\n${set.of.runId}`);
      shown = [...shown, ...set.images.filter(wanted)];
      grid.show(shown);
      report();
    }
  } catch (error) {
    more = null;
    find("notice").hidden = false;
    find("notice").replaceChildren(element("p", { textContent: error instanceof Refused ? error.message : t("failedReading") }));
    return;
  } finally {
    going = turn === searching ? false : going;
  }
  document.body.dataset.state = "read";
  report();
}

async function search() {
  searching += 1;
  const turn = searching;
  [shown, runs, going, more] = [[], new Set(), false, null];
  delete document.body.dataset.state;
  grid.show([]);
  find("summary").textContent = t("searching");
  if (approval.value || states.size === 0) {
    const found = approvals(filter(), APPROVALS).catch(() => new Map());
    // The first pictures need not wait for what people said of them.
    states = approval.value ? await found : states;
    found.then((told) => {
      states = told;
      grid.show([]);
      grid.show(shown);
    });
  }
  if (turn === searching) {
    more = sets(filter());
    await go(turn);
  }
}

translate();
followTheme();
let pause = 0;
for (const field of fields) {
  field.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(search, 250);
  });
}
addEventListener("scroll", () => near() && go(searching), { passive: true });
search();
