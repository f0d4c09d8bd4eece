/** What the server tells by itself: operations of other tabs, changed cases, jobs, problems. Comes back by itself. */

const SILENCE_MS = 25000;
const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 3000;
const KINDS = ["ops", "case", "dataset", "job", "problem", "reset", "heartbeat"];

/**
 * @param {string} seen the newest event that what the page shows contains
 * @param {{ops?, case?, dataset?, job?, problem?, reset?, open: () => void, away: () => void}} handlers
 */
export function listen(seen, handlers) {
  let source;
  let wait = FIRST_WAIT_MS;
  let watchdog;

  const heard = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(lost, SILENCE_MS);
  };
  const lost = () => {
    source.close();
    clearTimeout(watchdog);
    handlers.away();
    setTimeout(connect, wait);
    wait = Math.min(wait * 1.6, LONGEST_WAIT_MS);
  };
  const connect = () => {
    source = new EventSource(`/api/events?seen=${encodeURIComponent(seen)}`);
    source.onopen = () => {
      wait = FIRST_WAIT_MS;
      heard();
      handlers.open();
    };
    source.onerror = lost;
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        heard();
        if (event.lastEventId) seen = event.lastEventId;
        if (handlers[kind]) handlers[kind](JSON.parse(event.data));
      });
    }
  };
  connect();
}
