// The live connection: a websocket that only listens; ticks go to the store `live-tick`.
(function () {
  "use strict";
  var root = document.documentElement, LEAST_MS = 500, SLOW_MS = 5000, IDLE_MS = 25 * 60000;
  var socket = null, wait = 1000, timer = 0, last = null, pending = 0, told = 0, heard = 0;
  var touched = Date.now();

  function kept(name) { try { return window.localStorage.getItem(name); } catch (_) { return null; } }
  function keep(name, value) { try { window.localStorage.setItem(name, value); } catch (_) { /* off */ } }
  function isPaused() { return root.getAttribute("data-live") === "off"; }
  // A page nobody looks at or touches must not keep its session alive for ever.
  function isWatched() { return !document.hidden && Date.now() - touched < IDLE_MS; }

  function state(name) {
    if (root.getAttribute("data-live") !== name) { root.setAttribute("data-live", name); }
    var button = document.getElementById("live");
    if (button) { button.setAttribute("aria-pressed", String(name === "off")); }
  }

  function hand() {
    pending = 0;
    if (isPaused() || !last) { return; }
    // A slow machine must not be asked again before it has answered.
    if (window.inopsio.isAsking()) { pending = window.setTimeout(hand, 100); return; }
    // Before the first page stands, Dash knows no store to put it into.
    if (!window.dash_clientside || !window.dash_clientside.set_props || !document.querySelector("#page > *")) {
      pending = window.setTimeout(hand, LEAST_MS);
      return;
    }
    told = Date.now();
    window.dash_clientside.set_props("live-tick", { data: last });
  }

  function tick(message) {
    last = message;
    document.dispatchEvent(new CustomEvent("inopsio-tick", { detail: message }));
    if (!pending) { pending = window.setTimeout(hand, Math.max(0, LEAST_MS - (Date.now() - told))); }
  }

  function age(iso) {
    var s = Math.max(0, Math.round((Date.now() - new Date(iso).getTime()) / 1000));
    if (!iso || isNaN(s)) { return "no event within a minute"; }
    var said = s < 90 ? s + " s" : s < 5400 ? Math.round(s / 60) + " min" : Math.round(s / 3600) + " h";
    return s > 900 ? "events are " + said + " behind the clock" : "newest event " + said + " ago";
  }

  // Numbers that need no server: text of elements that carry data-live-text.
  document.addEventListener("inopsio-tick", function (event) {
    document.querySelectorAll("[data-live-text]").forEach(function (box) {
      var name = box.getAttribute("data-live-text"), value = event.detail[name];
      if (value === undefined) { return; }
      box.textContent = name === "newest" ? age(value) : Number(value).toLocaleString("en");
    });
  });

  // The stream of findings: lines that are there stay, new ones come in on top and flash once.
  function stream(box) {
    var told, here = window.inopsio;
    try { told = JSON.parse(box.getAttribute("data-stream")); } catch (_) { return; }
    var list = box.querySelector("ol");
    if (!list) {
      list = here.make("ol", { "class": "stream", "aria-label": "Newest findings", tabindex: "0" });
      box.replaceChildren(list);
    }
    var kept = {};
    Array.from(list.children).forEach(function (line) { kept[line.dataset.id] = line; });
    var lines = told.map(function (f) {
      var line = kept[f.id];
      if (line) {
        line.querySelector("time").textContent = f.said;
        line.classList.remove("new"); // put in again it would flash again
        return line;
      }
      var level = here.LEVELS.indexOf(f.level) === -1 ? "informational" : f.level;
      return here.make("li", { "data-id": f.id, "class": f["new"] ? "new" : "" },
        here.badge(level, level.charAt(0).toUpperCase() + level.slice(1)),
        here.make("div", { "class": "two" },
          here.link("/finding/" + encodeURIComponent(f.id), f.title),
          here.link(f.path, f.entity, "under")),
        here.make("time", { datetime: f.iso, title: f.exact }, f.said));
    });
    if (lines.length !== list.children.length || lines.some(function (l, i) { return list.children[i] !== l; })) {
      list.replaceChildren.apply(list, lines);
    }
  }
  window.inopsio.onData("data-stream", stream);

  function connect() {
    window.clearTimeout(timer);
    if (isPaused() || socket) { return; }
    if (!isWatched()) { state("away"); return; }
    var scheme = window.location.protocol === "https:" ? "wss://" : "ws://";
    socket = new WebSocket(scheme + window.location.host + "/_live");
    socket.onmessage = function (event) {
      if (isPaused()) { return; }
      heard = Date.now();
      wait = 1000;
      state("on");
      try { tick(JSON.parse(event.data)); } catch (_) { /* not ours */ }
      if (!isWatched()) { drop(); }
    };
    socket.onclose = function () {
      socket = null;
      if (isPaused()) { return; }
      state("away");
      timer = window.setTimeout(connect, wait * (0.7 + 0.6 * Math.random()));
      wait = Math.min(wait * 2, 30000);
    };
  }

  function drop() {
    window.clearTimeout(timer);
    var old = socket;
    socket = null;
    if (old) { old.onclose = null; old.onmessage = null; old.close(); }
  }

  // Without the connection pages ask again by themselves, slowly.
  window.setInterval(function () {
    if (isPaused() || !isWatched()) { return; }
    if (!socket) { connect(); }
    if (Date.now() - heard > 2 * SLOW_MS) { tick({ at: new Date().toISOString(), slow: true }); }
  }, SLOW_MS);

  document.addEventListener("click", function (event) {
    if (!event.target.closest || !event.target.closest("#live")) { return; }
    if (isPaused()) {
      keep("inopsio-live", "on");
      state("away");
      wait = 1000;
      connect();
    } else {
      keep("inopsio-live", "off");
      state("off");
      drop();
    }
  });
  ["pointerdown", "keydown"].forEach(function (name) {
    document.addEventListener(name, function () {
      touched = Date.now();
      if (!socket && !isPaused()) { connect(); }
    }, { passive: true });
  });
  document.addEventListener("visibilitychange", function () {
    if (document.hidden) { drop(); if (!isPaused()) { state("away"); } } else { touched = Date.now(); connect(); }
  });

  state(kept("inopsio-live") === "off" ? "off" : "away");
  connect();
})();
