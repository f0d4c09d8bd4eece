/** The server's addresses; every failure is an ApiError that says what went wrong in words. */

export class ApiError extends Error {
  /** @param {number} status 0 where the server did not answer @param {object} detail what, where, expected, received, todo */
  constructor(status, detail) {
    super(detail.what);
    this.status = status;
    this.detail = detail;
  }

  get away() {
    return this.status === 0;
  }

  get locked() {
    return LOCKED.includes(this.status);
  }
}

const LOCKED = [401, 403];
const AWAY = { what: "the server does not answer" };

export async function request(method, path, body, { signal } = {}) {
  const isForm = body instanceof FormData;
  const headers = body !== undefined && !isForm ? { "Content-Type": "application/json" } : {};
  const payload = body === undefined || isForm ? body : JSON.stringify(body);
  const answer = await answerTo(path, { method, headers, body: payload, signal });
  if (answer.status === 204) return null;
  try {
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, AWAY); // it ended in the middle of its answer
  }
}

async function answerTo(path, options) {
  let answer;
  try {
    answer = await fetch(path, { ...options, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, AWAY);
  }
  if (!answer.ok) throw new ApiError(answer.status, await detailOf(answer));
  return answer;
}

/** A file and the name that the server gives it. */
async function archive(path) {
  const answer = await answerTo(path, {});
  const [, called] = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "") ?? [];
  return { name: called ?? "archive.zip", blob: await answer.blob() };
}

async function detailOf(answer) {
  try {
    const { error } = await answer.json();
    if (error?.what) return error;
  } catch {
    // no JSON: the status is all there is
  }
  return { what: `the server answered ${answer.status} ${answer.statusText}` };
}

/** Whether the server lets us in; a stream of events does not tell why it ended. */
export async function isLocked() {
  try {
    return LOCKED.includes((await fetch("/static/icon.svg", { cache: "no-store" })).status);
  } catch {
    return false;
  }
}

const name = encodeURIComponent;

export const api = {
  dataset: () => request("GET", "/api/dataset"),
  setClasses: (classes) => request("PATCH", "/api/dataset", { classes }),
  case: (id, options) => request("GET", `/api/cases/${name(id)}`, undefined, options),
  ops: (id, ops) => request("POST", `/api/cases/${name(id)}/ops`, { ops }),
  hints: (id) => request("GET", `/api/cases/${name(id)}/hints`),
  thumbnail: (id, version) => `/api/cases/${name(id)}/thumbnail?v=${version}`,
  methods: () => request("GET", "/api/methods"),
  runs: () => request("GET", "/api/runs"),
  run: (run) => request("GET", `/api/runs/${name(run)}`),
  startRun: (wish) => request("POST", "/api/runs", wish),
  stopRun: (run) => request("POST", `/api/runs/${name(run)}/stop`),
  resumeRun: (run) => request("POST", `/api/runs/${name(run)}/resume`),
  deleteRun: (run) => request("DELETE", `/api/runs/${name(run)}`),
  suggestions: (run, other) => request("GET", `/api/suggestions?run=${name(run)}${other ? `&other=${name(other)}` : ""}`),
  importMarks: (form, query) => request("POST", `/api/import?${new URLSearchParams(query)}`, form),
  segmentationsUrl: (run, kind) => `/api/runs/${name(run)}/segmentations?as=${kind}`,
  archive,
  exportUrl: (format) => `/api/export?format=${name(format)}`,

  tile: (id, axis, index, level, x, y, query) =>
    `/api/cases/${name(id)}/tiles/${axis}/${index}/${level}/${x}_${y}?${new URLSearchParams(query)}`,
  baseTile: (id, axis, index, level, x, y, revision) =>
    `/api/cases/${name(id)}/base/${axis}/${index}/${level}/${x}_${y}?v=${revision}`,
  overlayTile: (run, id, axis, index, level, x, y, query) =>
    `/api/runs/${name(run)}/overlay/${name(id)}/${axis}/${index}/${level}/${x}_${y}?${new URLSearchParams(query)}`,
};
