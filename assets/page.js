// Draws the facts and updates their age, the notice about the server, and all times.
// The age is that of the drawn facts, which may be older than the received ones.
(() => {
  const AGING_MS = 60_000, STALE_MS = 120_000, WAKING_MS = 3_000, MISSED_POLLS = 2;
  const CHARTS_LATE_MS = 20_000, TYPING_MS = 300, HIDDEN_POLL_MS = 60_000, ASLEEP_MS = 5_000, THROTTLED_MS = 150_000;
  const root = document.documentElement, recovery = window.missionControlRecovery;
  const byId = (id) => document.getElementById(id);
  const set = (id, props) => window.dash_clientside.set_props(id, props);
  const two = (number) => String(number).padStart(2, "0");
  const calmTitle = document.title;
  let pulse = null, latest = null, build = null, drawnAt = 0, serverAt = 0, wokeAt = 0, typing = 0;

  // Elapsed milliseconds. While a machine sleeps, one of its two clocks may stop. Setting the clock
  // back has no effect.
  let ticks = performance.now(), wall = Date.now(), elapsed = 0;
  const clockMs = () => {
    const step = performance.now() - ticks, jump = Date.now() - wall - step;
    ticks += step;
    wall += step + jump;
    elapsed += step + (jump > ASLEEP_MS ? jump : 0);
    const isLong = step > (document.hidden ? THROTTLED_MS : ASLEEP_MS);
    if (pulse && (isLong || jump > ASLEEP_MS)) wake();
    return elapsed;
  };

  const pollMs = () => (document.hidden ? Math.max(HIDDEN_POLL_MS, pulse.intervalMs) : pulse.intervalMs);
  const poll = () => set("tick", { interval: pollMs(), disabled: false, n_intervals: Date.now() });
  // Facts drawn at the moment of waking are old: they may have been queued while the tab slept.
  const wake = () => {
    const isAgain = wokeAt && elapsed - wokeAt < 1_000;
    wokeAt = elapsed + 1;
    if (!isAgain) poll();
  };

  const span = (ms) => {
    const seconds = Math.floor(ms / 1000);
    for (const [length, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
      if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
    }
    return seconds >= 2 ? `${seconds} s` : "now";
  };
  const ago = (ms) => (ms < 2000 ? "now" : `${span(ms)} ago`);
  // Cached, because formatting a name takes longer than all other work of a second.
  const months = {}, zones = {};
  const month = (date) => (months[date.getMonth()] ??= date.toLocaleString("en", { month: "short" }));
  const day = (date) => `${date.getDate()} ${month(date)}`;
  const time = (date) => `${two(date.getHours())}:${two(date.getMinutes())}`;
  const zone = (date) => (zones[date.getTimezoneOffset()] ??=
    date.toLocaleString("en-GB", { timeZoneName: "short" }).split(" ").pop());
  const full = (date) =>
    `${day(date)} ${date.getFullYear()}, ${time(date)}:${two(date.getSeconds())} ${zone(date)}`;

  // The server's time plus the time elapsed since, so that the browser's clock may be wrong.
  const serverNow = () => serverAt + clockMs() - drawnAt;
  // As in words/numbers.py: the year of a day that is not near, and the day of a time that is not.
  const DAY_MS = 86_400_000;
  const dayOf = (date, now) =>
    Math.abs(now - date) > 300 * DAY_MS ? `${day(date)} ${date.getFullYear()}` : day(date);
  const clock = (date, now) => {
    const away = Math.abs(now - date);
    if (away > 7 * DAY_MS) return dayOf(date, now);
    return away > DAY_MS ? `${time(date)} on ${day(date)}` : time(date);
  };
  const age = (date, now) => (now - date > 7 * DAY_MS ? dayOf(date, now) : ago(now - date));
  const stamp = (date, now) => clock(date, now).split(" on ").reverse().join(" ");
  const forms = { ago: age, clock, stamp, length: (date, now) => span(now - date) };

  // Writes into an element of OWN. A translator may have changed its text since: that stays until ours
  // differs, because to write each second would undo the translation each second.
  const OWN = "time[data-form], #notice";
  const write = (element, text) => {
    if (!element || element.written === text) return;
    element.written = text;
    const only = element.childNodes.length === 1 && element.firstChild;
    if (only && only.nodeType === Node.TEXT_NODE && element.id !== "notice") only.data = text;
    // `Commands` become elements that one tap selects.
    else element.replaceChildren(...text.split("`").map((piece, at) =>
      at % 2 ? Object.assign(document.createElement("code"), { textContent: piece }) : piece));
  };

  const showTimes = (now) => {
    for (const element of document.querySelectorAll("time[data-form]")) {
      const iso = element.getAttribute("datetime"), date = new Date(iso);
      // On a stale card a clock time stays true.
      const isFrozen = root.dataset.freshness === "stale" && element.closest(".facts");
      write(element, forms[isFrozen ? "clock" : element.dataset.form](date, now));
      if (element.titledAt !== iso) element.title = full(date);
      element.titledAt = iso;
    }
    write(byId("zone"), ` · times in ${zone(new Date())}`);
  };

  // Returns freshness and problem: "silent" if new facts are overdue, "stopped" if readings are.
  const judge = (now, factsMs) => {
    if (wokeAt > drawnAt && now - wokeAt < WAKING_MS) return ["waking", ""];
    if (now - drawnAt > MISSED_POLLS * pollMs() + 2_000) return ["stale", "silent"];
    if (pulse.ageMs > 3 * pulse.intervalMs) return ["stale", "stopped"];
    return [factsMs >= STALE_MS ? "stale" : factsMs >= AGING_MS ? "aging" : "fresh", ""];
  };

  const notice = (problem) => {
    if (!problem) return "";
    if (problem === "stopped") {
      return `The server stopped reading at ${time(new Date(pulse.takenAt))}. If this lasts: ` +
        "`systemctl --user restart mission-control`";
    }
    const at = time(new Date(serverAt)), { answer } = recovery;
    if (answer === null) return `No answer since ${at}.`;
    if (answer === 200) {
      return `The server answers, but this page has not been updated since ${at}. It reloads by itself.`;
    }
    if ([302, 401, 403].includes(answer)) {
      return `The server has refused this page since ${at} (${answer}). Reload it to sign in again.`;
    }
    if (answer) return `The server has answered with an error since ${at} (${answer}). See its log.`;
    return navigator.onLine ? `Can't reach the server since ${at}. Check that Tailscale is on.`
      : `This device has been offline since ${at}.`;
  };

  // The age comes first, so that it is shown even if a later step fails.
  const show = () => {
    if (!pulse) return;
    const now = serverNow(), factsMs = pulse.takenAt ? now - Date.parse(pulse.takenAt) : 0;
    const [freshness, problem] = judge(elapsed, factsMs);
    root.dataset.freshness = freshness;
    const updated = pulse.takenAt ? `updated ${ago(factsMs)}` : "nothing read yet";
    write(byId("age"), freshness === "waking" ? "Updating…" : updated);
    write(byId("notice"), notice(problem));
    if (problem === "silent") recovery.check();
    showState(freshness === "stale" ? "unknown" : pulse.level);
    if (chartsAt !== null) judgeCharts();
    // Ages of stale facts stop, because there may have been a write since.
    showTimes(freshness === "stale" && pulse.takenAt ? Date.parse(pulse.takenAt) : now);
  };
  recovery.onAnswer = () => pulse && poll();

  // Charts arrive by a request of their own, which may fail, as may that for Plotly; an extension may
  // keep them from being drawn. A hidden mark tells which ones were. One request at a time, except for
  // another query: Dash drops the answer to a request once there is a newer one.
  let chartsAt = null;  // when they were asked for or right
  let charts = "", asked = "", askedSearch = "", isAsking = false;
  const newestCharts = () => `${pulse?.recorded ?? ""} ${window.location.search}`;
  const requestCharts = () => {
    [chartsAt, asked, askedSearch, isAsking] = [clockMs(), newestCharts(), window.location.search, true];
    set("browser", { data: { zone: Intl.DateTimeFormat().resolvedOptions().timeZone, at: Date.now() } });
  };
  const judgeCharts = () => {
    if (askedSearch !== window.location.search) return requestCharts();
    const isBlank = [...document.querySelectorAll("#panels .frame")].some((frame) => !frame.querySelector("svg"));
    const drawn = (!isBlank && document.querySelector("#panels [data-drawn]")?.dataset.drawn) || "";
    const newest = newestCharts();
    if (drawn === newest || (drawn && drawn !== charts)) {
      [chartsAt, charts, isAsking] = [elapsed, drawn, false];
      write(byId("charts-late"), "");
    }
    const isRight = drawn === newest || (drawn && !isAsking && asked === newest);  // or newer than the facts
    if (isRight || document.hidden) return;
    const isLate = elapsed - chartsAt > CHARTS_LATE_MS;
    if (isLate) {
      const [at] = drawn.split(" "), since = at ? `updated since ${time(new Date(at))}` : "drawn";
      write(byId("charts-late"), `The charts have not been ${since}. If this lasts, reload the page.`);
    }
    if (isLate || (!isAsking && asked !== newest)) requestCharts();
  };

  const showState = (level) => {
    root.dataset.level = level;
    write(document.head.querySelector("title"), level === "unknown" ? calmTitle : pulse.title);
    const icon = byId("icon"), href = `/assets/icons/state-${level}.svg`;
    if (icon && icon.getAttribute("href") !== href) icon.setAttribute("href", href);
    // Announce what is visible: the headline, or a database's name and its badge.
    const headline = document.querySelector(".headline > h1, .headline > .section-head");
    const age = headline?.querySelector("h1 time")?.innerText;  // it changes by itself
    write(byId("announcer"), headline ? headline.innerText.replace(`, ${age}`, "").replace(/\s+/g, " ") : "");
  };

  // Draws the server's HTML by changing only what differs, so that open parts, the focus and the
  // selection stay. Translators and extensions change the page too: they wrap text or remove elements.
  // If our content did not change, theirs stays. If it changed or is missing, it is restored and foreign
  // nodes are removed.
  const drawn = new WeakMap();  // for each of our nodes: its source in the HTML, and the children drawn
  const make = (from) => {
    const node = from.cloneNode();
    drawn.set(node, { from, children: [] });
    if (from.nodeType === Node.ELEMENT_NODE) fill(node, from);
    return node;
  };
  const change = (node, from, parent) => {
    const was = drawn.get(node).from;
    if (node.nodeType === Node.TEXT_NODE) {
      if (was.data === from.data) return node;
      if (node.parentNode !== parent) return make(from);
      node.data = from.data;
    } else {
      for (const { name } of [...was.attributes, ...from.attributes]) {
        const value = from.getAttribute(name);
        if (value === was.getAttribute(name)) continue;
        if (value === null) node.removeAttribute(name);
        else node.setAttribute(name, value);
        if (name === "value" && value === nameFilter() && !typing) node.value = value;
      }
      if (!node.matches(OWN)) fill(node, from);
    }
    drawn.get(node).from = from;
    return node;
  };
  const fill = (element, from) => {
    const was = drawn.get(element)?.children ?? [];
    const children = [...from.childNodes].map((source, at) =>
      was[at]?.nodeName === source.nodeName ? change(was[at], source, element) : make(source));
    drawn.set(element, { from, children });
    const isInPlace = (child, at) => child === was[at] &&
      (child.nodeType === Node.TEXT_NODE || child.parentNode === element);
    if (was.length === children.length && children.every(isInPlace)) return;
    const own = new Set(children);
    for (const child of [...element.childNodes]) if (!own.has(child)) child.remove();
    let next = element.firstChild;
    for (const child of children) {
      if (child === next) next = next.nextSibling;
      else element.insertBefore(child, next);
    }
  };
  const parsed = new WeakMap();
  let isTouched = false;  // by a translator or an extension
  const foreign = new MutationObserver(() => { isTouched = true; });
  const draw = (element, html) => {
    isTouched ||= foreign.takeRecords().length > 0;
    const isSame = parsed.get(element)?.html === html;
    if (isSame && !isTouched) return;
    if (!isSame) {
      const template = document.createElement("template");
      template.innerHTML = html;
      parsed.set(element, { html, content: template.content });
    }
    fill(element, parsed.get(element).content);
    foreign.observe(element, { childList: true, subtree: true });
    foreign.takeRecords();  // our own changes
  };

  // Draws the newest facts. If that fails, the age of the previous ones keeps growing.
  const drawLatest = () => {
    const { data, facts } = latest;
    // A proxy repeats an answer: the age of the same readings would have grown.
    if (pulse?.takenAt && pulse !== data && pulse.takenAt === data.takenAt && pulse.ageMs === data.ageMs) return;
    build ??= data.build;
    if (data.build !== build && recovery.reload(performance.now())) return;
    const focused = document.activeElement, place = focused.closest(".acknowledge")?.closest("[id]");
    draw(byId("before-charts"), facts[0]);
    draw(byId("after-charts"), facts[1]);
    isTouched = false;
    // A used button goes away, in other browsers too. The focus moves on to what takes its place.
    if (place && !focused.isConnected) {
      (place.querySelector(".acknowledge :is(button, summary)") ?? place.querySelector("a"))?.focus();
    }
    const isFirst = !pulse;
    drawnAt = clockMs();
    serverAt = data.takenAt ? Date.parse(data.takenAt) + data.ageMs : Date.now();
    pulse = data;
    recovery.drawn();
    showApp();
    write(byId("printed-age"), data.takenAt ? `As of ${full(new Date(data.takenAt))}` : "");
    show();
    if (isFirst && document.hidden) set("tick", { interval: pollMs() });
  };
  // The first view, drawn by the server, stays until the app has drawn the cards.
  const showApp = () => {
    const early = byId("filter"), isFocused = early && early === document.activeElement;
    const [opened, own] = ["#first-view", "#app"].map((view) =>
      document.querySelectorAll(`${view} :is(details, .fold)`));
    opened.forEach(({ open, ariaExpanded }, at) => Object.assign(own[at] ?? {}, { open, ariaExpanded }));
    byId("first-view")?.remove();
    byId("app").hidden = false;
    if (early?.isConnected !== false || !byId("filter")) return;
    byId("filter").value = early.value;
    if (isFocused) byId("filter").focus();
    filter();
  };

  const Parts = ({ id, html }) => {
    const place = React.useRef();
    React.useLayoutEffect(() => {
      draw(place.current, html);
      if (pulse) showTimes(serverNow());
      if (fingerAt !== null) showFinger();
    }, [html]);
    return React.createElement("div", { id, className: "parts", ref: place });
  };
  const Pulse = ({ data, facts }) => {
    React.useLayoutEffect(() => {
      latest = { data, facts };
      try { drawLatest(); } catch (error) { console.error(error); }
    }, [data, facts]);
    return null;
  };
  window.mission_control = { Parts, Pulse };

  const onWake = ({ type, persisted }) => {
    if (!pulse || (type === "pageshow" && !persisted)) return;
    if (document.hidden) return set("tick", { interval: pollMs() });
    clockMs();
    wake();
    show();
  };
  document.addEventListener("visibilitychange", onWake);
  document.addEventListener("resume", onWake);
  window.addEventListener("pageshow", onWake);
  window.addEventListener("online", onWake);
  // A frozen tab cannot update its icon.
  document.addEventListener("freeze", () => pulse && showState("unknown"));

  document.addEventListener("keydown", (event) => {
    const open = event.key === "Escape" && event.target.closest(".acknowledge [open]");
    if (!open) return;
    open.removeAttribute("open");
    open.querySelector("summary").focus();
  });

  // One finger: the same instant in every chart, because all have one time axis.
  let fingerAt = null;
  const percent = (share) => `${100 * share}%`;
  const follow = ({ target, clientX }) => {
    const plot = target.closest?.(".frame")?.querySelector(".plot").getBoundingClientRect();
    if (!plot && fingerAt === null) return;
    fingerAt = plot ? Math.min(0.9999, Math.max(0, (clientX - plot.left) / plot.width)) : null;
    showFinger();
  };
  const showFinger = () => {
    const shared = document.querySelector(".below[data-edges]")?.dataset;
    if (!shared) return;
    const edges = JSON.parse(shared.edges), names = JSON.parse(shared.names);
    const at = fingerAt === null ? -1 : edges.findLastIndex((edge) => edge <= fingerAt);
    for (const plot of document.querySelectorAll(".plot[data-facts]")) {
      const finger = plot.closest(".panel").querySelector(".finger");
      if (at < 0) finger.replaceChildren();
      else pointAt(plot, finger, at, edges, names[at]);
    }
  };
  const pointAt = (plot, finger, at, edges, name) => {
    const { facts, gap, top } = plot.dataset, fact = JSON.parse(facts)[at], width = edges[1] - edges[0];
    const [bar, line] = plot.querySelectorAll(".finger-bar, .finger-line");
    // A bar covers 70% of its step. Plotly draws whole pixels, which the finger covers too.
    line.style.left = percent(edges[at] + (top ? 0.35 * width : 0));
    Object.assign(bar.style, { left: percent(edges[at]), width: `calc(${percent(0.7 * width)} + 1px)`,
      height: percent(top && fact > 0 ? Math.min(1, Math.max(0.04, fact / top)) : 0) });
    const mark = [...plot.querySelectorAll(".rule")].find((rule) =>
      Math.abs(rule.offsetLeft - fingerAt * plot.clientWidth) <= 8);
    // That of a measure is a text with its unit.
    const rows = typeof fact !== "number" ? fact ?? "" : `${fact.toLocaleString("en")} ${fact === 1 ? "row" : "rows"}`;
    const said = mark?.dataset.text ?? rows;
    const time = document.createElement("span");
    time.textContent = `${said ? "" : gap} ${mark?.dataset.time ?? name}`;
    finger.replaceChildren(said, time);
  };
  root.addEventListener("pointerleave", follow);
  for (const type of ["pointerdown", "pointermove", "click"]) document.addEventListener(type, follow);

  // A new query brings new facts and charts without loading the page again: dcc.Location hears of it.
  const go = (url, isRefined) => {
    url.search ||= "";  // without the "?" of an empty one
    window.history[isRefined ? "replaceState" : "pushState"](null, "", url);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    show();
  };
  const nameFilter = () => new URL(window.location).searchParams.get("name") ?? "";
  const filter = () => {
    clearTimeout(typing);
    typing = 0;
    const url = new URL(window.location), before = nameFilter(), { value } = byId("filter");
    if (value === before) return;
    url.searchParams.delete("name");
    if (value) url.searchParams.append("name", value);
    go(url, value && before);
  };
  document.addEventListener("input", ({ target }) => {
    if (target.id !== "filter") return;
    clearTimeout(typing);
    typing = setTimeout(filter, TYPING_MS);
  });
  document.addEventListener("submit", (event) => pulse && event.preventDefault());

  const visit = (event, link) => {
    const here = window.location, isOther = link.origin + link.pathname !== here.origin + here.pathname;
    if (isOther || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const isFilteredOut = link.hash && !byId(link.hash.slice(1)), url = new URL(link.href);
    if (link.search === here.search && !isFilteredOut) return;
    event.preventDefault();
    if (!isFilteredOut) return go(url), byId(link.hash.slice(1))?.scrollIntoView();
    for (const name of ["name", "state"]) url.searchParams.delete(name);
    here.assign(url);
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (link && pulse) return visit(event, link);
    const fold = event.target.closest(".fold"), button = event.target.closest("[data-acknowledge]");
    if (fold) fold.ariaExpanded = String(fold.ariaExpanded !== "true");
    if (!button) return;
    const { dataset } = button.closest(".acknowledge");
    set("action", { data: { ...dataset, ...button.dataset, until: pulse.takenAt, at: Date.now() } });
  });

  // Load the charts, and Plotly (400 kB) with them, once they come into view.
  const started = new MutationObserver(() => {
    const trends = byId("trends");
    if (!trends) return;
    started.disconnect();
    window.missionControlTheme();
    const near = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      near.disconnect();
      requestCharts();
    });
    near.observe(trends);
  });
  started.observe(document, { childList: true, subtree: true });

  setInterval(show, 1000);
})();
