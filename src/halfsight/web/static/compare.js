// Two results side by side: the same regions masked in both, and both scores read from the tables.

import { explanation } from "./jobs.js";

const data = JSON.parse(document.getElementById("data").textContent);

const minus = (text) => text.replaceAll("-", "\u2212");
export const fixed = (value, decimals) => {
  const text = value.toFixed(decimals);
  return minus(Number(text) === 0 ? text.replace("-", "") : text);
};
const signed = (value, decimals) => (
  Number(value.toFixed(decimals)) > 0 ? `+${fixed(value, decimals)}` : fixed(value, decimals));
export const make = (name, attributes = {}, ...inside) => {
  const element = document.createElement(name);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  element.append(...inside);
  return element;
};
const masked = (mask, region) => Math.floor(mask / 2 ** region) % 2 === 1;
const setOf = (list) => list.reduce((mask, region) => mask + 2 ** region, 0);

const mix = (stops, share) => {
  const at = Math.min(1, Math.max(0, share)) * (stops.length - 1);
  const left = Math.min(stops.length - 2, Math.floor(at));
  const channel = (stop, i) => parseInt(stops[stop].slice(1 + 2 * i, 3 + 2 * i), 16);
  return [0, 1, 2].map((i) =>
    Math.round(channel(left, i) + (channel(left + 1, i) - channel(left, i)) * (at - left)));
};

// Values without a sign take the upper half of the signed colours, as in the report.
const colours = (result) => {
  const values = result.importance.map((value) => value ?? 0);
  const isSigned = result.criterion === "shapley";
  const reach = Math.max(...values.map(Math.abs)) || 1;
  const low = isSigned ? -reach : Math.min(...values);
  const high = isSigned ? reach : Math.max(...values);
  const stops = isSigned ? data.stops : data.stops.slice(5);
  const decimals = Math.max(2, Math.min(6, 2 - Math.floor(Math.log10(high - low || 1))));
  return values.map((value) => ({
    text: (isSigned ? signed : fixed)(value, decimals),
    colour: `rgb(${mix(stops, (value - low) / (high - low || 1)).join(" ")} / 0.6)`,
  }));
};

export const decimalsOf = (item) => data.digits[item.model];
export const title = (item, items) => (
  new Set(items.map((one) => one.model)).size > 1 ? `${item.name}, ${item.model}` : item.name);

const label = (region, cols) => `${String.fromCharCode(65 + Math.floor(region / cols))}${1 + (region % cols)}`;

