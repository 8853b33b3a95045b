// What must happen in the browser: end of session, sign out, navigation, keys. No data is kept.
(function () {
  "use strict";

  // A session that ended shows in the first answer: go and sign in, then come back.
  var plainFetch = window.fetch;
  window.fetch = function () {
    return plainFetch.apply(this, arguments).then(function (answer) {
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
  window.inopsio = { go: go };

  document.addEventListener("click", function (event) {
    if (event.target.closest("#sign-out")) { signOut(); }
    var copy = event.target.closest("[data-copy]");
    if (copy) { window.navigator.clipboard.writeText(copy.getAttribute("data-copy")); }
  });

  document.addEventListener("keydown", function (event) {
    var typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing) {
      var search = document.querySelector("[role=search] input, search input, #hunt-sql");
      if (search) { event.preventDefault(); search.focus(); }
    }
  });

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    inopsio: {
      refreshGrid: function (_search, name) {
        if (name && window.dash_ag_grid) {
          window.dash_ag_grid.getApiAsync(name).then(function (api) {
            api.ensureIndexVisible(0);
            api.purgeInfiniteCache();
          }).catch(function () { /* the grid is gone with its page */ });
        }
        return window.dash_clientside.no_update;
      },
    },
  });
})();
