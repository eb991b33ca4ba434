// Finds out what was stored, what is not (yet), what failed and what it cost.

import { failed, forEach, listed, pushed, raised, Refused, value } from "./api.js";
import { t } from "./language.js";
import { plain, text } from "./plain.js";
import { owner, scope } from "./scope.js";
import { spendings } from "./spendings.js";
import { unfinished } from "./unfinished.js";

const LISTED = 50_000; // images of one manifest that the page holds
const LOOKED_UP = 100; // requests of a run whose images are looked for where none is stored; each takes a read

const withoutQuery = (url) => (typeof url === "string" ? url.split(/[?#]/, 1)[0] : "");
const list = (value) => (Array.isArray(value) ? value.filter((one) => one && typeof one === "object") : []);
const key = (of) => JSON.stringify([of.taskId, of.mapIndex]);

/**
 * Hand what is found to `page` as it is found.
 *
 * page.images(cards) takes new images, page.priced() says some of them have a cost now, page.spent(usage) takes a cost
 * that belongs to no image shown, page.failures(failures) what did not come, page.note(text) what a person should know,
 * page.running(tasks) the tasks that store images while the page is looked at.
 */
export async function collect(page) {
  const keys = ["stored", "manifest", "images", "failures", "usage"];
  const [stored, manifests, made, unmade, used] = await Promise.all(keys.map((name) => pushed(name)));
  const known = new Map(); // by the address it came from
  const read = async (of, wanted = () => true) => {
    const cards = list(await value(of, "stored")).map((image) => plain(image, owner(of.taskId, of.mapIndex)));
    cards.forEach((card) => known.set(withoutQuery(card.url), card).set(card.uri, card));
    page.images(cards.filter(wanted));
  };
  await forEach(stored, read);
  const told = new Set(stored.map(key));
  // Large sets push their manifest only.
  await forEach(manifests.filter((of) => !told.has(key(of))), (of) => pagesOf(of, page));
  const reasons = new Set(unmade.map(key));
  const finished = new Set([...stored, ...manifests, ...made].map(key));
  const sums = new Set(used.map(key));
  // A task that stores what another one made has no cost of its own.
  const paid = made.length > 0 || stored.length === 0 ? made : await pushed("images", { ofRun: true });
  await Promise.all([
    unfinished({ wanted: (of) => !finished.has(key(of)), summed: (of) => sums.has(key(of)) }, page),
    spendings(used.filter((of) => !made.some((one) => key(one) === key(of))), page),
    requests(paid, { own: made.length > 0, known, page, read }),
    forEach(unmade, async (of) => {
      const who = owner(of.taskId, of.mapIndex);
      page.failures(list(await value(of, "failures")).map((one) => reason(one, who)));
    }),
    others(reasons, page),
  ]);
}

/** The images that a manifest lists, as they are read. */
async function pagesOf(of, page) {
  const who = owner(of.taskId, of.mapIndex);
  let count = 0;
  try {
    for await (const images of listed(of)) {
      page.images(list(images).map((image) => plain(image, who)));
      count += images.length;
      if (count >= LISTED) {
        page.note(t("onlyFirst", { count, task: who.name }));
        return;
      }
    }
  } catch (error) {
    page.note(error instanceof Refused ? error.message : t("manifestUnread", { task: who.name }));
  }
}

/** Look at what the gateway delivered: its cost, and the images no task has stored. */
async function requests(made, { own, known, page, read }) {
  const looked = made.slice(0, LOOKED_UP);
  if (own) {
    await spendings(made.slice(LOOKED_UP), page);
  }
  if (made.length > LOOKED_UP) {
    page.note(t("notLookedUp", { count: LOOKED_UP, all: made.length }));
  }
  const deliveries = [];
  await forEach(looked, async (of) => {
    const [images, usage] = await Promise.all([value(of, "images"), value(of, "usage").catch(() => null)]);
    const who = owner(of.taskId, of.mapIndex);
    deliveries.push({ images: list(images).map((image) => plain(image, who)), usage: plain(usage) });
  });
  if (own) {
    await elsewhere(deliveries, known, read);
  }
  for (const { images, usage } of deliveries) {
    const { currency, estimate } = usage;
    const cost = usage.cost !== null && images.length > 0 ? usage.cost / images.length : null;
    const unstored = [];
    for (const image of images) {
      const card = known.get(withoutQuery(image.url));
      if (card) {
        Object.assign(card, { cost, currency, estimate });
      } else {
        unstored.push({ ...image, cost, currency, estimate });
      }
    }
    if (own) {
      page.images(unstored);
    }
    if (own && images.length === 0) {
      page.spent(usage); // paid, and nothing came
    }
  }
  page.priced();
}

/** The images of one task are often stored by another one of the run. */
async function elsewhere(deliveries, known, read) {
  const wanted = new Set(deliveries.flatMap(({ images }) => images.map((image) => withoutQuery(image.url))));
  const missing = () => [...wanted].some((url) => !known.has(url));
  if (!scope.taskId || !missing()) {
    return;
  }
  await forEach(await pushed("stored", { ofRun: true }), async (of) => {
    if (missing()) {
      await read(of, (card) => wanted.has(withoutQuery(card.url)));
    }
  });
}

/** Why something did not come; a request of a batch is known by its row and its prompt. */
function reason(one, who) {
  const { index, labels } = one;
  const [where, prompt, outcome] = [text(one.where), text(one.prompt), text(one.outcome)];
  return { index, labels, where, prompt, outcome, reason: text(one.reason), owner: who };
}

/** A task that failed as a whole pushed no reason: its log has it, for whoever may read that. */
async function others(reasons, page) {
  const silent = (await failed().catch(() => [])).filter((of) => !reasons.has(key(of)));
  await forEach(silent, async (of) => {
    const words = await raised(of).catch(() => null);
    page.failures([{ owner: owner(of.taskId, of.mapIndex), reason: text(words) ?? t("taskFailed") }]);
  });
}