export const compare = (root, items) => {
  const state = { chosen: [0, Math.min(1, items.length - 1)], masks: [0, 0], heat: true };
  const sides = make("div", { class: "sides" });
  const said = make("p", { class: "unseen", role: "status" });
  const figures = make("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Comparison" });
  const overlap = make("p", { class: "lead" });
  const presets = make("div", { class: "buttons", role: "group", "aria-label": "Mask" });
  const heat = make("input", { type: "checkbox", checked: "", id: "compare-heat" });
  let tables = [null, null];
  let parts = [];

  const item = (side) => items[state.chosen[side]];
  const linked = () => String(item(0).result.grid) === String(item(1).result.grid);
  const sameScale = () => JSON.stringify(item(0).result.scale) === JSON.stringify(item(1).result.scale);

  const setMask = (side, mask) => {
    state.masks = linked() ? [mask, mask] : state.masks.map((old, i) => (i === side ? mask : old));
    draw();
  };

  const drawSide = (side) => {
    const { score, change, regions, picture } = parts[side];
    const { result } = item(side);
    const decimals = decimalsOf(item(side));
    const mask = state.masks[side];
    const table = tables[side];
    const value = table ? table[mask] : null;
    score.textContent = value === null ? "–" : fixed(value, decimals);
    score.dataset.entry = mask;
    const unknown = table ? "not evaluated" : "loading";
    const moved = value === null ? unknown : `${signed(value - result.score, decimals)} from ${fixed(result.score, decimals)}`;
    change.textContent = mask ? moved : "the whole photograph";
    picture.classList.toggle("heated", state.heat);
    const cells = colours(result);
    regions.forEach((button, region) => {
      const text = state.heat ? cells[region].text : "";
      button.setAttribute("aria-pressed", String(masked(mask, region)));
      button.style.setProperty("--heat", state.heat ? cells[region].colour : "none");
      button.firstChild.textContent = text;
      button.firstChild.hidden = !state.heat;
      button.classList.toggle("decides", result.important.includes(region));
    });
  };

  const row = (name, values, decimals) => {
    const cells = values.map((value, side) => make("td", {}, value === null ? "–" : fixed(value, decimals[side])));
    const difference = sameScale() && !values.includes(null)
      ? signed(values[1] - values[0], Math.max(...decimals)) : "–";
    return make("tr", {}, make("th", { scope: "row" }, name), ...cells, make("td", {}, difference));
  };

  const drawFigures = () => {
    const results = [0, 1].map((side) => item(side).result);
    const decimals = [0, 1].map((side) => decimalsOf(item(side)));
    const of = (read) => results.map(read);
    const here = state.masks.map((mask, side) => (tables[side] ? tables[side][mask] : null));
    figures.replaceChildren(make("table", {},
      make("caption", { class: "unseen" }, "Scores of both, and what is different"),
      make("thead", {}, make("tr", {},
        ...["", "Left", "Right", "Right \u2212 left"].map((text) => (
          text ? make("th", { scope: "col" }, text) : make("td"))))),
      make("tbody", {},
        row("score", of((r) => r.score), decimals),
        row("its important half masked", of((r) => r.score_important_masked), decimals),
        row("its trivial half masked", of((r) => r.score_trivial_masked), decimals),
        row("this selection masked", here, decimals))));
    if (linked()) {
      const half = results[0].important.length;
      const shared = results[0].important.filter((region) => results[1].important.includes(region)).length;
      const chance = (half * results[1].important.length) / (results[0].importance.length);
      overlap.textContent = `The important halves share ${shared} of ${half} regions; `
        + `two halves drawn at random share ${Number(chance.toFixed(1))}. Regions masked in one are masked in the other.`;
    } else {
      overlap.textContent = "The grids differ, so regions are masked on each side by itself.";
    }
    if (!sameScale()) overlap.textContent += " The models' scales differ, so no difference of scores is given.";
  };

  function draw() {
    [0, 1].forEach(drawSide);
    drawFigures();
    said.textContent = [0, 1].map((side) => `${side ? "right" : "left"} ${parts[side].score.textContent}`).join(", ");
  }

  const regionsOf = (side) => {
    const { result } = item(side);
    const [rows, cols] = result.grid;
    const [height, width] = result.size;
    const regions = result.boxes.map(([top, left, bottom, right], region) => {
      const button = make("button", {
        type: "button", class: "region", tabindex: region ? -1 : 0, "aria-pressed": "false",
        "aria-label": `Mask region ${label(region, cols)}`,
      }, make("span", { "aria-hidden": "true" }));
      Object.assign(button.style, {
        left: `${(100 * left) / width}%`,
        top: `${(100 * top) / height}%`,
        width: `${(100 * (right - left)) / width}%`,
        height: `${(100 * (bottom - top)) / height}%`,
      });
      return button;
    });
    const moves = {
      ArrowLeft: (r) => (r % cols ? r - 1 : r),
      ArrowRight: (r) => ((r + 1) % cols ? r + 1 : r),
      ArrowUp: (r) => (r >= cols ? r - cols : r),
      ArrowDown: (r) => (r + cols < rows * cols ? r + cols : r),
      Home: () => 0,
      End: () => rows * cols - 1,
    };
    regions.forEach((button, region) => {
      button.addEventListener("click", () => {
        const mask = state.masks[side];
        setMask(side, mask + (masked(mask, region) ? -(2 ** region) : 2 ** region));
      });
      button.addEventListener("focus", () => regions.forEach((other) => { other.tabIndex = other === button ? 0 : -1; }));
      button.addEventListener("keydown", (event) => {
        if (!(event.key in moves) || event.ctrlKey || event.altKey || event.metaKey) return;
        event.preventDefault();
        regions[moves[event.key](region)].focus();
      });
    });
    return regions;
  };

  const build = (focused = -1) => {
    parts = [0, 1].map((side) => {
      const select = make("select", { id: `compare-${side}` }, ...items.map((one, number) => {
        const option = make("option", { value: number }, title(one, items));
        option.selected = number === state.chosen[side];
        return option;
      }));
      select.addEventListener("change", () => {
        state.chosen[side] = Number(select.value);
        state.masks = [0, 0];
        load(side);
      });
      const { result, links, name } = item(side);
      const regions = regionsOf(side);
      const picture = make("div", { class: "picture" },
        make("img", { src: links.picture, alt: `The photograph ${name}` }),
        make("div", { role: "group", "aria-label": `Regions of the ${side ? "right" : "left"} photograph` }, ...regions));
      picture.style.aspectRatio = `${result.size[1]} / ${result.size[0]}`;
      const score = make("span", { class: "big", id: `score-${side}` });
      const change = make("span", { class: "quiet" });
      const { min, max } = result.scale;
      const box = make("div", { class: "side" },
        make("label", {}, side ? "Right" : "Left", select),
        picture,
        make("p", { class: "figure" }, score, change, make("span", { class: "quiet" }, minus(`scale ${min} to ${max}`))));
      return { box, score, change, regions, picture, select };
    });
    sides.replaceChildren(...parts.map((part) => part.box));
    if (focused >= 0) parts[focused].select.focus();
    draw();
  };

  async function load(focused = -1) {
    const mine = [0, 1].map((side) => item(side).links.explanation);
    tables = [null, null];
    build(focused);
    const found = await Promise.all(mine.map((address) => explanation(address).catch(() => null)));
    if (String(mine) !== String([0, 1].map((side) => item(side).links.explanation))) return;
    tables = found.map((one) => one && one.table);
    draw();
  }

  const preset = (text, masks) => {
    const button = make("button", { type: "button" }, text);
    button.addEventListener("click", () => { state.masks = masks(); draw(); });
    presets.append(button);
  };
  const half = (side, other) => {
    const mask = setOf(item(side).result.important);
    return linked() ? mask : setOf(item(other).result.important);
  };
  preset("Left's important half", () => [setOf(item(0).result.important), half(0, 1)]);
  preset("Right's important half", () => [half(1, 0), setOf(item(1).result.important)]);
  preset("Nothing", () => [0, 0]);
  heat.addEventListener("change", () => { state.heat = heat.checked; draw(); });

  root.replaceChildren(sides, presets,
    make("label", { class: "check" }, heat,
      make("span", {}, "Importance of the regions, each picture by its own range; ringed: its important half")),
    said, overlap, figures);
  load();
};
