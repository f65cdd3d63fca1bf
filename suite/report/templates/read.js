/* Reading values off small pictures: pointer or arrow keys choose a place of data-at, data-says holds its words. */
(() => {
  const said = document.getElementById("read-out");
  for (const svg of document.querySelectorAll("svg[data-at]")) {
    const at = svg.dataset.at.split(" ").map(Number), says = svg.dataset.says.split("|"), [top, bottom] = svg.dataset.span.split(" ");
    const box = document.createElement("div"), guide = document.createElementNS("http://www.w3.org/2000/svg", "line");
    box.className = "read"; box.hidden = true;
    svg.closest("figure").append(box);
    for (const [key, value] of [["y1", top], ["y2", bottom], ["class", "guide"], ["visibility", "hidden"]]) guide.setAttribute(key, value);
    svg.append(guide);
    let now = -1;

    function show(index, aloud) {
      now = Math.min(Math.max(index, 0), at.length - 1);
      guide.setAttribute("x1", at[now]); guide.setAttribute("x2", at[now]); guide.setAttribute("visibility", "visible");
      box.replaceChildren(...says[now].split("; ").map((line) => Object.assign(document.createElement("div"), { textContent: line })));
      box.hidden = false;
      const place = svg.getBoundingClientRect(), around = svg.closest("figure").getBoundingClientRect();
      const x = place.left - around.left + at[now] / svg.viewBox.baseVal.width * place.width;
      // under the picture, where it hides nothing of it, and never wider than the window
      box.style.top = `${place.bottom - around.top + 2}px`;
      box.style.left = `${Math.max(0, Math.min(x - 40, document.documentElement.clientWidth - around.left - box.offsetWidth - 8))}px`;
      if (aloud) said.textContent = says[now];
    }
    function hide() { guide.setAttribute("visibility", "hidden"); box.hidden = true; }

    svg.addEventListener("pointermove", (event) => {
      const place = svg.getBoundingClientRect(), x = (event.clientX - place.left) / place.width * svg.viewBox.baseVal.width;
      let best = 0;
      at.forEach((a, index) => { if (Math.abs(a - x) < Math.abs(at[best] - x)) best = index; });
      show(best, false);
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("focus", () => { if (svg.matches(":focus-visible")) show(now < 0 ? 0 : now, true); });
    svg.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key];
      if (event.key === "Escape") hide();
      if (move === undefined) return;
      event.preventDefault();
      show(now + move, true);
    });
  }
})();
