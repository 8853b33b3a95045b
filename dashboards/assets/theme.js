// Before the first paint: the colour scheme and the navigation's width, as chosen last time.
(function () {
  var root = document.documentElement;
  function kept(name) { try { return window.localStorage.getItem(name); } catch (_) { return null; } }
  var chosen = kept("mantine-color-scheme-value");
  if (chosen !== "dark" && chosen !== "light") {
    chosen = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }
  root.setAttribute("data-mantine-color-scheme", chosen);
  if (kept("inopsio-nav") === "small") { root.setAttribute("data-nav", "small"); }
  root.setAttribute("data-live", kept("inopsio-live") === "off" ? "off" : "away");
})();
