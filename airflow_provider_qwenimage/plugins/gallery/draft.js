// What was chosen and not answered yet: it survives another tab of Airflow, which ends the page.

import { scope } from "./scope.js";

const key = (created) => `qwenimage ${JSON.stringify([scope.dagId, scope.runId, scope.taskId, scope.mapIndex, created])}`;

/** Keep the draft of a choice; a browser that keeps nothing is no error. */
export function keep(created, draft) {
  try {
    sessionStorage.setItem(key(created), JSON.stringify(draft));
  } catch {
    // It is full, or closed to this page: the choice lasts as long as the page.
  }
}

export function kept(created) {
  try {
    return JSON.parse(sessionStorage.getItem(key(created)));
  } catch {
    return null;
  }
}

export function forget(created) {
  try {
    sessionStorage.removeItem(key(created));
  } catch {
    // Nothing was kept.
  }
}
