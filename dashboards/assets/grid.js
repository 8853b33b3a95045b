// Cells of the grids. Everything is made of React elements and text: no HTML is ever parsed.
(function () {
  "use strict";
  var cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  var el = function () { return window.React.createElement.apply(window.React, arguments); };
  var levels = ["critical", "high", "medium", "low", "informational"];

  function said(iso) {
    var at = new Date(iso);
    if (isNaN(at)) { return String(iso); }
    var minutes = Math.floor((Date.now() - at.getTime()) / 60000);
    if (minutes >= 0 && minutes < 60) { return minutes < 1 ? "just now" : minutes + " min ago"; }
    if (minutes >= 0 && minutes < 2880) { return Math.floor(minutes / 60) + " h ago"; }
    if (minutes >= 0 && minutes < 10080) { return Math.floor(minutes / 1440) + " days ago"; }
    return at.toISOString().slice(0, 16).replace("T", " ");
  }

  function exact(iso) {
    var at = new Date(iso);
    return isNaN(at) ? String(iso) : at.toISOString().replace("T", " ").replace("Z", " UTC");
  }

  // On a narrow screen a row is its level and its title with entity and time beneath.
  var kept = ["level", "title"], NARROW_PX = 66;
  var later = 0;

  function again() {
    window.clearTimeout(later);
    later = window.setTimeout(fitAll, 100);
  }

  // A grid reaches from where it begins to the end of the window (the style sheet has the rest).
  function reach(grid) {
    var above = Math.round(grid.getBoundingClientRect().top + window.scrollY) + "px";
    if (grid.style.getPropertyValue("--above") !== above) { grid.style.setProperty("--above", above); }
  }

  function fit(grid) {
    if (!grid.clientWidth) { return; }
    reach(grid);
    var isNarrow = grid.clientWidth < 640;
    if (grid.dataset.narrow === String(isNarrow)) { return; }
    if (!isNarrow && !grid.dataset.narrow) { grid.dataset.narrow = "false"; return; }
    // Columns hidden before the grid's own first layout would leave it waiting for ever.
    if (!grid.querySelector(".ag-root") || grid.querySelector(".ag-delay-render")) { again(); return; }
    grid.dataset.narrow = String(isNarrow);
    window.dash_ag_grid.getApiAsync(grid.id).then(function (api) {
      var columns = api.getColumns();
      if (!columns || !columns.length) { delete grid.dataset.narrow; again(); return; }
      var all = columns.map(function (column) { return column.getColId(); });
      if (all.indexOf("title") === -1) { return; }
      if (!grid.dataset.rowPx) { grid.dataset.rowPx = api.getGridOption("rowHeight"); }
      var rowPx = isNarrow ? NARROW_PX : Number(grid.dataset.rowPx);
      api.setColumnsVisible(all.filter(function (name) { return kept.indexOf(name) === -1; }),
        !isNarrow);
      if (isNarrow) {
        api.applyColumnState({ state: [{ colId: "level", width: 134 }, { colId: "title", flex: 1 }] });
      }
      api.setGridOption("rowHeight", rowPx);
      // Rows that came block by block keep their height until they come again.
      if (api.getGridOption("rowModelType") === "infinite") { api.purgeInfiniteCache(); }
      else { api.resetRowHeights(); }
      grid.style.setProperty("--row-px", rowPx + "px");
    }).catch(function () { delete grid.dataset.narrow; /* the grid is gone with its page */ });
  }

  function fitAll() { document.querySelectorAll(".grid[id]").forEach(fit); }
  window.addEventListener("resize", fitAll);
  new MutationObserver(fitAll).observe(document.documentElement, { childList: true, subtree: true });

  function waiting(props) { return !props.data; }
  function bone() { return el("span", { className: "bone line", "aria-hidden": "true" }); }

  cells.levelCell = function (props) {
    if (waiting(props)) { return bone(); }
    if (props.value === "") { return el("span", { className: "muted" }, "none"); }
    var level = levels.indexOf(props.value) === -1 ? "informational" : props.value;
    return el("span", { className: "badge " + level },
      el("span", { className: "icon icon-" + level, "aria-hidden": "true" }),
      level.charAt(0).toUpperCase() + level.slice(1));
  };

  var statuses = { open: "Open", in_progress: "In progress", closed: "Closed" };
  cells.statusCell = function (props) {
    if (waiting(props)) { return bone(); }
    var status = statuses[props.value] ? props.value : "open";
    return el("span", { className: "badge status " + status },
      el("span", { className: "icon icon-status-" + status, "aria-hidden": "true" }),
      statuses[status]);
  };

  cells.timeCell = function (props) {
    if (waiting(props)) { return bone(); }
    if (!props.value) { return ""; }
    return el("time", { dateTime: props.value, title: exact(props.value) }, said(props.value));
  };

  // The day alone, for narrow columns; the whole moment on hover.
  cells.dayCell = function (props) {
    if (waiting(props)) { return bone(); }
    if (!props.value) { return ""; }
    var words = said(props.value), isDay = /^\d{4}-/.test(words);
    return el("time", { dateTime: props.value, title: exact(props.value) },
      isDay ? words.slice(0, 10) : words);
  };

  cells.textCell = function (props) {
    if (waiting(props)) { return bone(); }
    var text = props.value === null || props.value === undefined ? "" : String(props.value);
    return el("span", { title: text, className: "cut" }, text);
  };

  cells.monoCell = function (props) {
    if (waiting(props)) { return bone(); }
    var text = props.value === null || props.value === undefined ? "" : String(props.value);
    return el("span", { title: text, className: "cut mono" }, text);
  };

  function link(folder) {
    return function (props) {
      if (waiting(props)) { return bone(); }
      var path = folder + encodeURIComponent(String(props.data.id));
      return el("span", { className: "two" },
        el("a", {
          href: path,
          title: String(props.value),
          className: "cut",
          onClick: function (event) {
            if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) { return; }
            event.preventDefault();
            window.inopsio.go(path);
          },
        }, String(props.value)),
        el("span", { className: "under" },
          String(props.data.entity) + " · " + said(props.data.time || props.data.last_time)));
    };
  }
  cells.findingCell = link("/finding/");
  cells.incidentCell = link("/incident/");
})();
