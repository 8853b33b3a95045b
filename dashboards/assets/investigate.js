// What must happen in the browser on the pages of findings, entities and incidents: the timeline's
// dots, the process tree's keys, cards that move. Only text is ever shown.
(function () {
  "use strict";

  function set(name, props) { window.dash_clientside.set_props(name, props); }

  // A dot of the timeline marks its rows in the list beneath and brings the first into view.
  function mark(dot) {
    var whole = dot.closest(".lanes").parentElement;
    var list = whole.querySelector(".timeline");
    if (!list) { return; }
    whole.querySelectorAll(".lane-dot.chosen").forEach(function (d) {
      d.classList.remove("chosen");
      d.removeAttribute("aria-pressed");
    });
    list.querySelectorAll("li.chosen").forEach(function (li) { li.classList.remove("chosen"); });
    dot.classList.add("chosen");
    dot.setAttribute("aria-pressed", "true");
    var first = null;
    dot.getAttribute("data-rows").split(",").forEach(function (number) {
      var row = list.querySelector('li[data-row="' + Number(number) + '"]');
      if (row) { row.classList.add("chosen"); first = first || row; }
    });
    if (first) { list.scrollTo({ top: first.offsetTop - list.offsetTop - 40 }); }
  }

  function move(card, to) {
    set("incidents-act", { data: {
      id: card.getAttribute("data-card"),
      version: Number(card.getAttribute("data-version")),
      to: to,
      at: Date.now(),
    } });
  }

  // The toast that tells of it has the way back.
  function takeOut(button) {
    set("incident-unlink", { data: { finding: button.getAttribute("data-unlink"), at: Date.now() } });
  }

  document.addEventListener("click", function (event) {
    var dot = event.target.closest(".lane-dot");
    if (dot) { mark(dot); }
    var act = event.target.closest("[data-move]");
    if (act) { move(act.closest("[data-card]"), act.getAttribute("data-move")); }
    var out = event.target.closest("[data-unlink]");
    if (out) { takeOut(out); }
    var head = event.target.closest(".tree-line");
    if (head) {
      var item = head.closest(".tree-item");
      focusItem(item);
      if (item.hasAttribute("aria-expanded") && event.target.closest(".tree-head")) { fold(item); }
    }
  });

  // The process tree: one stop for the tab key, arrows walk it, left and right fold.
  function shownItems(tree) {
    return Array.prototype.filter.call(tree.querySelectorAll(".tree-item"), function (item) {
      var above = item.parentElement.closest(".tree-item");
      while (above) {
        if (above.getAttribute("aria-expanded") === "false") { return false; }
        above = above.parentElement.closest(".tree-item");
      }
      return true;
    });
  }

  function focusItem(item) {
    item.closest("[role=tree]").querySelectorAll(".tree-item[tabindex='0']")
      .forEach(function (other) { other.setAttribute("tabindex", "-1"); });
    item.setAttribute("tabindex", "0");
    item.focus({ preventScroll: false });
  }

  function fold(item, to) {
    var now = item.getAttribute("aria-expanded");
    if (now === null) { return; }
    item.setAttribute("aria-expanded", to === undefined ? String(now !== "true") : String(to));
  }

  function walk(event, item) {
    var items = shownItems(item.closest("[role=tree]"));
    var at = items.indexOf(item);
    var state = item.getAttribute("aria-expanded");
    var next = null;
    if (event.key === "ArrowDown") { next = items[at + 1]; }
    if (event.key === "ArrowUp") { next = items[at - 1]; }
    if (event.key === "Home") { next = items[0]; }
    if (event.key === "End") { next = items[items.length - 1]; }
    if (event.key === "ArrowRight") {
      if (state === "false") { fold(item, true); } else if (state === "true") { next = items[at + 1]; }
    }
    if (event.key === "ArrowLeft") {
      if (state === "true") { fold(item, false); } else {
        next = item.parentElement.closest(".tree-item");
      }
    }
    if (event.key === "Enter" || event.key === " ") { fold(item); }
    if (["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight", "Home", "End", "Enter", " "]
      .indexOf(event.key) !== -1) {
      event.preventDefault();
      event.stopPropagation();
    }
    if (next) { focusItem(next); }
  }

  document.addEventListener("keydown", function (event) {
    var item = event.target.closest && event.target.closest(".tree-item");
    if (item && event.target === item) { walk(event, item); }
  });

  // Dragging a card is a convenience; the buttons on it do the same.
  var dragged = null;
  document.addEventListener("dragstart", function (event) {
    dragged = event.target.closest && event.target.closest("[data-card][draggable]");
    if (dragged) {
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", "");
      dragged.classList.add("dragged");
    }
  });
  function column(event) {
    return dragged && event.target.closest ? event.target.closest("[data-drop]") : null;
  }
  function clean() {
    document.querySelectorAll(".drop-here").forEach(function (c) { c.classList.remove("drop-here"); });
  }
  document.addEventListener("dragover", function (event) {
    var over = column(event);
    clean();
    if (over && !over.contains(dragged)) { event.preventDefault(); over.classList.add("drop-here"); }
  });
  document.addEventListener("drop", function (event) {
    var over = column(event);
    if (over && !over.contains(dragged)) {
      event.preventDefault();
      move(dragged, over.getAttribute("data-drop"));
    }
  });
  document.addEventListener("dragend", function () {
    if (dragged) { dragged.classList.remove("dragged"); }
    dragged = null;
    clean();
  });
})();
