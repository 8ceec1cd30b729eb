// What the page knows by itself: how old its facts are, whether the server still answers, and the
// reader's clock. The server's own age is the base, so that a wrong clock here cannot lie.
(() => {
  const AGING_MS = 60_000, STALE_MS = 120_000, WAKING_MS = 3_000, MISSED_POLLS = 2;
  const root = document.documentElement;
  const two = (number) => String(number).padStart(2, "0");
  let pulse = null, receivedAt = 0, wokeAt = 0;

  const span = (ms) => {
    const seconds = Math.floor(ms / 1000);
    for (const [length, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
      if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
    }
    return seconds >= 2 ? `${seconds} s` : "now";
  };
  const ago = (ms) => (ms < 2000 ? "now" : `${span(ms)} ago`);
  const day = (date) => `${date.getDate()} ${date.toLocaleString("en", { month: "short" })}`;
  const time = (date) => `${two(date.getHours())}:${two(date.getMinutes())}`;
  const zones = {};  // by offset: asking for a name takes longer than all else that a second asks
  const zone = (date) => (zones[date.getTimezoneOffset()] ??=
    date.toLocaleString("en-GB", { timeZoneName: "short" }).split(" ").pop());
  const full = (date) =>
    `${day(date)} ${date.getFullYear()}, ${time(date)}:${two(date.getSeconds())} ${zone(date)}`;

  const serverNow = () => Date.parse(pulse.takenAt) + pulse.ageMs + (Date.now() - receivedAt);
  const clock = (date, now) => {
    const old = now - date;
    if (old > 7 * 86_400_000) return day(date);
    return old > 86_400_000 ? `${time(date)} on ${day(date)}` : time(date);
  };
  const age = (date, now) => (now - date > 7 * 86_400_000 ? day(date) : ago(now - date));
  const forms = { ago: age, clock, length: (date, now) => span(now - date) };

  const write = (element, text) => {
    if (element && element.textContent !== text) element.textContent = text;
  };

  const tellTimes = (now) => {
    for (const element of document.querySelectorAll("time[data-form]")) {
      const date = new Date(element.getAttribute("datetime"));
      write(element, forms[element.dataset.form](date, now));
      if (!element.title) element.title = full(date);
    }
    write(document.getElementById("zone"), `Times in ${zone(new Date())}.`);
  };

  // fresh, waking, aging, stale; and whether it is the server or its reading that is missing
  const judge = (factsMs) => {
    const silentMs = Date.now() - receivedAt;
    const missed = silentMs > MISSED_POLLS * pulse.intervalMs + 2_000;
    const waking = Date.now() - wokeAt < WAKING_MS && receivedAt < wokeAt;
    if (waking) return ["waking", ""];
    if (missed) return ["stale", "offline"];
    if (pulse.ageMs > 3 * pulse.intervalMs) return ["stale", "stopped"];
    return [factsMs >= STALE_MS ? "stale" : factsMs >= AGING_MS ? "aging" : "fresh", ""];
  };

  const notice = (trouble) => {
    const at = time(new Date(trouble === "offline" ? receivedAt : Date.parse(pulse.takenAt)));
    return {
      "": "",
      offline: `Can't reach the server since ${at}. Check that Tailscale is on.`,
      stopped:
        `The server answers but stopped reading at ${at}. It should restart by itself; ` +
        "if not: systemctl --user restart mission-control.",
    }[trouble];
  };

  const show = () => {
    if (!pulse || !pulse.takenAt) return;
    const now = serverNow();
    const [freshness, trouble] = judge(now - Date.parse(pulse.takenAt));
    root.dataset.freshness = freshness;
    // A request that failed leaves the clock stopped that Dash had stopped for it.
    if (trouble === "offline") set("tick", { disabled: false });
    const shown = freshness === "waking" ? "Updating…" : `updated ${ago(now - Date.parse(pulse.takenAt))}`;
    write(document.getElementById("age"), shown);
    write(document.getElementById("notice"), notice(trouble));
    tellTimes(now);
    showState(freshness === "stale" ? "unknown" : pulse.level);
    drawn.takeRecords();
  };
  // Times that were drawn anew are told in the reader's zone before they are painted.
  const drawn = new MutationObserver(show);

  const showState = (level) => {
    root.dataset.level = level;
    const needing = level === "unknown" ? [] : pulse.needing;
    const title = needing.length
      ? `(${needing.length}) ${needing[0]} · Mission Control` : "Mission Control";
    if (document.title !== title) document.title = title;
    const icon = document.getElementById("icon"), href = `/assets/icons/state-${level}.svg`;
    if (icon.getAttribute("href") !== href) icon.setAttribute("href", href);
    // As it is seen: the headline, or a database's name and its badge.
    const headline = document.querySelector(".headline > h1, .headline > .section-head");
    const spoken = headline ? headline.innerText.replace(/\s+/g, " ") : "";
    write(document.getElementById("announcer"), spoken);
  };

  const received = (data) => {
    if (pulse && data.build !== pulse.build) location.reload();
    pulse = data;
    receivedAt = Date.now();
    show();
  };

  // Draws the facts as plain elements. What is drawn again changes in place only where it differs:
  // nothing closes what the reader opened, loses the focus or clears a selection.
  const KINDS = { Card: ["div", "card"], CardBody: ["div", "card-body"] };
  const list = (children) => (Array.isArray(children) ? children : [children]);
  const draw = (part) => {
    if (part === null || typeof part !== "object") return part;
    const { children = null, class_name, className, ...props } = part.props;
    const [tag, kind] = KINDS[part.type] || [part.type.toLowerCase()];
    const names = [kind, class_name, className].filter(Boolean).join(" ");
    return React.createElement(tag, { ...props, className: names || null }, ...list(children).map(draw));
  };
  const Parts = ({ id, parts }) =>
    React.createElement("div", { id, className: "parts" }, ...parts.map(draw));
  const Pulse = ({ data }) => {
    React.useEffect(() => received(data), [data]);
    return null;
  };
  window.mission_control = { Parts, Pulse };

  const set = (id, props) => window.dash_clientside.set_props(id, props);
  document.addEventListener("visibilitychange", () => {
    if (!pulse) return;
    if (document.hidden) return set("tick", { max_intervals: 0 });
    wokeAt = Date.now();
    set("tick", { max_intervals: -1, n_intervals: Date.now() });
    show();
  });

  document.addEventListener("click", (event) => {
    const seen = event.target.closest("[data-seen]");
    if (seen) return set("seen", { data: { database: seen.dataset.seen, until: pulse.takenAt } });
    const known = event.target.closest("[data-incident]");
    if (known) return set("seen", { data: { ...known.dataset, at: Date.now() } });
    const button = event.target.closest(".fold");
    if (!button) return;
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    document.getElementById(button.getAttribute("aria-controls")).classList.toggle("is-open", open);
  });

  // The server's own drawing of the cards stands until the app has drawn them too.
  const swap = () => {
    const app = document.getElementById("app"), first = document.getElementById("first-view");
    const main = app && app.querySelector("main");
    if (!first || !main) return;
    first.remove();
    app.hidden = false;
    // Of the page alone: beside it, Dash puts up and takes down a mark at each request.
    drawn.observe(main.parentElement, { childList: true, characterData: true, subtree: true });
    show();
  };

  // The charts, and Plotly with them, are wanted once they come near the visible part.
  const begun = new MutationObserver(() => {
    swap();
    const trends = document.getElementById("trends");
    if (!trends) return;
    begun.disconnect();
    window.missionControlTheme();
    const near = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      near.disconnect();
      set("reader", { data: { zone: Intl.DateTimeFormat().resolvedOptions().timeZone } });
    }, { rootMargin: "200px" });
    near.observe(trends);
  });
  begun.observe(document, { childList: true, subtree: true });

  setInterval(show, 1000);
})();
