// Cells and keys of the work pages. Everything is React elements and text: no HTML is ever parsed.
(function () {
  "use strict";
  var cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  var el = function () { return window.React.createElement.apply(window.React, arguments); };
  function text(value) { return value === null || value === undefined ? "" : String(value); }
  function bone() { return el("span", { className: "bone line", "aria-hidden": "true" }); }
  // A path of our own only: a value that begins with two slashes would lead elsewhere.
  function ours(path) { return /^[/?][^/\\]/.test(path) || path === "/"; }

  function follow(path) {
    return function (event) {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) { return; }
      event.preventDefault();
      if (path.charAt(0) === "?") { path = window.location.pathname + path; }
      window.inopsio.go(path);
    };
  }

  // The row's name as a link (data.href), with data.under beneath it.
  cells.goCell = function (props) {
    if (!props.data) { return bone(); }
    var href = text(props.data.href), said = text(props.value);
    var name = ours(href)
      ? el("a", { href: href, title: said, className: "cut", onClick: follow(href) }, said)
      : el("span", { className: "cut", title: said }, said);
    var under = text(props.data.under);
    return el("span", { className: "two" + (props.data.both ? " both" : "") }, name,
      under ? el("span", { className: "under", title: under }, under) : null);
  };

  cells.sparkCell = function (props) {
    if (!props.data) { return bone(); }
    var steps = Array.isArray(props.value) ? props.value : [];
    var top = Math.max.apply(null, steps.concat([1]));
    return el("span", { className: "spark inline", "aria-hidden": "true" },
      steps.map(function (n, i) {
        return el("i", { key: i, style: { height: Math.max(100 * n / top, n ? 8 : 3) + "%" } });
      }));
  };

  // { words, look }: a state by word and colour.
  cells.pillCell = function (props) {
    if (!props.data) { return bone(); }
    var said = props.value || {};
    if (!said.words) { return ""; }
    return el("span", { className: "badge " + text(said.look || "plain") },
      said.icon ? el("span", { className: "icon icon-" + text(said.icon), "aria-hidden": "true" })
        : null, text(said.words));
  };

  // { share: 0..1 or null, words }: how often a rule was right.
  cells.shareCell = function (props) {
    if (!props.data) { return bone(); }
    var said = props.value || {};
    if (typeof said.share !== "number") {
      return el("span", { className: "muted" }, text(said.words));
    }
    return el("span", { className: "share" },
      el("span", { className: "share-track", "aria-hidden": "true" },
        el("i", { style: { width: Math.round(100 * said.share) + "%" } })),
      el("span", { className: "nowrap" }, text(said.words)));
  };

  // A value with + and - that narrow the hunt: data-field is the column's own name.
  cells.pickCell = function (props) {
    if (!props.data) { return bone(); }
    var value = text(props.value), field = text(props.colDef.headerName);
    var said = text(props.data["said_" + props.colDef.field] || value);
    function mark(sign, name, words) {
      return el("button", {
        type: "button", className: "pick", title: words + " " + said,
        "aria-label": words + " " + field + " " + said,
        onClick: function () { pick(field, sign, value); },
      }, el("span", { className: "icon icon-" + name, "aria-hidden": "true" }));
    }
    return el("span", { className: "picked" },
      el("span", { className: "cut mono", title: said }, said),
      value ? el("span", { className: "picks" }, mark("=", "plus", "Only"),
        mark("!=", "minus", "Without")) : null);
  };

  // Put one more condition into the address of the hunt; the server reads the words.
  function pick(field, sign, value) {
    var told = new URLSearchParams(window.location.search);
    var quoted = '"' + value.replace(/\\/g, "\\\\").replace(/"/g, '\\"') + '"';
    told.set("q", ((told.get("q") || "") + " " + field + sign + quoted).trim());
    ["event", "sql"].forEach(function (name) { told.delete(name); });
    window.inopsio.go("/hunt?" + told.toString());
  }

  // Drag over the bars: the stretch becomes since and until of the address.
  var drag = null;
  function place(bars, x) {
    var box = bars.getBoundingClientRect();
    return Math.min(Math.max((x - box.left) / Math.max(box.width, 1), 0), 1);
  }
  function mark(bars, a, b) {
    var shade = bars.querySelector(".brush-shade");
    if (!shade) {
      shade = document.createElement("span");
      shade.className = "brush-shade";
      bars.appendChild(shade);
    }
    shade.style.left = 100 * Math.min(a, b) + "%";
    shade.style.width = 100 * Math.abs(b - a) + "%";
  }
  function unmark() {
    document.querySelectorAll(".brush-shade").forEach(function (one) { one.remove(); });
  }
  document.addEventListener("pointerdown", function (event) {
    var bars = event.target.closest && event.target.closest(".brush .bars");
    if (!bars || event.button) { return; }
    drag = { bars: bars, from: place(bars, event.clientX) };
    event.preventDefault();
  });
  document.addEventListener("pointermove", function (event) {
    if (drag) { mark(drag.bars, drag.from, place(drag.bars, event.clientX)); }
  });
  document.addEventListener("pointerup", function (event) {
    if (!drag) { return; }
    var to = place(drag.bars, event.clientX), whole = drag.bars.closest(".brush").dataset;
    var count = Number(whole.count), step = Number(whole.step), first = Number(whole.first);
    var a = Math.floor(Math.min(drag.from, to) * count);
    var b = Math.max(Math.ceil(Math.max(drag.from, to) * count), a + 1);
    drag = null;
    unmark();
    var told = new URLSearchParams(window.location.search);
    function at(n) { return new Date(1000 * (first + step * n)).toISOString().slice(0, 19) + "+00:00"; }
    told.set("since", at(a));
    told.set("until", at(b));
    told.delete("event");
    window.inopsio.go(window.location.pathname + "?" + told.toString());
  });
  document.addEventListener("keydown", function (event) {
    if (event.key === "Escape" && drag) { drag = null; unmark(); }
  });

  // A detail in the URL (?entry=, ?vendor=, ...) opens a drawer beside the list: the list stays as it is.
  var details = ["entry", "vendor", "payment", "letter", "event"];
  function without(search) {
    var told = new URLSearchParams(search || "");
    details.forEach(function (name) { told.delete(name); });
    var text = told.toString();
    return text ? "?" + text : "";
  }
  var shown = { path: "", search: "" };

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    work: {
      refreshUnlessOpened: function (search, name) {
        var rest = without(search), path = window.location.pathname;
        var isSame = shown.path === path && shown.search === rest;
        shown = { path: path, search: rest };
        if (!isSame && name && window.dash_ag_grid) {
          window.dash_ag_grid.getApiAsync(name).then(function (api) {
            if (api.getDisplayedRowCount() > 0) { api.ensureIndexVisible(0); }
            api.purgeInfiniteCache();
          }).catch(function () { /* the grid is gone with its page */ });
        }
        return window.dash_clientside.no_update;
      },
      refresh: function (_changed, name) {
        if (name && window.dash_ag_grid) {
          window.dash_ag_grid.getApiAsync(name).then(function (api) { api.purgeInfiniteCache(); })
            .catch(function () { /* the grid is gone with its page */ });
        }
        return window.dash_clientside.no_update;
      },
      closeDrawer: function (opened, search) {
        if (opened) { return window.dash_clientside.no_update; }
        var rest = without(search);
        return rest === (search || "") ? window.dash_clientside.no_update : rest;
      },
    },
  });
})();
