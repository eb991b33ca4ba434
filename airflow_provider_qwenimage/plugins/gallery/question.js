// The question as Airflow keeps it, and the answer as Airflow takes it: by its own endpoint, with the user's own rights.

import { get, patch, Refused, run } from "./api.js";
import { t } from "./language.js";
import { text } from "./plain.js";
import { scope } from "./scope.js";

const CHOSEN = "Approve the chosen"; // options of the operator
const ALL = "Approve all";
const WAITING = new Set(["awaiting_input", "deferred", "running"]); // Airflow below 3.3 defers

const path = () => `${run()}/taskInstances/${encodeURIComponent(scope.taskId)}/${scope.mapIndex}/hitlDetails`;
const names = (users) => (Array.isArray(users) ? users.map((user) => text(user?.name)).filter(Boolean) : []);

/** The question and, where there is one, its answer. */
export async function question() {
  const told = await get(path());
  return {
    subject: text(told.subject) ?? "",
    isOpen: !told.response_received && WAITING.has(told.task_instance?.state),
    isAnswered: told.response_received === true,
    assigned: names(told.assigned_users),
    by: text(told.responded_by_user?.name),
    at: text(told.responded_at),
    created: text(told.created_at) ?? "",
    params: told.params ?? {},
    option: told.chosen_options?.[0],
    input: told.params_input ?? {},
  };
}

/** An answer as a draft of the choice: what was not approved was rejected. */
export function decided({ option, input }, uris) {
  const approved = new Set(option === ALL ? uris : option === CHOSEN && Array.isArray(input.approved) ? input.approved : []);
  return draft(approved, uris, input.comments ?? {});
}

/** The draft of a choice that has ended. */
export function draft(approved, uris, comments = {}) {
  return {
    chosen: uris.filter((uri) => approved.has(uri)),
    rejected: uris.filter((uri) => !approved.has(uri)).map((uri) => [uri, text(comments[uri]) ?? ""]),
  };
}

/** Answer; what the author asks besides keeps its defaults. */
export async function answer({ params }, { approved, comments }) {
  const further = Object.entries(params).map(([name, param]) => [name, param?.schema ? param.value : param]); // plain below 3.1.3
  const input = { ...Object.fromEntries(further), approved, comments };
  try {
    await patch(path(), { chosen_options: [CHOSEN], params_input: input });
  } catch (error) {
    throw new Refused(meaning(error), error.status, error.detail);
  }
}

function meaning({ status, detail, message }) {
  if (status === 409) {
    return t("answeredAlready");
  }
  if (status === 403) {
    return t("mayNotAnswer", { reason: detail });
  }
  return detail || message;
}
