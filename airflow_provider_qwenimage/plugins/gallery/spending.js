// What runs cost, by day and by Dag or model; each currency for itself.

import { forEach, get, value } from "./api.js";
import { identity, pushers } from "./everywhere.js";
import { plain, text } from "./plain.js";

const MOST = 5000; // task instances whose cost is read
const AT_ONCE = 60; // read before the page is told
const FAILED = 200; // failed tasks that are looked at
const list = (found) => (Array.isArray(found) ? found.filter((one) => one && typeof one === "object") : []);
const xcomOf = (of) => `dags/${encodeURIComponent(of.dagId)}/dagRuns/${encodeURIComponent(of.runId)}/taskInstances/${encodeURIComponent(of.taskId)}`;

export const dayOf = (moment) => new Date(moment).toLocaleDateString("sv"); // 2026-11-21, of the reader's time zone

/** Tell `page` what each task instance cost: page({ day, dagId, model, cost, currency, estimate }) in lists, as they come. */
export async function spendings(filter, page) {
  let [waiting, count] = [[], 0];
  const modelled = await whoPushed("model", filter);
  const read = async () => {
    const found = [];
    await forEach(waiting, async (of) => {
      const usage = plain(await value(of, "usage").catch(() => null));
      const model = modelled.has(identity(of)) ? text(await value(of, "model").catch(() => null)) : null;
      if (usage.cost !== null) {
        found.push({ ...usage, day: dayOf(of.at), dagId: of.dagId, runId: of.runId, taskId: of.taskId, model });
      }
    });
    waiting = [];
    page(withoutSums(found));
  };
  for await (const of of pushers(["usage"], filter)) {
    waiting.push(of);
    count += 1;
    // The tasks of one run stay together.
    if (count >= MOST) {
      break;
    }
    if (waiting.length >= AT_ONCE && waiting.at(-2)?.runId !== of.runId) {
      await read();
    }
  }
  await read();
  return count < MOST;
}

/** Which task instances pushed a key. */
async function whoPushed(key, filter) {
  const found = new Set();
  for await (const of of pushers([key], filter)) {
    found.add(identity(of));
    if (found.size === MOST) {
      break;
    }
  }
  return found;
}

/** The last task of a campaign pushes the sum of its shards, which are counted themselves. */
function withoutSums(found) {
  const shards = new Set(found.filter((one) => one.taskId.endsWith(".shards")).map((one) => `${one.dagId}\n${one.runId}\n${one.taskId.slice(0, -".shards".length)}`));
  return found.filter((one) => !one.taskId.endsWith(".close") || !shards.has(`${one.dagId}\n${one.runId}\n${one.taskId.slice(0, -".close".length)}`));
}

/** Budgets per day by their currencies, of the connections that the user may read. */
export async function budgets() {
  const { connections } = await get("connections", { limit: 100 });
  return connections
    .filter((one) => one.conn_type === "qwenimage")
    .flatMap((one) => {
      try {
        const { budget, price_per_image: price } = JSON.parse(one.extra ?? "{}");
        const day = Number(budget?.per_day);
        return day > 0 ? [{ connection: one.connection_id, day, currency: text(price?.currency) }] : [];
      } catch {
        return [];
      }
    });
}

/** Tell `page` of requests whose outcome nobody knows: rows of batches, and single requests whose answer was lost. */
export async function unknowns(filter, page) {
  for await (const of of pushers(["failures"], filter)) {
    const failures = list(await value(of, "failures").catch(() => null)).filter((one) => one.outcome === "unknown");
    if (failures.length > 0) {
      const connection = await connectionOf(of);
      page(failures.map((one) => ({ at: of.at, of, connection, where: text(one.where), reason: text(one.reason) })));
    }
  }
  const range = { ...(filter.from ? { run_after_gte: filter.from } : {}), ...(filter.until ? { run_after_lt: filter.until } : {}) };
  const query = { state: "failed", order_by: "-run_after", limit: 100, ...range };
  const { task_instances: failed } = await get(`dags/${encodeURIComponent(filter.dagId || "~")}/dagRuns/~/taskInstances`, query);
  const ours = failed.filter((one) => /^(QwenImage|@task\.qwen_image)/.test(one.operator_name ?? one.operator ?? ""));
  await forEach(ours.slice(0, FAILED), async (one) => {
    const of = { dagId: one.dag_id, runId: one.dag_run_id, taskId: one.task_id, mapIndex: one.map_index };
    const record = (await get(`${xcomOf(of)}/state-store/qwenimage`, { map_index: of.mapIndex }).catch(() => null))?.value;
    if (record?.phase === "intent") {
      page([{ at: text(record.lost_at) ?? text(record.at) ?? one.end_date, of, connection: await connectionOf(of), where: null, reason: null }]);
    }
  });
}

async function connectionOf(of) {
  const mapped = of.mapIndex >= 0 ? `/${of.mapIndex}` : "";
  const details = await get(`${xcomOf(of)}${mapped}`).catch(() => null);
  return text(details?.rendered_fields?.qwenimage_conn_id);
}
