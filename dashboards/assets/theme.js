// Set the colour scheme before the first paint: what was chosen, else what the system says.
(function () {
  var chosen = null;
  try { chosen = window.localStorage.getItem("mantine-color-scheme-value"); } catch (_) { /* off */ }
  if (chosen !== "dark" && chosen !== "light") {
    chosen = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }
  document.documentElement.setAttribute("data-mantine-color-scheme", chosen);
})();
