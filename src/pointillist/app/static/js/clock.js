/** How long each image takes: seconds in which somebody does something and the page is in sight. */

const IDLE_MS = 30000;
const REPORT_S = 15;

export function startClock(state, spend) {
  let last = performance.now();
  let gathered = 0;
  const active = () => (last = performance.now());
  for (const kind of ["pointermove", "pointerdown", "keydown", "wheel"]) addEventListener(kind, active, { passive: true, capture: true });
  const report = () => {
    if (gathered) spend(gathered);
    gathered = 0;
  };
  setInterval(() => {
    if (document.hidden || performance.now() - last > IDLE_MS || !state.get("caseId")) return;
    gathered += 1;
    state.set({ seconds: state.get("seconds") + 1 });
    if (gathered >= REPORT_S) report();
  }, 1000);
  document.addEventListener("visibilitychange", () => document.hidden && report());
  return { report };
}
