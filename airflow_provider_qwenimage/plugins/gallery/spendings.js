// What tasks paid beside the images whose costs are known one by one.

import { forEach, tasks, value } from "./api.js";
import { t } from "./language.js";
import { plain } from "./plain.js";
import { scope } from "./scope.js";

const ADDED = 2000; // tasks whose cost is added up; each takes a read

/** Tell `page` what each of these task instances spent. */
export async function spendings(used, page) {
  const own = scope.taskId || used.length === 0 ? used : await withoutSums(used);
  await forEach(own.slice(0, ADDED), async (of) => page.spent(plain(await value(of, "usage").catch(() => null))));
  if (own.length > ADDED) {
    page.note(t("costNotAdded", { count: own.length - ADDED }));
  }
}

/** The last task of a campaign pushes the sum of its shards, which are counted themselves. */
async function withoutSums(used) {
  const sums = (await tasks().catch(() => [])).filter((one) => one.operator === "QwenImageCampaignCloseOperator");
  const summing = new Set(sums.map((one) => one.taskId));
  const counted = used.filter((of) => !summing.has(of.taskId));
  return counted.length > 0 ? counted : used;
}
