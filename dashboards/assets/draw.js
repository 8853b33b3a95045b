// Draw the charts: data from the attribute data-chart, shapes by createElementNS, colours by class.
(function () {
  "use strict";
  var NS = "http://www.w3.org/2000/svg";
  var KINDS = { spark: spark, area: axes, line: axes, stack: axes };

  function el(parent, name, told, text) {
    var made = document.createElementNS(NS, name);
    Object.keys(told || {}).forEach(function (key) { made.setAttribute(key, told[key]); });
    if (text !== undefined) { made.textContent = text; }
    parent.appendChild(made);
    return made;
  }

  function short(number) {
    if (number >= 1e6) { return +(number / 1e6).toFixed(1) + " M"; }
    if (number >= 1e4) { return +(number / 1e3).toFixed(1) + " k"; }
    return number >= 10 || number === Math.round(number)
      ? Math.round(number).toLocaleString("en") : number.toFixed(1);
  }

  function ceiling(top) {
    if (top <= 4) { return Math.max(1, Math.ceil(top)); }
    var step = Math.pow(10, Math.floor(Math.log10(top)));
    return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map(function (n) { return n * step; })
      .find(function (n) { return n >= top; }) || top;
  }

  function path(points) {
    return points.map(function (p, i) {
      return (i ? "L" : "M") + p[0].toFixed(1) + " " + p[1].toFixed(1);
    }).join("");
  }

  function spark(svg, data, width, height) {
    var values = data.series.length ? data.series[0].values : [];
    if (values.length < 2) { return; }
    var look = data.series[0].look, top = Math.max.apply(null, values.concat([1]));
    var points = values.map(function (v, i) {
      return [2 + i * (width - 6) / (values.length - 1), height - 3 - v / top * (height - 7)];
    });
    var last = points[points.length - 1];
    el(svg, "path", { "class": "wash " + look,
      d: path(points) + "L" + last[0].toFixed(1) + " " + height + "L2 " + height + "Z" });
    el(svg, "path", { "class": "stroke " + look, d: path(points) });
    el(svg, "circle", { "class": "fill " + look, cx: last[0], cy: last[1], r: 2.5 });
  }

  function axes(svg, data, width, height) {
    var count = data.labels.length, isAdded = data.kind !== "line";
    if (!count) { return; }
    var sums = data.labels.map(function (_, i) {
      var all = data.series.map(function (s) { return s.values[i] || 0; });
      return isAdded ? all.reduce(function (a, b) { return a + b; }, 0) : Math.max.apply(null, all);
    });
    var top = ceiling(Math.max.apply(null, sums));
    var left = 44, right = width - 8, bottom = height - 22, high = 8;
    var y = function (v) { return bottom - v / top * (bottom - high); };
    [0, 0.5, 1].forEach(function (part) {
      el(svg, "line", { "class": "rule-line", x1: left, x2: right, y1: y(top * part), y2: y(top * part) });
      el(svg, "text", { "class": "tick", x: left - 8, y: y(top * part) + 4, "text-anchor": "end" },
        short(top * part));
    });
    var isBars = data.kind === "stack", step = (right - left) / (isBars ? count : Math.max(1, count - 1));
    var x = function (i) { return left + step * (i + (isBars ? 0.5 : 0)); };
    [0, Math.floor((count - 1) / 2), count - 1].filter(function (at, i, all) {
      return all.indexOf(at) === i;
    }).forEach(function (at) {
      el(svg, "text", { "class": "tick", x: x(at), y: height - 4,
        "text-anchor": at === 0 ? (isBars ? "middle" : "start") : at === count - 1 ? "end" : "middle" },
        data.labels[at]);
    });
    var base = data.labels.map(function () { return 0; });
    data.series.forEach(function (series) {
      var tops = series.values.map(function (v, i) { return (isAdded ? base[i] : 0) + (v || 0); });
      if (isBars) { bars(svg, series, base, tops, x, y, step); } else {
        var line = tops.map(function (v, i) { return [x(i), y(v)]; });
        if (isAdded) {
          var back = base.slice(0, tops.length).map(function (v, i) { return [x(i), y(v)]; }).reverse();
          el(svg, "path", { "class": "area " + series.look, d: path(line) + path(back).replace("M", "L") + "Z" });
        }
        el(svg, "path", { "class": "stroke " + series.look, d: path(line) });
      }
      if (isAdded) { base = tops; }
    });
    el(svg, "line", { "class": "cursor", x1: -9, x2: -9, y1: high, y2: bottom });
    svg.inopsio = { x: x, step: step, left: left, count: count, isBars: isBars };
  }

  function bars(svg, series, base, tops, x, y, step) {
    var wide = Math.max(1, Math.min(40, step * 0.72));
    tops.forEach(function (v, i) {
      if (v <= base[i]) { return; }
      el(svg, "rect", { "class": "bar-part " + series.look, x: x(i) - wide / 2, width: wide,
        y: y(v), height: Math.max(1, y(base[i]) - y(v)), rx: Math.min(2, wide / 3) });
    });
  }

  function read(box) {
    try { return JSON.parse(box.getAttribute("data-chart")); } catch (_) { return null; }
  }

  function draw(box) {
    var data = read(box), width = box.clientWidth, height = box.clientHeight;
    if (!data || !KINDS[data.kind] || width < 20 || height < 10) { return; }
    var svg = document.createElementNS(NS, "svg");
    svg.setAttribute("viewBox", "0 0 " + width + " " + height);
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    svg.setAttribute("aria-hidden", "true");
    svg.setAttribute("focusable", "false");
    KINDS[data.kind](svg, data, width, height);
    box.replaceChildren(svg);
    sizes.observe(box);
  }

  // What the pointer is over, in words.
  function tip(box, event) {
    var svg = box.querySelector("svg"), told = svg && svg.inopsio, data = told && read(box);
    if (!data) { return; }
    var at = (event.clientX - svg.getBoundingClientRect().left - told.left) / told.step;
    at = Math.max(0, Math.min(told.count - 1, told.isBars ? Math.floor(at) : Math.round(at)));
    var cursor = svg.querySelector(".cursor");
    cursor.setAttribute("x1", told.x(at));
    cursor.setAttribute("x2", told.x(at));
    var said = box.querySelector(".tip") || box.appendChild(document.createElement("div"));
    said.className = "tip";
    said.replaceChildren();
    var line = function (text, look) {
      var row = said.appendChild(document.createElement("div"));
      if (look) { row.appendChild(document.createElement("i")).className = "swatch " + look; }
      row.appendChild(document.createTextNode(text));
    };
    line(data.labels[at]);
    data.series.forEach(function (s) {
      if (s.values[at]) { line((s.name ? s.name + ": " : "") + short(s.values[at]) + " " + data.unit, s.look); }
    });
    said.style.left = Math.min(told.x(at) + 12, box.clientWidth - said.offsetWidth - 4) + "px";
  }

  document.addEventListener("pointermove", function (event) {
    var box = event.target.closest && event.target.closest(".drawn:not(.spark)");
    document.querySelectorAll(".drawn .tip").forEach(function (old) {
      if (old.parentNode !== box) {
        old.parentNode.querySelector(".cursor").setAttribute("x1", -9);
        old.parentNode.querySelector(".cursor").setAttribute("x2", -9);
        old.remove();
      }
    });
    if (box) { tip(box, event); }
  });

  var sizes = new ResizeObserver(function (seen) {
    seen.forEach(function (one) {
      var svg = one.target.querySelector("svg");
      if (svg && Number(svg.getAttribute("width")) !== one.target.clientWidth) { draw(one.target); }
    });
  });

  window.inopsio.onData("data-chart", draw);
})();
