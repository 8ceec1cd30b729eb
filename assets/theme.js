// The colour scheme: the reader's choice, or the system's. Runs before the first paint.
(() => {
  const KEY = "mission-control-theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try { return localStorage.getItem(KEY) || "system"; } catch { return "system"; }
  };
  const apply = () => {
    const choice = chosen();
    const scheme = choice === "system" ? (dark.matches ? "dark" : "light") : choice;
    document.documentElement.dataset.bsTheme = scheme;
    for (const button of document.querySelectorAll("[data-theme]")) {
      button.setAttribute("aria-pressed", String(button.dataset.theme === choice));
    }
  };
  dark.addEventListener("change", apply);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme]");
    if (!button) return;
    try { localStorage.setItem(KEY, button.dataset.theme); } catch { /* private mode */ }
    apply();
  });
  window.missionControlTheme = apply;
  apply();
})();
