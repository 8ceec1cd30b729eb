// Reloads a page that cannot draw new facts although the server answers. It is part of the HTML, so
// that it runs even if no other file arrives.
(() => {
  const QUIET_MS = 15_000, MAX_PAUSE_MS = 300_000, WELL_MS = 60_000, PROBE_EVERY_MS = 3_000;
  const KEY = "mission-control-reloads";
  // Reloads cannot be counted without storage. Then pause as after many of them.
  const reloads = () => {
    try { return Number(sessionStorage.getItem(KEY)); } catch { return 9; }
  };
  const count = (number) => {
    try { sessionStorage.setItem(KEY, number); } catch { /* denied */ }
  };
  const pauseMs = () => (reloads() ? Math.min(QUIET_MS * 2 ** reloads(), MAX_PAUSE_MS) : 0);
  let hasDrawn = false, isProbing = false, probedAt = -PROBE_EVERY_MS, since = null;

  const recovery = window.missionControlRecovery = {
    answer: null,  // HTTP status of the newest probe, 0 if nothing answered
    onAnswer() {},  // replaced by page.js, which then requests new facts
    drawn() {
      hasDrawn = true;
      since = recovery.answer = null;
      if (performance.now() > WELL_MS && reloads()) count(0);
    },
    // Reloads after a long enough problem; longer with each reload. Returns whether it does.
    reload(problemMs) {
      if (problemMs < pauseMs()) return false;
      count(reloads() + 1);
      location.reload();
      return true;
    },
    // To be called repeatedly while new facts are overdue.
    async check() {
      const now = performance.now();
      since ??= now;
      if (isProbing || now - probedAt < PROBE_EVERY_MS) return;
      isProbing = true;
      const hadAnswered = recovery.answer === 200, answer = await probe();
      isProbing = false;
      probedAt = performance.now();
      if (since === null) return;  // facts were drawn meanwhile
      recovery.answer = answer;
      if (answer === 200 && !(hadAnswered && recovery.reload(probedAt - since))) recovery.onAnswer();
    },
  };

  const probe = async () => {
    const options = { method: "HEAD", cache: "no-store", redirect: "manual" };
    try {
      const signal = AbortSignal.timeout(10_000);
      const response = await fetch(location.href, { ...options, signal });
      return response.type === "opaqueredirect" ? 302 : response.status;
    } catch { return 0; }
  };

  // When the newest file arrived. A page that is still loading, on a slow network, is not reloaded.
  const arrivedAt = () => Math.max(0, ...performance.getEntriesByType("resource").map(
    (entry) => (entry.initiatorType === "fetch" ? 0 : entry.responseEnd)));
  setInterval(() => {
    if (!hasDrawn && performance.now() - arrivedAt() > QUIET_MS) recovery.check();
  }, 1000);
})();
