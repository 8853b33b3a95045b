// What must happen in the browser: end of session, sign out, navigation, keys. No data is kept.
(function () {
  "use strict";

  // A session that ended shows in the first answer: go and sign in, then come back.
  var plainFetch = window.fetch;
  var asking = 0;
  window.fetch = function (what) {
    var isOurs = String((what && what.url) || what).indexOf("/_dash-update-component") !== -1;
    if (!isOurs) { return plainFetch.apply(this, arguments); }
    asking += 1;
    return plainFetch.apply(this, arguments).finally(function () { asking -= 1; }).then(function (answer) {
      if (answer.status === 401 && answer.url.indexOf("/_dash-") !== -1) {
        var here = window.location.pathname;
        window.location.assign("/sign-in?next=" + encodeURIComponent(here));
      }
      return answer;
    });
  };

  function signOut() {
    plainFetch("/v1/session")
      .then(function (answer) { return answer.json(); })
      .then(function (me) {
        return plainFetch("/v1/session", {
          method: "DELETE", headers: { "X-CSRF-Token": me.csrf_token },
        });
      })
      .finally(function () { window.location.assign("/sign-in"); });
  }

  function go(path) {
    window.history.pushState({}, "", path);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    window.scrollTo(0, 0);
  }

  // Elements and text from data: no HTML is ever parsed.
  var LEVELS = ["critical", "high", "medium", "low", "informational"];
  var STATUSES = { open: "Open", in_progress: "In progress", closed: "Closed" };

  // make("td", { class: "c1" }, "text", element, ...)
  function make(name, told) {
    var made = document.createElement(name);
    Object.keys(told || {}).forEach(function (key) {
      if (told[key] !== null && told[key] !== undefined) { made.setAttribute(key, told[key]); }
    });
    made.append.apply(made, Array.prototype.slice.call(arguments, 2).filter(Boolean));
    return made;
  }

  function icon(name) { return make("span", { "class": "icon icon-" + name, "aria-hidden": "true" }); }

  function badge(look, words) {
    var status = STATUSES[look] ? "status-" + look : look;
    return make("span", { "class": "badge " + (STATUSES[look] ? "status " : "") + look }, icon(status), words);
  }

  function link(path, words, look) {
    return make("a", { href: path, "class": look || "cut", title: look ? null : words, "data-go": "" }, words);
  }

  // Call `draw(element)` for each element that has or gets the attribute, and when it changes.
  function onData(name, draw) {
    new MutationObserver(function (changes) {
      var found = new Set();
      changes.forEach(function (change) {
        if (change.type === "attributes") { found.add(change.target); return; }
        change.addedNodes.forEach(function (node) {
          if (node.nodeType !== 1) { return; }
          if (node.hasAttribute(name)) { found.add(node); }
          node.querySelectorAll("[" + name + "]").forEach(function (box) { found.add(box); });
        });
      });
      found.forEach(draw);
    }).observe(document.documentElement,
      { childList: true, subtree: true, attributes: true, attributeFilter: [name] });
  }

  // Links of our own making stay inside the application.
  document.addEventListener("click", function (event) {
    var go = event.target.closest && event.target.closest("a[data-go]");
    if (!go || event.metaKey || event.ctrlKey || event.shiftKey || event.button) { return; }
    event.preventDefault();
    window.inopsio.go(go.getAttribute("href"));
  });

  window.inopsio = { go: go, isAsking: function () { return asking > 0; }, make: make, icon: icon, badge: badge, link: link, onData: onData,
    LEVELS: LEVELS, STATUSES: STATUSES };

  // React notices a change only if it comes through the element's own setter.
  function write(text, whole) {
    var box = document.getElementById("hunt-sql");
    if (!box) { return; }
    var at = box.selectionStart, end = box.selectionEnd;
    var next = whole ? text : box.value.slice(0, at) + text + box.value.slice(end);
    Object.getOwnPropertyDescriptor(window.HTMLTextAreaElement.prototype, "value").set
      .call(box, next);
    box.dispatchEvent(new Event("input", { bubbles: true }));
    box.focus();
    if (!whole) { box.setSelectionRange(at + text.length, at + text.length); }
  }

  function run() {
    window.setTimeout(function () {
      var button = document.getElementById("hunt-run");
      if (button) { button.click(); }
    }, 50);
  }

  var root = document.documentElement;
  function keep(name, value) { try { window.localStorage.setItem(name, value); } catch (_) { /* off */ } }

  // The navigation: icons only on a wide screen, a drawer on a narrow one.
  function drawer(isOpen) {
    if (isOpen) { root.setAttribute("data-drawer", "open"); } else { root.removeAttribute("data-drawer"); }
    var button = document.getElementById("nav-open");
    if (button) { button.setAttribute("aria-expanded", String(isOpen)); }
  }

  function fold() {
    var isSmall = root.getAttribute("data-nav") === "small";
    if (isSmall) { root.removeAttribute("data-nav"); } else { root.setAttribute("data-nav", "small"); }
    keep("inopsio-nav", isSmall ? "wide" : "small");
  }

  function closeMenus(but) {
    document.querySelectorAll("details.menu[open]").forEach(function (menu) {
      if (menu !== but) { menu.removeAttribute("open"); }
    });
  }

  function copied(button, text) {
    window.navigator.clipboard.writeText(text).then(function () {
      button.setAttribute("data-copied", "");
      window.setTimeout(function () { button.removeAttribute("data-copied"); }, 1500);
    }).catch(function () { /* the browser refused; the text can still be selected */ });
  }

  document.addEventListener("click", function (event) {
    if (event.target.closest("#sign-out")) { signOut(); }
    if (event.target.closest("#nav-fold")) { fold(); }
    var isDrawer = root.getAttribute("data-drawer") === "open";
    if (event.target.closest("#nav-open")) { drawer(!isDrawer); }
    else if (isDrawer && (event.target.closest("a.nav") || !event.target.closest("#side"))) { drawer(false); }
    closeMenus(event.target.closest("details.menu"));
    if (event.target.closest(".find-hit") && document.activeElement) { document.activeElement.blur(); }
    var query = event.target.closest("[data-query]");
    if (query) { write(query.getAttribute("data-query"), true); run(); }
    var word = event.target.closest("[data-insert]");
    if (word) { write(word.getAttribute("data-insert"), false); }
    var copy = event.target.closest("[data-copy]");
    if (copy) { copied(copy, copy.getAttribute("data-copy")); }
  });

  document.addEventListener("keydown", function (event) {
    var typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.id === "hunt-sql") {
      event.preventDefault();
      run();
    }
    if (event.key === "Escape") {
      closeMenus(null);
      drawer(false);
      if (event.target.closest(".find")) { document.activeElement.blur(); }
    }
    var isFind = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey);
    if (isFind || (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey)) {
      var own = document.querySelector("main [role=search] input, #hunt-sql");
      var search = isFind || !own ? document.getElementById("find") : own;
      if (search) { event.preventDefault(); search.focus(); }
    }
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.closest(".find")) {
      var hits = Array.from(document.querySelectorAll(".find-hit"));
      var at = hits.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
      var next = at < 0 ? document.getElementById("find") : hits[Math.min(at, hits.length - 1)];
      if (next) { event.preventDefault(); next.focus(); }
    }
  });

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    inopsio: {
      refreshGrid: function (_search, name) {
        if (name && window.dash_ag_grid) {
          window.dash_ag_grid.getApiAsync(name).then(function (api) {
            if (api.getDisplayedRowCount() > 0) { api.ensureIndexVisible(0); }
            api.purgeInfiniteCache();
          }).catch(function () { /* the grid is gone with its page */ });
        }
        return window.dash_clientside.no_update;
      },
    },
  });
})();
