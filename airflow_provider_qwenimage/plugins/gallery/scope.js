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
export function owner(taskId, mapIndex, { dagId, runId } = scope) {
  return { dagId, runId, taskId, mapIndex, name: mapIndex < 0 ? taskId : `${taskId} [${mapIndex}]` };
}

function address(page, { dagId = scope.dagId, runId = scope.runId, taskId, mapIndex }, more = {}) {
  const fields = { dag_id: dagId, run_id: runId, task_id: taskId, map_index: mapIndex, ...more };
  return `${page}?${new URLSearchParams(fields)}`;
}

export const imageAddress = (of, uri) => address("image", of, { uri });
export const thumbnailAddress = (of, uri) => address("thumbnail", of, { uri });
export const downloadAddress = (of, uri) => address("image", of, { uri, download: true });
export const manifestAddress = (of) => address("manifest", of);
export const manifestPage = (of, page) => address("manifest", of, { page });
export const unfinishedAddress = (of, after) => address("unfinished", of, { after });

const LONGEST = 7000; // characters of an address, which servers and proxies take
const MOST = 500; // images of one zip, as the server has it

/** Addresses of zips that hold these images, as few as may be. */
export function zipAddresses(images) {
  const addresses = [];
  let [groups, count, latest] = [new Map(), 0, null];
  for (const image of images) {
    const [folder, name] = [image.uri.slice(0, image.uri.lastIndexOf("/") + 1), image.uri.slice(image.uri.lastIndexOf("/") + 1)];
    const key = JSON.stringify([image.owner.taskId, image.owner.mapIndex, folder]);
    const more = new Map(groups).set(key, [...(groups.get(key) ?? []), name]);
    const next = zipAddress(more);
    if (count > 0 && (next.length > LONGEST || count === MOST)) {
      addresses.push(latest);
      [groups, count] = [new Map([[key, [name]]]), 1];
      latest = zipAddress(groups);
    } else {
      [groups, count, latest] = [more, count + 1, next];
    }
  }
  return latest ? [...addresses, latest] : [];
}

function zipAddress(groups) {
  const query = new URLSearchParams({ dag_id: scope.dagId, run_id: scope.runId });
  for (const [key, names] of groups) {
    const [taskId, mapIndex, folder] = JSON.parse(key);
    for (const [name, value] of Object.entries({ task_id: taskId, map_index: mapIndex, folder, names: names.join("/") })) {
      query.append(name, value);
    }
  }
  return `zip?${query}`;
}

/** Airflow's page of a run, with its images. */
export const runAddress = ({ dagId, runId }) =>
  new URL(`../dags/${encodeURIComponent(dagId)}/runs/${encodeURIComponent(runId)}/plugin/qwenimage-run`, document.baseURI).href;
