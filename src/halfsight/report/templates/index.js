"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const rows = byId("rows");
  const height = 72; // of a row in pixels, as in the style
  const spare = 8; // rows kept above and below those in sight
  const printed = 2000; // rows at most on paper
  const count = data.names.length;
  const lower = data.names.map((name) => name.toLowerCase());
  const headers = [...document.querySelectorAll("[data-sort]")];
  const names = new Intl.Collator(undefined, { numeric: true });
  const rank = new Array(count); // place of each name among all names
  data.names.map((_, photo) => photo)
    .sort((a, b) => names.compare(data.names[a], data.names[b]))
    .forEach((photo, place) => { rank[photo] = place; });
  const columns = { ...data, names: rank };
  const state = { column: "names", down: false, order: [], printing: false };
  const drawn = new Map(); // place in the order -> element

  const fixed = (value, sign) => {
    if (value === null) return "–";
    const text = value.toFixed(data.digits);
    const plus = sign && Number(text) > 0 ? "+" : "";
    return plus + (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212");
  };
  const cell = (name, text = "") => {
    const element = document.createElement("div");
    element.setAttribute("role", "cell");
    element.className = name;
    element.textContent = text;
    return element;
  };

  const make = (photo, place) => {
    const row = document.createElement("div");
    row.setAttribute("role", "row");
    row.setAttribute("aria-rowindex", place + 2);
    row.className = "row";
    row.dataset.photo = photo;
    row.style.transform = `translateY(${place * height}px)`;
    const image = document.createElement("img");
    Object.assign(image, { src: `${data.links[photo]}/thumb.jpg`, alt: "", decoding: "async" });
    const link = document.createElement("a");
    link.href = `${data.links[photo]}/explanation.html`;
    link.textContent = data.names[photo];
    const track = document.createElement("span");
    const fill = document.createElement("span");
    track.className = "track";
    fill.className = "fill";
    const { min, max } = data.scale;
    const share = (data.scores[photo] - min) / (max - min);
    fill.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
    track.append(fill);
    const cells = [
      cell("picture"), cell("name"), cell("bar"), cell("", fixed(data.scores[photo])),
      cell("", fixed(data.important[photo], true)), cell("spare", fixed(data.trivial[photo], true)),
    ];
    cells[0].append(image);
    cells[1].append(link);
    cells[2].append(track);
    row.append(...cells);
    return row;
  };

  // Draw the rows in sight; keep those that are there already, with their focus.
  const draw = () => {
    const top = -rows.getBoundingClientRect().top;
    let first = Math.max(0, Math.floor(top / height) - spare);
    let last = Math.min(state.order.length, Math.ceil((top + window.innerHeight) / height) + spare);
    if (state.printing) [first, last] = [0, Math.min(state.order.length, printed)];
    drawn.forEach((row, place) => {
      const stays = place >= first && place < last && Number(row.dataset.photo) === state.order[place];
      if (stays || row.contains(document.activeElement) && place < state.order.length
        && Number(row.dataset.photo) === state.order[place]) return;
      row.remove();
      drawn.delete(place);
    });
    for (let place = first; place < last; place += 1) {
      if (drawn.has(place)) continue;
      const row = make(state.order[place], place);
      const next = [...drawn.keys()].filter((other) => other > place).sort((a, b) => a - b)[0];
      rows.insertBefore(row, next === undefined ? null : drawn.get(next));
      drawn.set(place, row);
    }
  };

  const limit = (id, without) => {
    const value = byId(id).value.trim();
    return value === "" ? without : Number(value);
  };
  const arrange = () => {
    const text = byId("text").value.trim().toLowerCase();
    const from = limit("from", -Infinity);
    const to = limit("to", Infinity);
    const keys = columns[state.column];
    const missing = (photo) => (keys[photo] === null ? 1 : 0); // last, whichever way
    const turn = state.down ? -1 : 1;
    state.order = Array.from({ length: count }, (_, photo) => photo)
      .filter((photo) => lower[photo].includes(text)
        && data.scores[photo] >= from && data.scores[photo] <= to)
      .sort((a, b) => missing(a) - missing(b) || turn * (keys[a] - keys[b]) || a - b);
    rows.style.height = `${state.order.length * height}px`;
    byId("table").setAttribute("aria-rowcount", state.order.length + 1);
    byId("shown").textContent = state.order.length === count
      ? `${count} shown` : `${state.order.length} of ${count} shown`;
    headers.forEach((button) => {
      const header = button.closest("[role=columnheader]");
      if (button.dataset.sort !== state.column) header.removeAttribute("aria-sort");
      else header.setAttribute("aria-sort", state.down ? "descending" : "ascending");
    });
    draw();
  };

  headers.forEach((button) => button.addEventListener("click", () => {
    const again = state.column === button.dataset.sort;
    Object.assign(state, { column: button.dataset.sort, down: again && !state.down });
    arrange();
  }));
  byId("filters").addEventListener("input", arrange);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => requestAnimationFrame(arrange));
  rows.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = event.target.closest(".row");
    if (!step || !row) return;
    event.preventDefault();
    const place = Number(row.getAttribute("aria-rowindex")) - 2 + step;
    const next = drawn.get(place);
    if (!next) return;
    next.querySelector("a").focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  });
  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  };
  window.addEventListener("scroll", soon, { passive: true });
  window.addEventListener("resize", soon);
  window.addEventListener("beforeprint", () => { state.printing = true; draw(); });
  window.addEventListener("afterprint", () => { state.printing = false; draw(); });
  arrange();
})();
