"use strict";
// Reads values off charts, hides series, sorts and filters tables, copies texts, gives the document away.
document.documentElement.classList.add("js");

const all = (what, where = document) => [...where.querySelectorAll(what)];

// ---- charts ----

function nearest(times, time) {
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= time) low = middle; else high = middle - 1;
  }
  return low;
}

function readable(svg) {
  const chart = JSON.parse(svg.dataset.lines);
  const figure = svg.closest("figure"), out = figure.querySelector(".readout"), cursor = svg.querySelector(".cursor");
  figure.classList.add("has-readout");
  svg.tabIndex = 0;
  let time = 0;
  function show() {
    const at = chart.left + (time / chart.last) * (chart.right - chart.left);
    cursor.setAttribute("x1", at);
    cursor.setAttribute("x2", at);
    cursor.style.visibility = "visible";
    const hidden = new Set(all(".off[data-series]", svg).map((one) => Number(one.dataset.series)));
    const told = chart.series.map((one, number) => [one, number]).filter(([one, number]) => !hidden.has(number) && one.x.length);
    out.textContent = `${chart.times} ${time.toPrecision(4) * 1}: ` +
      told.map(([one]) => `${one.name} ${one.text[nearest(one.x, time)]}`).join("; ");
  }
  svg.addEventListener("pointermove", (event) => {
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const share = (place.x - chart.left) / (chart.right - chart.left);
    time = Math.min(1, Math.max(0, share)) * chart.last;
    show();
  });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    time = Math.min(chart.last, Math.max(0, time + (step * chart.last) / 50));
    show();
    event.preventDefault();
  });
  svg.addEventListener("pointerleave", () => { cursor.style.visibility = "hidden"; out.textContent = ""; });
}

all("svg[data-lines]").forEach(readable);

all("[data-hides]").forEach((key) => key.addEventListener("click", () => {
  const isOn = key.getAttribute("aria-pressed") === "true";
  key.setAttribute("aria-pressed", String(!isOn));
  for (const one of all(`[data-series="${key.dataset.hides}"]`, key.closest("figure"))) one.classList.toggle("off", isOn);
}));

// ---- tables ----

const FILTERED = 10;  // rows from which on a table can be filtered

function value(row, column) {
  const cell = row.cells[column];
  return "v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent;
}

function order(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? 1 : -1;
  return a.localeCompare(b);
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const isNumeric = [...body.rows].some((row) => "v" in row.cells[column].dataset);
      const first = isNumeric ? "descending" : "ascending", second = isNumeric ? "ascending" : "descending";
      const way = head.getAttribute("aria-sort") === first ? second : first;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", way);
      const sign = way === "ascending" ? 1 : -1;
      body.append(...[...body.rows].sort((a, b) => sign * order(value(a, column), value(b, column))));
    });
  });
  if (body.rows.length < FILTERED) return;
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = "Filter rows";
  field.setAttribute("aria-label", `Filter: ${table.caption.textContent}`);
  field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase();
    for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
  table.caption.append(field);  // below the words of the heading
}

all("table").forEach(sortable);

// ---- texts and documents ----

all(".copy").forEach((button) => button.addEventListener("click", async () => {
  const pre = button.parentElement.querySelector("pre");
  try {
    await navigator.clipboard.writeText(pre.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(pre);  // a page from a file may not be let to the clipboard
    button.textContent = "Selected";
  }
}));

all(".download").forEach((button) => button.addEventListener("click", () => {
  const text = document.getElementById(button.dataset.document).textContent;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = JSON.parse(text).schema.replace("/", "-") + ".json";
  link.click();
  URL.revokeObjectURL(link.href);
}));
