// The findings queue: its rows (data in an attribute, made into elements and text: no HTML is ever
// parsed), choosing them, keys, filter in and out, acts.
(function () {
  "use strict";
  var list = function () { return document.getElementById("findings-list"); };
  var rows = function () { var l = list(); return l ? Array.from(l.querySelectorAll("tr[data-row]")) : []; };
  var chosen = function () { return rows().filter(function (r) { return r.getAttribute("aria-selected") === "true"; }); };
  var current = function () { return rows().find(function (r) { return r.hasAttribute("data-here"); }); };
  var set = function (id, props) { window.dash_clientside.set_props(id, props); };

  var LEVELS = window.inopsio.LEVELS, STATUSES = window.inopsio.STATUSES;

  var make = window.inopsio.make, icon = window.inopsio.icon, badge = window.inopsio.badge, link = window.inopsio.link;

  function check(label, id) {
    return make("button", { type: "button", "class": "check", role: "checkbox", id: id,
      "aria-checked": "false", "aria-label": label }, make("span", { "class": "box" }));
  }

  function two(first, under) {
    return make("div", { "class": "two" }, first, make("span", { "class": "under" }, under || ""));
  }

  function cell(look, field, value, words, inside) {
    return make("td", { "class": look, "data-cell": field, "data-value": value },
      make("div", { "class": "cell" }, inside, make("span", { "class": "pms" },
        make("button", { type: "button", "class": "pm", "data-plus": "", title: "Only this",
          "aria-label": "Only " + words }, icon("plus")),
        make("button", { type: "button", "class": "pm", "data-minus": "", title: "Leave this out",
          "aria-label": "Leave out " + words }, icon("minus")))));
  }

  function line(row, data) {
    var level = LEVELS.indexOf(row.level) === -1 ? "informational" : row.level;
    var name = level.charAt(0).toUpperCase() + level.slice(1);
    var said = row.title + " on " + row.shown;
    var incident = row.incident
      ? two(link("/incident/" + encodeURIComponent(row.incident), "", "plain"), row.who || "nobody's")
      : make("span", { "class": "muted" }, "none");
    if (row.incident) { incident.firstChild.append(badge(STATUSES[row.status] ? row.status : "open",
      STATUSES[row.status] || "Open")); }
    return make("tr", { "data-row": JSON.stringify(row.which) },
      data.work ? make("td", { "class": "c-box" }, check("Choose " + said)) : null,
      cell("c0", "level", row.level, name, badge(level, name)),
      cell("c1", "rule", row.rule, row.title,
        two(link("/finding/" + encodeURIComponent(row.which.f), row.title), row.under)),
      cell("c2", "entity", row.entity, row.entity, two(link(row.path, row.shown), row.type)),
      make("td", { "class": "c3" }, incident),
      make("td", { "class": "c4 number" }, row.count),
      make("td", { "class": "c5" }, make("time", { datetime: row.iso, title: row.exact }, row.said)));
  }

  function render(box) {
    var data;
    try { data = JSON.parse(box.getAttribute("data-queue")); } catch (_) { return; }
    var heads = ["Level", "Finding", "Entity", "Incident", data.grouped ? "Count" : "Events", "Last seen"];
    var head = make("tr", {}, data.work ? make("th", { "class": "c-box" }, check("Choose all rows", "findings-all")) : null);
    heads.forEach(function (words, at) { head.append(make("th", { scope: "col", "class": "c" + at }, words)); });
    var body = make("tbody", {});
    data.rows.forEach(function (row) { body.append(line(row, data)); });
    var table = make("table", { "class": "queue" }, make("caption", { "class": "unseen" }, "Findings"),
      make("thead", {}, head), body);
    box.replaceChildren(table);
    count();
  }

  window.inopsio.onData("data-queue", render);

  function choose(row, isOn) {
    row.setAttribute("aria-selected", String(isOn));
    var box = row.querySelector(".check");
    if (box) { box.setAttribute("aria-checked", String(isOn)); }
  }

  function count() {
    var bar = document.getElementById("findings-bar"), number = chosen().length;
    if (!bar) { return; }
    bar.toggleAttribute("data-open", number > 0);
    bar.querySelector("[data-chosen]").textContent = number + (number === 1 ? " row chosen" : " rows chosen");
    var all = document.getElementById("findings-all");
    if (all) { all.setAttribute("aria-checked", number && number === rows().length ? "true" : number ? "mixed" : "false"); }
  }

  function stand(row, isFocused) {
    rows().forEach(function (r) { r.removeAttribute("data-here"); });
    if (!row) { return; }
    row.setAttribute("data-here", "");
    row.scrollIntoView({ block: "nearest" });
    if (isFocused) { row.querySelector(".c1 a").focus({ preventScroll: true }); }
  }

  function step(by) {
    var all = rows(), at = all.indexOf(current());
    stand(all[Math.max(0, Math.min(all.length - 1, at === -1 ? 0 : at + by))], true);
  }

  // The rows acted on: those chosen, else the one that one stands on.
  function meant() {
    var told = chosen();
    if (!told.length && current()) { told = [current()]; }
    return told.map(function (row) { return JSON.parse(row.getAttribute("data-row")); });
  }

  function act(name, value) {
    var told = meant();
    if (told.length && document.getElementById("findings-bar")) {
      set("findings-act", { data: { act: name, value: value || "", rows: told, at: Date.now() } });
      rows().forEach(function (row) { choose(row, false); });
      count();
    }
    set("findings-verdict", { opened: false });
  }

  function filter(button, isOut) {
    var cell = button.closest("[data-cell]");
    var field = cell.getAttribute("data-cell"), value = cell.getAttribute("data-value");
    var query = new URLSearchParams(window.location.search);
    query.delete("page");
    if (isOut) { query.append("no", field + ":" + value); } else { query.set(field, value); }
    window.inopsio.go(window.location.pathname + "?" + query.toString());
  }

  document.addEventListener("click", function (event) {
    if (!event.target.closest || !list()) { return; }
    var plus = event.target.closest("[data-plus]"), minus = event.target.closest("[data-minus]");
    if (plus || minus) { filter(plus || minus, !plus); return; }
    var box = event.target.closest(".check");
    if (box && box.id === "findings-all") {
      var isOn = box.getAttribute("aria-checked") !== "true";
      rows().forEach(function (row) { choose(row, isOn); });
      count();
    } else if (box) {
      var row = box.closest("tr");
      choose(row, row.getAttribute("aria-selected") !== "true");
      stand(row, false);
      count();
    }
    var button = event.target.closest("[data-act]");
    if (button && button.getAttribute("data-act") === "clear") {
      rows().forEach(function (r) { choose(r, false); });
      count();
    } else if (button) { act(button.getAttribute("data-act"), button.getAttribute("data-value")); }
    if (event.target.closest("#findings-new")) {
      document.getElementById("findings-new").hidden = true;
      set("findings-again", { data: Date.now() });
      window.scrollTo(0, 0);
    }
  });

  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !event.target.closest) { return; }
    if (event.target.closest("input, textarea, select, [contenteditable]")) { return; }
    if (event.key === "?") { set("keys", { opened: true }); return; }
    var open = document.querySelector(".mantine-Modal-content [data-act]");
    var verdicts = ["true_positive", "false_positive", "benign"];
    if (open && ["1", "2", "3"].indexOf(event.key) !== -1) { act("close", verdicts[event.key - 1]); return; }
    if (!list() || open) { return; }
    if (event.key === "j") { step(1); } else if (event.key === "k") { step(-1); }
    else if (event.key === "x" && current()) {
      choose(current(), current().getAttribute("aria-selected") !== "true");
      count();
    } else if (event.key === "e" && meant().length && document.getElementById("findings-bar")) {
      event.preventDefault();
      set("findings-verdict", { opened: true });
    } else if (event.key === "c") { act("gather"); } else { return; }
    event.preventDefault();
  });

  document.addEventListener("click", function (event) {
    if (!event.target.closest) { return; }
    if (event.target.closest("#keys-open")) { set("keys", { opened: true }); }
    var drop = event.target.closest("[data-drop-view]");
    if (drop) { set("findings-drop", { data: { name: drop.getAttribute("data-drop-view"), at: Date.now() } }); }
  });

  // Rows stay put while the queue is live: a pill says how many are new.
  document.addEventListener("inopsio-tick", function (event) {
    var pill = document.getElementById("findings-new"), shown = list();
    if (!pill || !shown || !event.detail.findings) { return; }
    var since = new Date(shown.getAttribute("data-arrived") || 0).getTime();
    var number = event.detail.findings.filter(function (f) { return new Date(f.at).getTime() > since; }).length;
    pill.hidden = !number;
    pill.textContent = (number >= 50 ? "50 or more" : number) + " new";
  });
})();
