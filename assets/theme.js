// The colour scheme: the reader's choice, or the system's. Runs before the first paint.
(() => {
  const KEY = "mission-control-theme";
  const bars = [...document.querySelectorAll("meta[name=theme-color]")], colours = {};
  for (const { media, content } of bars) {
    colours[media] = colours[media.includes("dark") ? "dark" : "light"] = content;
  }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try { return localStorage.getItem(KEY) || "system"; } catch { return "system"; }
  };
  const apply = () => {
    const choice = chosen();
    const scheme = choice === "system" ? (dark.matches ? "dark" : "light") : choice;
    document.documentElement.dataset.bsTheme = scheme;
    for (const meta of bars) meta.content = colours[choice === "system" ? meta.media : scheme];
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
