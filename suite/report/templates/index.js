// Sorting and filtering of the table of claims. Without it the whole table is there, in the register's order.
(() => {
  "use strict";
  const table = document.getElementById("claims"), body = table.tBodies[0], rows = [...body.rows];
  const form = document.querySelector(".filters"), shown = document.getElementById("shown");
  const field = (id) => document.getElementById(id);
  const haystack = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

  function filter() {
    const words = field("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = field("verdict").value, data = field("dataset").value;
    let count = 0;
    for (const row of rows) {
      const fits = words.every((word) => haystack.get(row).includes(word)) && (!kind || row.dataset.kind === kind) &&
        (!data || row.dataset.datasets.split("|").includes(data));
      row.hidden = !fits;
      count += fits;
    }
    shown.textContent = `${count} of ${rows.length} claims`;
  }

  function sort(heading) {
    const up = heading.getAttribute("aria-sort") !== "ascending", key = heading.dataset.key;
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const numeric = ["rank", "n", "share"].includes(key);
    const order = (a, b) => numeric ? a.dataset[key] - b.dataset[key] : a.dataset[key].localeCompare(b.dataset[key], "en", { numeric: true });
    // rows that tie keep the register's order, whatever the direction
    const sorted = rows.map((row, index) => [row, index]).sort(([a, i], [b, j]) => (up ? 1 : -1) * order(a, b) || i - j);
    body.append(...sorted.map(([row]) => row));
  }

  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(heading));
    heading.append(button);
  }
  form.hidden = false;
  for (const kind of ["input", "change"]) form.addEventListener(kind, filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });
  filter();
})();
