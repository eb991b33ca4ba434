// What tasks of all Dags have pushed, newest run first: Airflow lists the XComs that the user may read, and no others.

import { forEach, get, listed, PAGE, value } from "./api.js";
import { plain } from "./plain.js";
import { owner } from "./scope.js";

const AT_ONCE = 6; // sets that are read together
const list = (found) => (Array.isArray(found) ? found.filter((one) => one && typeof one === "object") : []);
export const identity = (of) => JSON.stringify([of.dagId, of.runId, of.taskId, of.mapIndex]);

/** The entries of one key; `filter` has dagId, from and until, each empty for any. */
class Entries {
  #key;
  #filter;
  #found = [];
  #asked = 0;
  #total = Infinity;

  constructor(key, filter) {
    this.#key = key;
    this.#filter = filter;
  }

  async first() {
    if (this.#found.length === 0 && this.#asked < this.#total) {
      const { dagId, from, until } = this.#filter;
      const range = { ...(from ? { run_after_gte: from } : {}), ...(until ? { run_after_lt: until } : {}) };
      const query = { xcom_key: this.#key, order_by: "-run_after", limit: PAGE, offset: this.#asked, ...range };
      const page = await get(`dags/${encodeURIComponent(dagId || "~")}/dagRuns/~/taskInstances/~/xcomEntries`, query);
      this.#asked += page.xcom_entries.length;
      this.#total = page.xcom_entries.length ? page.total_entries : 0;
      this.#found = page.xcom_entries;
    }
    return this.#found[0];
  }

  /** Take those of one moment. */
  async take(moment) {
    const taken = [];
    while ((await this.first())?.run_after === moment) {
      const { dag_id: dagId, run_id: runId, task_id: taskId, map_index: mapIndex } = this.#found.shift();
      taken.push({ ...owner(taskId, mapIndex, { dagId, runId }), key: this.#key, at: moment });
    }
    return taken;
  }
}

/** Task instances that pushed one of `keys`, newest run first, each once: with the first of the keys that it pushed. */
export async function* pushers(keys, filter) {
  const cursors = keys.map((key) => new Entries(key, filter));
  for (;;) {
    const heads = (await Promise.all(cursors.map((cursor) => cursor.first()))).filter(Boolean);
    if (heads.length === 0) {
      return;
    }
    const latest = heads.reduce((one, other) => (Date.parse(one.run_after) >= Date.parse(other.run_after) ? one : other)).run_after;
    const told = new Map();
    for (const cursor of cursors) {
      for (const of of await cursor.take(latest)) {
        if (!told.has(identity(of))) {
          told.set(identity(of), of);
        }
      }
    }
    yield* told.values();
  }
}

async function imagesOf(of) {
  if (of.key === "stored") {
    return list(await value(of, "stored").catch(() => null));
  }
  for await (const images of listed(of)) {
    return list(images); // the first page of a large set; its run shows all
  }
  return [];
}

/** Sets of stored images, newest run first: `{ of, images }`. */
export async function* sets(filter) {
  let waiting = [];
  const read = async () => {
    const found = new Map(waiting.map((of) => [of, []]));
    await forEach(waiting, async (of) => found.set(of, (await imagesOf(of).catch(() => [])).map((image) => plain(image, of))));
    waiting = [];
    return [...found].map(([of, images]) => ({ of, images }));
  };
  for await (const of of pushers(["stored", "manifest"], filter)) {
    waiting.push(of);
    if (waiting.length === AT_ONCE) {
      yield* await read();
    }
  }
  yield* await read();
}

/** What people said of the images: the state of each by its URI. */
export async function approvals(filter, most) {
  const states = new Map();
  const found = [];
  for await (const of of pushers(["approval"], filter)) {
    found.push(of);
    if (found.length === most) {
      break;
    }
  }
  await forEach(found, async (of) => {
    const told = (await value(of, "approval").catch(() => null)) ?? {};
    const asked = told.state === "asked" ? list(await value(of, "candidates").catch(() => null)) : [];
    asked.forEach((image) => states.set(image.uri, "asked"));
    (Array.isArray(told.approved) ? told.approved : []).forEach((uri) => states.set(uri, "approved"));
    (Array.isArray(told.rejected) ? told.rejected : []).forEach((uri) => states.set(uri, "rejected"));
  });
  return states;
}
