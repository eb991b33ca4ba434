// The images of batches that are not finished, as they are stored: the manifest that lists them is written last.

import { forEach, tasks } from "./api.js";
import { t } from "./language.js";
import { plain } from "./plain.js";
import { owner, unfinishedAddress } from "./scope.js";

const STORING = /^QwenImage(Batch|CampaignShard)Operator$/;
const RUNNING = new Set(["running", "deferred", "up_for_retry", "up_for_reschedule", "restarting", "queued"]);

/**
 * Tell `page` what the batches among the tasks `wanted` have stored so far, and which of them go on.
 *
 * `summed` says of which the whole cost is known: their images are not counted once more.
 */
export async function unfinished({ wanted, summed }, page) {
  const found = (await tasks().catch(() => [])).filter((one) => STORING.test(one.operator) && one.started && wanted(one));
  await forEach(found, (of) => further(Object.assign(of, { after: 0, summed: summed(of) }), page));
  page.running(found.filter((one) => RUNNING.has(one.state)));
}

/** Those of these tasks that go on; all of them while Airflow does not answer. */
export async function stillRunning(found) {
  const now = await tasks().catch(() => null);
  const going = new Set((now ?? []).filter((one) => RUNNING.has(one.state)).map((one) => `${one.taskId} ${one.mapIndex}`));
  return now ? found.filter((of) => going.has(`${of.taskId} ${of.mapIndex}`)) : found;
}

/** Tell `page` what a batch stored since it was asked last. */
export async function further(of, page) {
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
