// Our own wrapper around Cytoscape.js: draws what lies on the page as data, tells the page which node
// is chosen, follows the theme. Cytoscape is loaded when a graph is on the page and not before.
(function () {
  "use strict";
  var SOURCE = "/assets/vendor/cytoscape-3.34.4.min.js";
  var NEAREST = 20, NARROW_PX = 760;
  var letters = 13;  // size of the labels before zooming: larger where the whole is made small
  var cy = null, shownIn = null, drawn = "", root = "", chosen = "", isLoading = false;

  function colour(name) {
    return window.getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  }

  // Our icons are shapes in the style sheet; here they are painted in a colour of the theme.
  var shapes = {};
  function shape(name, paint) {
    var key = name + paint;
    if (!shapes[key]) {
      var probe = document.createElement("span");
      probe.className = "icon icon-" + name;
      document.body.appendChild(probe);
      var url = window.getComputedStyle(probe).getPropertyValue("--shape").trim();
      probe.remove();
      var inside = url.replace(/^url\(["']?/, "").replace(/["']?\)$/, "").replace(/\\(["'])/g, "$1");
      shapes[key] = inside.replace(/stroke='black'/g, "stroke='" + encodeURIComponent(paint) + "'")
        .replace(/fill='black'/g, "fill='" + encodeURIComponent(paint) + "'")
        .replace("viewBox='0 0 24 24'", "viewBox='0 0 24 24' width='48' height='48'")
        .replace(/ /g, "%20").replace(/'/g, "%27");  // Cytoscape reads a space as the next image
    }
    return shapes[key];
  }

  function level(node) { return node.data("level") || "informational"; }

  // The size of a place: by how many it talks to; of what is risky, large enough to be seen in a crowd.
  function room(node) {
    var crowd = node.cy().nodes().length;
    var wide = 28 + 3 * Math.sqrt(node.data("links") || 0);
    return Math.min(96, node.data("grave") ? wide * (crowd > 200 ? 2.6 : 1.3) : wide);
  }

  function styles() {
    var text = colour("text"), surface = colour("surface"), muted = colour("muted");
    var line = colour("line-strong"), accent = colour("accent");
    return [
      { selector: "node", style: {
        "width": 36, "height": 36, "shape": "ellipse",
        "background-color": colour("sunken"), "border-width": 1.5,
        "border-color": function (n) { return n.data("level") ? colour(level(n)) : line; },
        "background-image": function (n) { return shape(n.data("icon"), text); },
        "background-width": "52%", "background-height": "52%",
        "label": function (n) {
          return n.data("label") + (n.data("more") ? "\n+" + n.data("more") + " more" : "");
        },
        "font-size": letters, "font-family": "Inter, sans-serif", "color": text,
        "text-valign": "bottom", "text-margin-y": 5, "text-wrap": "wrap",
        "text-max-width": letters * 9, "text-background-color": surface,
        "text-background-opacity": 0.92, "text-background-shape": "round-rectangle",
        "text-background-padding": 3, "min-zoomed-font-size": 5, "overlay-opacity": 0,
      } },
      { selector: "node[kind = 'finding']", style: {
        "shape": "round-diamond", "width": 38, "height": 38, "border-width": 0,
        "background-color": function (n) { return colour(level(n)); },
        "background-image": function () { return shape("findings", surface); },
        "background-width": "44%", "background-height": "44%", "color": muted,
      } },
      { selector: "node[?signal]", style: { "width": 26, "height": 26, "opacity": 0.9 } },
      { selector: "node[kind = 'place']", style: { "width": room, "height": room, "font-size": 12 } },
      { selector: "node[kind = 'place'][?grave]", style: {
        "border-width": 0, "z-index": 5,
        "background-color": function (n) { return colour(level(n)); },
        "background-image": function (n) { return shape(n.data("icon"), surface); },
      } },
      { selector: "node[?root]", style: {
        "width": 54, "height": 54, "border-width": 3, "border-color": accent, "color": text,
        "font-weight": 700,
      } },
      { selector: "node.chosen", style: {
        "border-width": 4, "border-color": accent, "z-index": 9, "color": text, "font-weight": 700,
      } },
      { selector: "edge", style: {
        "width": 1.6, "line-color": line, "opacity": 0.55, "curve-style": "straight",
      } },
      { selector: "edge[what = 'talks to']", style: { "width": 1.2, "opacity": 0.4 } },
      { selector: "edge[what = 'rests on']", style: {
        "line-style": "dashed", "line-color": accent, "opacity": 0.9, "width": 2,
        "target-arrow-shape": "triangle", "target-arrow-color": accent, "curve-style": "bezier",
      } },
      { selector: "edge[what = 'about']", style: { "width": 2, "opacity": 0.8 } },
      { selector: ".faded", style: { "opacity": 0.18 } },
    ];
  }

  // On a narrow screen the first look is at what is nearest; the table has all of it.
  function nearest(data) {
    var note = document.getElementById("graph-note");
    var opened = new window.URLSearchParams(window.location.search).getAll("open").length;
    var most = NEAREST * (1 + opened);
    var isCut = window.innerWidth < NARROW_PX && data.nodes.length > most;
    if (note) {
      note.textContent = isCut ? "The nearest " + most + " of " + data.nodes.length +
        " are drawn; the table has all." : "";
    }
    if (!isCut) { return data; }
    var near = {}, kept = {};
    data.edges.forEach(function (e) {
      (near[e.one] = near[e.one] || []).push(e.other);
      (near[e.other] = near[e.other] || []).push(e.one);
    });
    function links(name) { return (near[name] || []).length; }
    var turn = data.nodes.slice().sort(function (a, b) {
      return (b.root ? 1 : 0) - (a.root ? 1 : 0) || links(b.id) - links(a.id);
    });
    var queue = [turn[0].id];
    while (queue.length && Object.keys(kept).length < most) {
      var name = queue.shift();
      if (kept[name]) { continue; }
      kept[name] = true;
      queue = queue.concat((near[name] || []).sort(function (a, b) { return links(b) - links(a); }));
    }
    turn.forEach(function (n) {  // what hangs on nothing comes last
      if (Object.keys(kept).length < most) { kept[n.id] = true; }
    });
    return {
      root: data.root,
      nodes: data.nodes.filter(function (n) { return kept[n.id]; }),
      edges: data.edges.filter(function (e) { return kept[e.one] && kept[e.other]; }),
    };
  }

  // Two links between the same two are drawn once; what rests on what is told before the rest.
  function once(edges) {
    var told = {};
    edges.forEach(function (e) {
      var ends = [e.one, e.other].sort().join(" > ");
      if (!told[ends] || e.what === "rests on") { told[ends] = e; }
    });
    return Object.keys(told).map(function (ends) { return told[ends]; });
  }

  // A network comes with its places: a thousand would be too many for forces.
  function isPlaced(data) { return data.nodes.length > 0 && data.nodes[0].x !== undefined; }

  function elements(data) {
    var nodes = data.nodes.map(function (n) {
      return isPlaced(data) ? { group: "nodes", data: n, position: { x: n.x, y: n.y } } : { group: "nodes", data: n };
    });
    var edges = once(data.edges).map(function (e) {
      return { group: "edges",
        data: { id: e.one + " > " + e.other, source: e.one, target: e.other, what: e.what } };
    });
    return nodes.concat(edges);
  }

  // The forces know nothing of the room: turn what stands upright in a wide one, then spread it.
  function spread() {
    var box = cy.nodes().boundingBox({ includeLabels: false });
    var room = cy.width() / cy.height();
    if (cy.nodes().length < 3 || !box.w || !box.h || !room) { return; }
    if ((box.w > box.h) !== (room > 1)) {
      move(function (at) { return { x: at.y, y: at.x }; });
    }
    box = cy.nodes().boundingBox({ includeLabels: true });
    var shape = box.w / box.h;
    var wider = Math.min(2.5, Math.max(1, room / shape));
    var higher = Math.min(2.5, Math.max(1, shape / room));
    move(function (at) { return { x: at.x * wider, y: at.y * higher }; });
    cy.fit(undefined, 24);
  }

  function move(where) {
    cy.batch(function () {
      cy.nodes().forEach(function (node) { node.position(where(node.position())); });
    });
  }

  function lay(isNew) {
    arrange(isNew);
    spread();
    // Where the whole had to be made small, the labels are made large and get the room they need.
    if (cy.nodes().length <= 80 && enlarge(20)) {
      arrange(false);
      spread();
      enlarge(28);
      cy.fit(undefined, 24);
    }
    if (cy.zoom() > 1.3) { cy.zoom(1.3); cy.center(); }
  }

  function enlarge(most) {
    var wanted = Math.round(Math.min(most, Math.max(13, 11 / cy.zoom())));
    if (wanted <= letters) { return false; }
    letters = wanted;
    cy.style(styles());
    return true;
  }

  function arrange(isNew) {
    var many = cy.nodes().length, isNarrow = window.innerWidth < NARROW_PX;
    cy.layout({
      name: "cose", animate: false, randomize: isNew, fit: true, padding: 24,
      nodeRepulsion: function () { return many > 80 || isNarrow ? 120000 : 300000; },
      idealEdgeLength: function () { return isNarrow ? 60 : 90; },
      edgeElasticity: function () { return 80; }, nodeOverlap: 60, gravity: 0.9,
      componentSpacing: 60, numIter: many > 150 ? 400 : 1200, nodeDimensionsIncludeLabels: true,
    }).run();
  }

  function draw(canvas, data) {
    data = nearest(data);
    var isNew = !cy || shownIn !== canvas || root !== data.root || isPlaced(data);
    if (isNew) {
      if (cy) { cy.destroy(); }
      letters = 13;
      cy = window.cytoscape({
        container: canvas, elements: elements(data), style: styles(), layout: { name: "preset" },
        minZoom: isPlaced(data) ? 0.03 : 0.15, maxZoom: 3, boxSelectionEnabled: false,
      });
      shownIn = canvas;
      canvas.setAttribute("data-nodes", data.nodes.length);
      root = data.root;
      listen();
      if (isPlaced(data)) {
        cy.fit(undefined, 24);
      } else {
        seed();
        lay(false);
      }
      var first = cy.nodes("[?root]").first();
      var before = cy.getElementById(chosen);
      if (first.length) { choose(first, false); }
      else if (chosen && before.length) { before.addClass("chosen"); }
      else { chosen = ""; }
      return;
    }
    var known = cy.nodes().map(function (n) { return n.id(); });
    var fresh = elements(data).filter(function (e) { return !cy.getElementById(e.data.id).length; });
    var gone = cy.elements().filter(function (e) {
      return !data.nodes.concat().some(function (n) { return n.id === e.id(); }) && e.isNode();
    });
    gone.remove();
    cy.batch(function () {
      data.nodes.forEach(function (n) {
        var node = cy.getElementById(n.id);
        if (node.length) { node.data(n); }
      });
      cy.add(fresh);
      cy.nodes().forEach(function (n, i) {
        if (known.indexOf(n.id()) !== -1) { return; }
        var near = n.neighborhood("node").filter(function (m) { return known.indexOf(m.id()) !== -1; });
        var at = near.length ? near.first().position() : { x: 0, y: 0 };
        var turn = i * 2.399963;
        n.position({ x: at.x + 60 * Math.cos(turn), y: at.y + 60 * Math.sin(turn) });
      });
    });
    if (fresh.length) { lay(false); }
    cy.style(styles());
  }

  // The same graph gives the same picture: begin from a spiral, not from chance.
  function seed() {
    cy.nodes().forEach(function (n, i) {
      var turn = i * 2.399963, far = 42 * Math.sqrt(i);
      n.position({ x: far * Math.cos(turn), y: far * Math.sin(turn) });
    });
  }

  function choose(node, isTold) {
    cy.nodes(".chosen").removeClass("chosen");
    node.addClass("chosen");
    chosen = node.id();
    var live = document.getElementById("graph-live");
    if (live) { live.textContent = node.data("said"); }
    if (isTold) {
      window.dash_clientside.set_props(shownIn.getAttribute("data-pick") || "graph-pick", { data: { id: chosen, at: Date.now() } });
    }
  }

  function open(name) {
    var asked = new window.URLSearchParams(window.location.search);
    if (asked.getAll("open").indexOf(name) === -1) { asked.append("open", name); }
    window.inopsio.go(window.location.pathname + "?" + asked.toString());
  }

  function listen() {
    cy.on("tap", "node", function (event) {
      if (event.target.id() === chosen && event.originalEvent.detail > 1) { return; }
      choose(event.target, true);
      shownIn.focus({ preventScroll: true });
    });
    cy.on("dbltap", "node", function (event) { open(event.target.id()); });
    cy.on("mouseover", "node", function (event) {
      cy.elements().not(event.target.closedNeighborhood()).addClass("faded");
    });
    cy.on("mouseout", "node", function () { cy.elements().removeClass("faded"); });
  }

  var ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  function step(way) {
    var from = cy.getElementById(chosen);
    if (!from.length) { return cy.nodes().first(); }
    var at = from.position(), best = null, least = Infinity;
    cy.nodes().forEach(function (n) {
      if (n.id() === chosen) { return; }
      var x = n.position().x - at.x, y = n.position().y - at.y;
      var along = x * way[0] + y * way[1], aside = Math.abs(x * way[1]) + Math.abs(y * way[0]);
      if (along <= 0) { return; }
      var cost = along + 2.5 * aside;
      if (n.neighborhood().contains(from)) { cost *= 0.5; }
      if (cost < least) { least = cost; best = n; }
    });
    return best;
  }

  function zoom(by) {
    cy.zoom({ level: cy.zoom() * by, renderedPosition: { x: cy.width() / 2, y: cy.height() / 2 } });
  }

  function act(what) {
    if (!cy) { return; }
    if (what === "in") { zoom(1.3); }
    if (what === "out") { zoom(1 / 1.3); }
    if (what === "fit") { cy.fit(undefined, 40); }
  }

  document.addEventListener("keydown", function (event) {
    if (!cy || event.target !== shownIn) { return; }
    var done = true;
    if (ways[event.key]) {
      var next = step(ways[event.key]);
      if (next) {
        choose(next, true);
        cy.animate({ center: { eles: next }, duration: 0 });
      }
    } else if (event.key === "Enter" && chosen) { open(chosen); }
    else if (event.key === "+") { act("in"); }
    else if (event.key === "-") { act("out"); }
    else if (event.key === "f") { act("fit"); }
    else { done = false; }
    if (done) { event.preventDefault(); event.stopPropagation(); }
  });

  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-graph-act]");
    if (button) { act(button.getAttribute("data-graph-act")); }
  });

  function load() {
    if (isLoading) { return; }
    isLoading = true;
    var script = document.createElement("script");
    script.src = SOURCE;
    script.onload = look;
    document.head.appendChild(script);
  }

  function look() {
    var canvas = document.getElementById("graph-canvas");
    var holder = document.querySelector(".graph-data[data-graph]");
    if (!canvas || !holder) {
      if (cy && !canvas) { cy.destroy(); cy = null; shownIn = null; drawn = ""; }
      return;
    }
    var text = holder.getAttribute("data-graph");
    if (text === drawn && shownIn === canvas) { return; }
    if (!window.cytoscape) { load(); return; }
    drawn = text;
    draw(canvas, JSON.parse(text));
  }

  var soon = 0;
  new MutationObserver(function () {
    window.clearTimeout(soon);
    soon = window.setTimeout(look, 30);
  }).observe(document.documentElement, { childList: true, subtree: true });
  new MutationObserver(function () { if (cy) { cy.style(styles()); } })
    .observe(document.documentElement, { attributes: true, attributeFilter: ["data-mantine-color-scheme"] });
})();
