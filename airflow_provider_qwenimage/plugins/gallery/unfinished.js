// What tasks store while the page is looked at: a batch tells it in its journal, for its manifest is written last; any
// other task when it ends.

import { forEach, get, run, tasks } from "./api.js";
import { t } from "./language.js";
import { plain } from "./plain.js";
import { owner, scope, unfinishedAddress } from "./scope.js";

const JOURNAL = /^QwenImage(Batch|CampaignShard)Operator$/;
const ASKING = "QwenImageApprovalOperator"; // waits for a person, and stores nothing; its own tab becomes the question
const ASKED = new Set(["awaiting_input", "deferred"]);
const GOING = new Set(["running", "deferred", "up_for_retry", "up_for_reschedule", "restarting", "queued", "scheduled"]);
const same = (one) => (other) => one.taskId === other.taskId && one.mapIndex === other.mapIndex;

/**
 * Tell `page` what the batches among the tasks `wanted` have stored so far, and which tasks go on.
 *
 * `summed` says of which the whole cost is known: their images are not counted once more.
 */
export async function unfinished({ wanted, summed }, page) {
  const found = (await tasks().catch(() => [])).map((of) => ({ ...of, after: 0, summed: summed(of) }));
  const going = await goOn(found);
  const told = found.filter((of) => JOURNAL.test(of.operator) && of.started && wanted(of));
  await forEach(told, (of) => further(of, going.includes(of) ? silent(page) : page));
  page.running(going);
}

/** Tell `page` what the tasks that were `running` stored since; return those that go on, `null` once one of them has ended. */
export async function follow(running, page) {
  const found = await tasks().catch(() => null);
  if (!found) {
    return running; // Airflow does not answer
  }
  const going = (await goOn(found)).map((of) => Object.assign(running.find(same(of)) ?? { after: 0, summed: false }, of));
  if (scope.taskId && found.some((of) => of.operator === ASKING && ASKED.has(of.state))) {
    location.reload();
    return running;
  }
  if (!running.every((of) => going.some(same(of)))) {
    return null;
  }
  await forEach(going.filter((of) => JOURNAL.test(of.operator) && of.started), (of) => further(of, silent(page)));
  return going;
}

/** A journal that is not there yet, or not any more, is nothing to tell of. */
const silent = (page) => ({ ...page, note: () => {} });

/** Those that are still to store something. */
async function goOn(found) {
  const storing = found.filter((of) => of.operator !== ASKING || scope.taskId);
  const waiting = storing.filter((of) => !of.state);
  const comes = waiting.length > 0 && (await runGoesOn());
  return storing.filter((of) => GOING.has(of.state) || (comes && !of.state));
}

/** Whether what has not begun will: the run goes on, and waits for nobody. */
async function runGoesOn() {
  const asked = await get(`${run()}/taskInstances`, { state: "awaiting_input", limit: 1 }).catch(() => null);
  const { state } = asked?.total_entries ? {} : await get(run()).catch(() => ({}));
  return state === "running" || state === "queued";
}

async function further(of, page) {
  const who = owner(of.taskId, of.mapIndex);
  for (let more = true; more; ) {
    const answer = await fetch(new URL(unfinishedAddress(of, of.after), document.baseURI)).catch(() => null);
    if (!answer?.ok) {
      page.note(t("journalUnread", { task: who.name }));
      return;
    }
    const part = await answer.json();
    more = part.more && part.after > of.after;
    of.after = part.after;
    const cards = part.images.map((image) => plain(image, who));
    page.images(of.summed ? cards.map((card) => ({ ...card, cost: null })) : cards);
  }
}
