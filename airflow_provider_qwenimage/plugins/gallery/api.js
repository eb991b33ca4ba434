// Airflow's public REST API, read as the user who looks: Airflow decides what they may see.

import { t } from "./language.js";
import { manifestPage, scope } from "./scope.js";

const ROOT = new URL("../api/v2/", document.baseURI);
export const PAGE = 100; // the largest page Airflow gives by default
const AT_ONCE = 6; // what a browser keeps open to one host

/** What Airflow says no to: `status` is its answer, `detail` its own words. */
export class Refused extends Error {
  constructor(message, status = 0, detail = "") {
    super(message);
    Object.assign(this, { status, detail });
  }
}

const MEANINGS = { 401: "signedOut", 403: "mayNotRead", 404: "noSuchRun" };

async function ask(address, options = {}) {
  let answer;
  try {
    answer = await fetch(new URL(address, ROOT), { ...options, headers: { Accept: "application/json", ...options.headers } });
  } catch {
    throw new Refused(t("noAnswer"));
  }
  const told = await answer.json().catch(() => null);
  if (!answer.ok) {
    const detail = typeof told?.detail === "string" ? told.detail : "";
    throw new Refused(t(MEANINGS[answer.status] ?? "answered", { status: answer.status }), answer.status, detail);
  }
  return told;
}

export const get = (path, query = {}) => ask(`${path}?${new URLSearchParams(query)}`);

export const patch = (path, body) =>
  ask(path, { method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export const run = ({ dagId = scope.dagId, runId = scope.runId } = scope) => `dags/${encodeURIComponent(dagId)}/dagRuns/${encodeURIComponent(runId)}`;

async function pages(path, query, field) {
  const found = [];
  for (;;) {
    const page = await get(path, { ...query, limit: PAGE, offset: found.length });
    found.push(...page[field]);
    if (page[field].length === 0 || found.length >= page.total_entries) {
      return found;
    }
  }
}

/** The task instances that pushed `key`: those of one task instance, or all of the run. */
export async function pushed(key, { ofRun = false } = {}) {
  const own = scope.taskId && !ofRun;
  const task = own ? encodeURIComponent(scope.taskId) : "~";
  const only = own ? { map_index: scope.mapIndex } : {};
  const entries = await pages(`${run()}/taskInstances/${task}/xcomEntries`, { xcom_key: key, ...only }, "xcom_entries");
  return entries.map((entry) => ({ taskId: entry.task_id, mapIndex: entry.map_index }));
}

/** The value of one XCom; some versions of Airflow keep it as JSON, a text as it is. */
export async function value(of, key) {
  const task = encodeURIComponent(of.taskId);
  const entry = await get(`${run(of)}/taskInstances/${task}/xcomEntries/${key}`, { map_index: of.mapIndex });
  if (typeof entry.value !== "string") {
    return entry.value;
  }
  try {
    return JSON.parse(entry.value);
  } catch {
    return entry.value;
  }
}

/** The images of the manifest a task instance wrote, page by page. */
export async function* listed(of) {
  for (let page = 0, pages = 1; page < pages; page += 1) {
    const answer = await fetch(manifestPage(of, page));
    if (!answer.ok) {
      throw new Refused(t("manifestBroken", { task: of.taskId }));
    }
    const found = await answer.json();
    pages = found.pages;
    yield found.images;
  }
}

/** The task instances of this provider's operators: that of the page, or all of its run. */
export async function tasks(query = {}) {
  const found = await pages(`${run()}/taskInstances`, query, "task_instances");
  return found
    .filter((one) => /^(QwenImage|@task\.qwen_image)/.test(one.operator_name ?? one.operator ?? ""))
    .filter((one) => !scope.taskId || (one.task_id === scope.taskId && one.map_index === scope.mapIndex))
    .map((one) => ({
      taskId: one.task_id,
      mapIndex: one.map_index,
      operator: one.operator_name ?? one.operator,
      state: one.state,
      started: Boolean(one.start_date),
      tries: one.try_number,
    }));
}

/** Those that failed. */
export const failed = () => tasks({ state: "failed" });

/** What the last try of a failed task instance raised, as its log has it. */
export async function raised({ taskId, mapIndex, tries }) {
  const task = encodeURIComponent(taskId);
  const log = await get(`${run()}/taskInstances/${task}/logs/${tries}`, { map_index: mapIndex, full_content: true });
  const lines = Array.isArray(log.content) ? log.content : [];
  return lines.flatMap((line) => line.error_detail ?? []).findLast((error) => error?.exc_value)?.exc_value;
}

/** Run `work` for each item, some at a time, in order of arrival. */
export async function forEach(items, work) {
  const waiting = [...items];
  const worker = async () => {
    while (waiting.length > 0) {
      await work(waiting.shift());
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
