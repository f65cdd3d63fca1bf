// Reading values off the curves, and switching conditions on and off. Without it the first conditions are drawn and stay.
// Written by hand: what is needed is a guide line and a list of numbers, and a plotting library is ten times the page.
(() => {
  "use strict";
  const numbers = JSON.parse(document.getElementById("numbers").textContent);
  const boxes = [...document.querySelectorAll(".choice input")], said = document.getElementById("said");
  const first = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  const text = (value) => value === null ? "—" : String(Number(Number(value).toPrecision(4)));

  if (window.self !== window.top) for (const link of document.querySelectorAll(".home")) link.removeAttribute("href");

  // Axes by the rules that the server drew the first picture with (svg.py): all that is chosen fits, shares from 0 to 1, a
  // logarithm where everything is above zero and spans more than a factor of 50.
  function axis(values, start, end, share) {
    const finite = values.filter(Number.isFinite);
    let low = finite.length ? Math.min(...finite) : 0, high = finite.length ? Math.max(...finite) : 1, log = false;
    if (share && low >= 0 && high <= 1) [low, high] = [0, 1];
    else if (!share && low > 0 && high / low > 50) {
      const room = (high / low) ** 0.04;
      [low, high, log] = [low / room, high * room, true];
    } else {
      const room = 0.06 * (high - low) || 0.05 * Math.abs(high) || 0.5;
      [low, high] = [low - room, high + room];
    }
    return scale(low, high, start, end, log);
  }
  function scale(low, high, start, end, log) {
    const map = (value) => log ? Math.log10(Math.max(value, 1e-300)) : value, from = map(low), to = map(high);
    return { low, high, start, end, log, at: (value) => start + (map(value) - from) / (to - from || 1) * (end - start) };
  }
  function round(low, high, about) {
    const rough = (high - low) / about, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((k) => k * power).find((size) => size >= rough * 0.999), found = [];
    for (let k = Math.ceil(low / step - 1e-9); k <= Math.floor(high / step + 1e-9); k++) found.push(Number((k * step).toPrecision(12)));
    return found;
  }
  function ticks(axis, about) {
    if (!axis.log) return round(axis.low, axis.high, about);
    const first = Math.ceil(Math.log10(axis.low) - 1e-9), last = Math.floor(Math.log10(axis.high) + 1e-9), found = [];
    for (let k = first; k <= last; k += Math.max(1, Math.ceil((last - first + 1) / about))) found.push(10 ** k);
    if (found.length > 2) return found;
    const fine = [];
    for (let k = first - 1; k <= last; k++) fine.push(...[1, 2, 5].map((factor) => factor * 10 ** k));
    return fine.filter((value) => axis.low <= value && value <= axis.high);
  }
  const short = (value) => value && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3) ? value.toExponential().replace("+", "").replace(/(\.\d)\d+/, "$1") : String(Number(value.toPrecision(4)));

  function node(name, attributes, words) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, typeof value === "number" ? value.toFixed(1) : value);
    if (words !== undefined) made.textContent = words;
    return made;
  }

  const figures = [...document.querySelectorAll(".chart")].map((figure) => ({ figure, ...numbers[figure.dataset.chart] }));

  function plot(chart) {
    const on = boxes.filter((box) => box.checked && chart.series[box.value]), [left, right, bottom, top] = chart.box;
    const found = on.map((box) => chart.series[box.value]), steps = found.flatMap(([at]) => at);
    const x = scale(steps.length ? Math.min(...steps) : 0, steps.length ? Math.max(...steps) : 1, left, right, false);
    const y = axis(found.flatMap((series) => series.slice(1).flat()), bottom, top, chart.share);
    const parts = [];
    for (const value of ticks(y, 5)) {
      parts.push(node("line", { x1: left, x2: right, y1: y.at(value), y2: y.at(value), class: "grid" }));
      parts.push(node("text", { x: left - 6, y: y.at(value) + 4, class: "tick", "text-anchor": "end" }, short(value)));
    }
    for (const value of ticks(x, 6)) {
      parts.push(node("line", { x1: x.at(value), x2: x.at(value), y1: bottom, y2: bottom + 4, class: "axis" }));
      parts.push(node("text", { x: x.at(value), y: bottom + 17, class: "tick", "text-anchor": "middle" }, short(value)));
    }
    parts.push(node("line", { x1: left, x2: right, y1: bottom, y2: bottom, class: "axis" }));
    parts.push(node("text", { x: (left + right) / 2, y: bottom + 34, class: "name", "text-anchor": "middle" }, "training step"));
    parts.push(node("text", { x: 4, y: top - 10, class: "name" }, chart.label + (y.log ? ", logarithmic" : "")));
    for (const box of on.slice().reverse()) {
      const [at, middle, low, high] = chart.series[box.value], points = (values) => values.map((value, k) => `${x.at(at[k]).toFixed(1)} ${y.at(value).toFixed(1)}`);
      const group = node("g", { class: `series ${box.closest("label").dataset.style}`, "data-series": box.value });
      group.append(node("path", { class: "band", d: `M${[...points(high), ...points(low).reverse()].join("L")}Z` }));
      group.append(node("path", { class: "line", d: `M${points(middle).join("L")}` }));
      parts.push(group);
    }
    chart.x = x;
    chart.steps = [...new Set(steps)].sort((a, b) => a - b);
    chart.guide = node("line", { x1: 0, x2: 0, y1: bottom, y2: top, class: "guide", visibility: "hidden" });
    chart.figure.querySelector(".inner").replaceChildren(...parts, chart.guide);
  }

  function draw() {
    for (const box of boxes) box.closest("label").classList.toggle("off", !box.checked);
    figures.forEach(plot);
  }
  function choose(names) {
    for (const box of boxes) box.checked = names.has(box.value);
    draw();
  }

  for (const box of boxes) { box.hidden = false; box.addEventListener("change", draw); }
  document.querySelector(".choice .tools").hidden = false;
  document.getElementById("all").addEventListener("click", () => choose(new Set(boxes.map((box) => box.value))));
  document.getElementById("none").addEventListener("click", () => choose(new Set()));
  document.getElementById("first").addEventListener("click", () => choose(first));
  for (const button of document.querySelectorAll("[data-draw]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      choose(new Set(button.dataset.draw.split("|")));
      document.getElementById("curves").scrollIntoView();
    });
  }

  for (const chart of figures) {
    const { figure, series } = chart, svg = figure.querySelector("svg"), read = figure.querySelector(".read");
    let at = -1;

    function show(index, aloud) {
      if (!chart.steps.length) return;
      at = Math.min(Math.max(index, 0), chart.steps.length - 1);
      const step = chart.steps[at], x = chart.x.at(step);
      chart.guide.setAttribute("x1", x);
      chart.guide.setAttribute("x2", x);
      chart.guide.setAttribute("visibility", "visible");
      const lines = [];
      for (const box of boxes) {
        const found = series[box.value], k = found && box.checked ? found[0].indexOf(step) : -1;
        if (k >= 0) lines.push([box, found[1][k], found[2][k], found[3][k]]);
      }
      lines.sort((a, b) => b[1] - a[1]);
      read.replaceChildren(Object.assign(document.createElement("strong"), { textContent: `step ${step}` }));
      const words = [`step ${step}`];
      for (const [box, middle, bottom, top] of lines) {
        const line = document.createElement("div"), label = box.closest("label");
        line.className = label.className;
        line.append(label.querySelector("svg").cloneNode(true), `${box.value}: ${text(middle)} [${text(bottom)}, ${text(top)}]`);
        read.append(line);
        words.push(`${box.value} ${text(middle)}, band ${text(bottom)} to ${text(top)}`);
      }
      read.hidden = false;
      // on the side of the guide where there is room
      const place = svg.getBoundingClientRect(), around = figure.getBoundingClientRect(), left = place.left - around.left + x / svg.viewBox.baseVal.width * place.width;
      const right = left > around.width / 2;
      read.style.left = right ? "auto" : `${left + 12}px`;
      read.style.right = right ? `${around.width - left + 12}px` : "auto";
      if (aloud) said.textContent = words.join("; ");
    }
    function hide() { chart.guide.setAttribute("visibility", "hidden"); read.hidden = true; }

    svg.addEventListener("pointermove", (event) => {
      const place = svg.getBoundingClientRect(), x = (event.clientX - place.left) / place.width * svg.viewBox.baseVal.width;
      let best = 0;
      chart.steps.forEach((step, index) => { if (Math.abs(chart.x.at(step) - x) < Math.abs(chart.x.at(chart.steps[best]) - x)) best = index; });
      show(best, false);
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("focus", () => { if (svg.matches(":focus-visible")) show(at < 0 ? 0 : at, true); });
    svg.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key];
      if (event.key === "Escape") hide();
      if (move === undefined) return;
      event.preventDefault();
      show(at + move, true);
    });
  }
  draw();
})();
