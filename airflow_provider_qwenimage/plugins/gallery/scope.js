// Which task instance or Dag run the page is about, as its address says.

const query = new URLSearchParams(location.search);
const asked = (name) => query.get(name) ?? "";
// Airflow leaves a placeholder such as {MAP_INDEX} as it is where it has no value.
const given = (name) => (asked(name).startsWith("{") ? "" : asked(name));

export const scope = Object.freeze({
  dagId: given("dag_id"),
  runId: given("run_id"),
  taskId: given("task_id"),
  mapIndex: /^\d+$/.test(given("map_index")) ? Number(given("map_index")) : -1,
});

/** A task instance of the run; what identifies it in messages is its name. */
export function owner(taskId, mapIndex) {
  return { taskId, mapIndex, name: mapIndex < 0 ? taskId : `${taskId} [${mapIndex}]` };
}

function address(page, { taskId, mapIndex }, more = {}) {
  const fields = { dag_id: scope.dagId, run_id: scope.runId, task_id: taskId, map_index: mapIndex, ...more };
  return `${page}?${new URLSearchParams(fields)}`;
}

export const imageAddress = (of, uri) => address("image", of, { uri });
export const downloadAddress = (of, uri) => address("image", of, { uri, download: true });
export const manifestAddress = (of) => address("manifest", of);
export const manifestPage = (of, page) => address("manifest", of, { page });
