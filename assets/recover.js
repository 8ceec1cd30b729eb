// Reloads a page that no longer draws new facts while the server answers. It is part of the HTML
// itself, so that it runs even if no other file arrives.
(() => {
  const QUIET_MS = 15_000, MAX_PAUSE_MS = 300_000, WELL_MS = 60_000, PROBE_EVERY_MS = 3_000;
  const KEY = "mission-control-reloads";
  // Without storage, reloads cannot be counted: pause as after many of them.
  const reloads = () => {
    try { return Number(sessionStorage.getItem(KEY)); } catch { return 9; }
  };
  const count = (number) => {
    try { sessionStorage.setItem(KEY, number); } catch { /* denied */ }
  };
  const pauseMs = () => (reloads() ? Math.min(QUIET_MS * 2 ** reloads(), MAX_PAUSE_MS) : 0);
  let isFollowing = false, isAsking = false, askedAt = -PROBE_EVERY_MS, since = null;

  const recovery = window.missionControlRecovery = {
    answer: null,  // the status that the newest probe got, 0 if nothing answered
    onAnswer() {},  // replaced by page.js: the server answers, ask it for facts
    drawn() {
      isFollowing = true;
      since = recovery.answer = null;
      if (performance.now() > WELL_MS && reloads()) count(0);
    },
    // Reloads, unless the last reload is too recent. Returns whether it does.
    reload(troubleMs) {
      if (troubleMs < pauseMs()) return false;
      count(reloads() + 1);
      location.reload();
      return true;
    },
    // Call it repeatedly while new facts are overdue.
    async check() {
      const now = performance.now();
      since ??= now;
      if (isAsking || now - askedAt < PROBE_EVERY_MS) return;
      isAsking = true;
      const hadAnswered = recovery.answer === 200, answer = await probe();
      isAsking = false;
      askedAt = performance.now();
      if (since === null) return;  // facts were drawn meanwhile
      recovery.answer = answer;
      if (answer === 200 && !(hadAnswered && recovery.reload(askedAt - since))) recovery.onAnswer();
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

  // The newest arrival of a file. A page that still loads, on a slow network, is not reloaded.
  const arrivedAt = () => Math.max(0, ...performance.getEntriesByType("resource").map(
    (entry) => (entry.initiatorType === "fetch" ? 0 : entry.responseEnd)));
  setInterval(() => {
    if (!isFollowing && performance.now() - arrivedAt() > QUIET_MS) recovery.check();
  }, 1000);
})();
