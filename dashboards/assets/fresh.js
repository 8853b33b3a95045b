// Freshness badges age by themselves: what the server said once must not look young for ever.
(function () {
  "use strict";
  var EVERY_MS = 5000;

  function age(s) {
    if (s < 60) { return Math.round(s) + " s"; }
    if (s < 3600) { return Math.floor(s / 60) + " min"; }
    return s < 172800 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " days";
  }

  function renew(badge) {
    var s = Math.max(0, (Date.now() - new Date(badge.dataset.newest).getTime()) / 1000);
    var late = Number(badge.dataset.lateS); // "inf" is no number: never late
    var isStale = s > late, words = badge.querySelector("span:not(.icon)");
    var mark = badge.querySelector(".icon");
    if (isNaN(s) || !words) { return; }
    words.textContent = (isStale ? "stale: " : "") + age(s) + " old";
    badge.classList.toggle("stale", isStale);
    if (mark) {
      mark.classList.toggle("icon-alert", isStale);
      mark.classList.toggle("icon-clock", !isStale);
    }
  }

  window.setInterval(function () {
    if (document.hidden) { return; }
    document.querySelectorAll("[data-newest]").forEach(renew);
  }, EVERY_MS);
})();
