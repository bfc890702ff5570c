"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const bytes = Uint8Array.from(atob(data.table), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const table = Float32Array.from({ length: bytes.length / 4 }, (_, m) => view.getFloat32(4 * m, true));
  const [rows, cols] = data.grid;
  const n = rows * cols;
  const full = table.length - 1;
  const regions = [...document.querySelectorAll(".region")];
  const mapButtons = [...document.querySelectorAll("button[data-map]")];
  const mapPictures = [...document.querySelectorAll("img[data-map]")];
  const presets = [...document.querySelectorAll("[data-preset]")];

  // ---- numbers

  const minus = (text) => text.replaceAll("-", "\u2212");
  const fixed = (value, decimals = data.digits) => {
    const text = value.toFixed(decimals);
    return minus(Number(text) === 0 ? text.replace("-", "") : text);
  };
  const signed = (value, decimals = data.digits) => {
    const text = fixed(value, decimals);
    return Number(value.toFixed(decimals)) > 0 ? `+${text}` : text;
  };
  // The fewest digits that name this float32 and no other.
  const shortest = (value) => {
    for (let digits = 1; digits < 10; digits += 1) {
      const near = Number(value.toPrecision(digits));
      if (Math.fround(near) === value) return String(near);
    }
    return String(value);
  };
  const masked = (mask, region) => Math.floor(mask / 2 ** region) % 2 === 1;
  const setOf = (list) => list.reduce((mask, region) => mask + 2 ** region, 0);
  const sizeOf = (mask) => regions.reduce((size, _, region) => size + masked(mask, region), 0);

  // ---- the best, the worst and the mean of all masks of each size

  const bySize = Array.from({ length: n + 1 }, () => ({ highest: -1, lowest: -1, sum: 0, count: 0 }));
  let bottom = 0;
  let top = 0;
  table.forEach((score, mask) => {
    if (Number.isNaN(score)) return; // not evaluated
    const group = bySize[sizeOf(mask)];
    if (!group.count || score > table[group.highest]) group.highest = mask;
    if (!group.count || score < table[group.lowest]) group.lowest = mask;
    group.sum += score;
    group.count += 1;
    if (score < table[bottom]) bottom = mask;
    if (score > table[top]) top = mask;
  });

  // ---- what is shown now

  const important = setOf(data.important);
  const state = { mask: 0, layer: `criterion:${data.criterion}`, last: 0, count: data.half };
  const target = (preset) => ({
    important,
    trivial: full - important,
    nothing: 0,
    everything: full,
    highest: bySize[state.count].highest,
    lowest: bySize[state.count].lowest,
  })[preset];
  // Of the masks that were evaluated, one that differs in the fewest regions.
  const nearest = () => {
    let found = 0;
    let least = n + 1;
    table.forEach((score, mask) => {
      if (Number.isNaN(score)) return;
      const apart = regions.reduce((sum, _, i) => sum + (masked(mask, i) !== masked(state.mask, i)), 0);
      if (apart < least) [found, least] = [mask, apart];
    });
    return found;
  };

  // ---- colours

  const mix = (stops, share) => {
    const at = Math.min(1, Math.max(0, share)) * (stops.length - 1);
    const left = Math.min(stops.length - 2, Math.floor(at));
    const channel = (stop, i) => parseInt(stops[stop].slice(1 + 2 * i, 3 + 2 * i), 16);
    return [0, 1, 2].map((i) =>
      Math.round(channel(left, i) + (channel(left + 1, i) - channel(left, i)) * (at - left)));
  };
  const gradient = (stops) => `linear-gradient(to right, ${stops.join(", ")})`;
  const sentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1)}.` : "");

  // What the chosen layer says of the regions: values, their scale, words, and whom it rings.
  const layer = () => {
    const [kind, name] = state.layer.split(":");
    if (kind === "none") return null;
    const pairs = kind === "interactions";
    const map = kind === "map" ? data.maps[Number(name)] : null;
    const own = kind === "criterion" ? data.criteria[name] : null;
    const values = pairs ? data.interactions[state.last] : (map || own).values;
    const skipped = pairs ? state.last : -1;
    const known = values.filter((value, region) => value !== null && region !== skipped);
    if (!known.length) known.push(0);
    const isSigned = pairs || (map ? map.colours === "signed" : own.signed);
    const reach = Math.max(...known.map(Math.abs)) || 1;
    const low = isSigned ? -reach : Math.min(...known);
    const high = isSigned ? reach : Math.max(...known);
    const decimals = Math.max(2, Math.min(6, 1 - Math.floor(Math.log10(high - low || 1))));
    const write = (value) => (isSigned ? signed : fixed)(value, decimals);
    const all = { values, low, high, write, skipped, errors: null, map, ringed: 0 };
    const short = (value) => minus(String(Number(value.toPrecision(2))));
    if (map) {
      return {
        ...all,
        ringed: setOf(map.highest),
        ends: [short(map.low), short(map.high)],
        stops: data.colours[map.colours],
        words: `${sentence(map.meaning)} Numbers: mean over a region. Ringed: its ${data.half} highest.`,
      };
    }
    // Values without a sign take the upper half of the signed colours, so more is always the same.
    const stops = isSigned ? data.colours.heat : data.colours.heat.slice(5);
    const unit = pairs || own.unit ? " MOS" : "";
    const ends = [write(low) + unit, write(high) + unit];
    if (pairs) {
      return {
        ...all,
        stops,
        ends,
        words: `How much more each region is worth together with ${data.labels[state.last]}, the `
          + "region chosen last: Shapley interaction, positive where they support each other.",
      };
    }
    const estimate = data.estimated ? " Estimates from a sample of the masks." : "";
    const rings = name === data.criterion ? " Ringed: the important half." : "";
    return {
      ...all,
      stops,
      ends,
      errors: own.errors,
      ringed: name === data.criterion ? important : 0,
      words: `${sentence(own.meaning)}${estimate}${rings}`,
    };
  };

  // ---- drawing

  const drawRegion = (button, region, on) => {
    const valued = on !== null && region !== on.skipped && on.values[region] !== null;
    const text = valued ? on.write(on.values[region]) : "";
    const error = valued && on.errors && on.errors[region] !== null ? `\u00b1${on.errors[region].toPrecision(2)}` : "";
    const value = button.querySelector(".value");
    value.textContent = text;
    if (error) {
      const small = document.createElement("small");
      small.textContent = error;
      value.append(small);
    }
    const coloured = valued && !on.map;
    const share = coloured ? (on.values[region] - on.low) / (on.high - on.low || 1) : 0;
    button.style.setProperty("--heat", coloured ? `rgb(${mix(on.stops, share).join(" ")} / 0.6)` : "none");
    button.classList.toggle("decides", valued && masked(on.ringed, region));
    button.setAttribute("aria-label",
      `Mask region ${data.labels[region]}${valued ? `, value ${text}${error && ` ${error}`}` : ""}`);
  };

  const drawLayer = () => {
    const on = layer();
    byId("layer").value = state.layer;
    byId("frame").classList.toggle("heated", on !== null);
    byId("legend").hidden = on === null;
    byId("meaning").textContent = on ? on.words.trim() : "";
    if (on) {
      [byId("low").textContent, byId("high").textContent] = on.ends;
      byId("bar").style.background = gradient(on.stops);
    }
    regions.forEach((button, region) => drawRegion(button, region, on));
    mapPictures.forEach((picture, map) => { picture.hidden = state.layer !== `map:${map}`; });
    mapButtons.forEach((button) => {
      button.setAttribute("aria-pressed", String(state.layer === `map:${button.dataset.map}`));
    });
  };

  const along = (score) => {
    const { min, max } = data.scale;
    return `${100 * Math.min(1, Math.max(0, (score - min) / (max - min)))}%`;
  };

  const drawScore = () => {
    const score = table[state.mask];
    const known = !Number.isNaN(score);
    const size = sizeOf(state.mask);
    const moved = `${signed(score - table[0])} MOS`;
    const extent = `${size} of ${n} regions masked`;
    byId("score").textContent = known ? fixed(score) : "–";
    byId("exact").textContent = known
      ? `Table entry ${state.mask}: ${minus(shortest(score))}`
      : `Table entry ${state.mask} was not evaluated`;
    byId("size").textContent = extent;
    if (!known) {
      byId("change").textContent = "not evaluated";
      byId("said").textContent = `No score: this mask was not evaluated, ${extent}`;
    } else if (size) {
      byId("change").textContent = `${moved} from ${fixed(table[0])}`;
      byId("said").textContent = `Score ${fixed(score)}, change ${moved}, ${extent}`;
    } else {
      byId("change").textContent = "the whole photograph";
      byId("said").textContent = `Score ${fixed(score)}, nothing masked`;
    }
    byId("nearest").hidden = known;
    byId("now").hidden = !known;
    if (known) byId("now").style.left = along(score);
    byId("chosen").textContent = state.count;
    byId("count").value = state.count;
    byId("combinations").textContent = bySize[state.count].count;
    presets.forEach((button) => {
      const mask = target(button.dataset.preset);
      button.disabled = mask < 0;
      button.setAttribute("aria-pressed", String(mask === state.mask));
    });
    regions.forEach((button, region) => {
      button.setAttribute("aria-pressed", String(masked(state.mask, region)));
    });
  };

  const drawScale = () => {
    const { min, max } = data.scale;
    byId("before").style.left = along(table[0]);
    byId("range").style.left = along(table[bottom]);
    byId("range").style.right = `calc(100% - ${along(table[top])})`;
    const whole = Number.isInteger(min) && Number.isInteger(max) && max - min <= 10;
    const steps = whole ? max - min : 4;
    for (let i = 0; i <= steps; i += 1) {
      const tick = document.createElement("span");
      tick.textContent = minus(String(Number((min + (i * (max - min)) / steps).toPrecision(4))));
      tick.style.left = `${(100 * i) / steps}%`;
      byId("ticks").append(tick);
    }
  };

  // ---- the curve: score by number of regions kept

  const svg = byId("curve");
  const add = (name, attributes, text = "") => {
    const element = document.createElementNS(svg.namespaceURI, name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    element.textContent = text;
    svg.append(element);
    return element;
  };
  const box = { left: 48, right: 0, top: 12, bottom: 196 };
  const span = table[top] - table[bottom] || 1;
  const x = (kept) => box.left + ((box.right - box.left) * kept) / n;
  const y = (score) => box.bottom - ((box.bottom - box.top) * (score - table[bottom])) / span;
  let here;
  let guide;

  // Drawn in the pixels there are, so that its letters keep their size on a phone.
  const drawCurve = () => {
    const width = svg.clientWidth || 640;
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} 240`);
    box.right = width - 14;
    const raw = span / 4;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = unit * [1, 2, 5, 10].find((factor) => unit * factor >= raw);
    const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    for (let line = Math.ceil(table[bottom] / step); line * step <= table[top]; line += 1) {
      const level = y(line * step);
      add("line", { class: "axis", x1: box.left, x2: box.right, y1: level, y2: level });
      add("text", { x: box.left - 10, y: level + 4, "text-anchor": "end" }, fixed(line * step, decimals));
    }
    for (let kept = 0; kept <= n; kept += 1) {
      add("text", { x: x(kept), y: box.bottom + 20, "text-anchor": "middle" }, String(kept));
    }
    add("text", { x: (box.left + box.right) / 2, y: box.bottom + 40, "text-anchor": "middle" },
      "regions kept");
    const value = {
      highest: (group) => table[group.highest],
      mean: (group) => group.sum / group.count,
      lowest: (group) => table[group.lowest],
    };
    Object.entries(value).forEach(([name, of]) => {
      const groups = bySize.map((group, size) => ({ ...group, kept: n - size })).filter((group) => group.count);
      const points = groups.map((group) => [x(group.kept), y(of(group))]);
      add("polyline", { class: `line ${name}`, points: points.map((p) => p.join(",")).join(" ") });
      if (name === "mean") return;
      points.forEach(([cx, cy], i) => {
        add("circle", { class: `dot ${name}`, cx, cy, r: 3 });
        // a wider one to hit; the same is to be had by the slider and its two buttons
        add("circle", { class: "hit", cx, cy, r: 11 }).addEventListener("click", () => {
          Object.assign(state, { mask: groups[i][name], count: n - groups[i].kept });
          draw();
        });
      });
    });
    guide = add("line", { class: "guide", y1: box.top, y2: box.bottom });
    here = add("circle", { class: "here", r: 6 });
  };

  const drawHere = () => {
    const kept = n - sizeOf(state.mask);
    const group = bySize[n - kept];
    const score = table[state.mask];
    const known = !Number.isNaN(score);
    here.setAttribute("cx", x(kept));
    here.setAttribute("cy", known ? y(score) : box.bottom);
    here.setAttribute("visibility", known ? "visible" : "hidden");
    guide.setAttribute("x1", x(kept));
    guide.setAttribute("x2", x(kept));
    byId("curve-text").textContent = `With ${kept} of ${n} regions kept: `
      + (group.count
        ? `best ${fixed(table[group[data.higher ? "highest" : "lowest"]])}, mean ${fixed(group.sum / group.count)}, `
          + `worst ${fixed(table[group[data.higher ? "lowest" : "highest"]])}`
        : "no mask was evaluated")
      + (known ? `; this selection ${fixed(score)}.` : ".");
  };

  const draw = () => {
    drawLayer();
    drawScore();
    drawHere();
    try {
      window.history.replaceState(null, "", state.mask ? `#mask=${state.mask}` : "#");
    } catch { /* a frame without an address, or too many changes at once: only a bookmark is lost */ }
  };

  // ---- what can be done

  const toggle = (region) => {
    state.mask += masked(state.mask, region) ? -(2 ** region) : 2 ** region;
    state.last = region;
    draw();
  };
  const moves = {
    ArrowLeft: (region) => (region % cols ? region - 1 : region),
    ArrowRight: (region) => ((region + 1) % cols ? region + 1 : region),
    ArrowUp: (region) => (region >= cols ? region - cols : region),
    ArrowDown: (region) => (region + cols < n ? region + cols : region),
    Home: () => 0,
    End: () => n - 1,
  };
  regions.forEach((button, region) => {
    button.addEventListener("click", () => toggle(region));
    button.addEventListener("focus", () => regions.forEach((other) => {
      other.tabIndex = other === button ? 0 : -1;
    }));
    button.addEventListener("keydown", (event) => {
      if (!(event.key in moves) || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      regions[moves[event.key](region)].focus();
    });
  });
  presets.forEach((button) => button.addEventListener("click", () => {
    state.mask = target(button.dataset.preset);
    draw();
  }));
  byId("swap").addEventListener("click", () => { state.mask = full - state.mask; draw(); });
  byId("nearest").addEventListener("click", () => {
    state.mask = nearest();
    draw();
    regions.find((button) => button.tabIndex === 0).focus(); // the button is gone
  });
  byId("count").addEventListener("input", (event) => { state.count = Number(event.target.value); draw(); });
  byId("layer").addEventListener("change", (event) => { state.layer = event.target.value; draw(); });
  mapButtons.forEach((button) => button.addEventListener("click", () => {
    const chosen = `map:${button.dataset.map}`;
    state.layer = state.layer === chosen ? `criterion:${data.criterion}` : chosen;
    draw();
  }));
  const fromAddress = () => {
    const asked = Number((/^#mask=(\d+)$/.exec(window.location.hash) || [])[1] || 0);
    if (asked <= full) state.mask = asked;
    draw();
  };
  window.addEventListener("hashchange", fromAddress);
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((part) => { part.open = true; });
  });

  new ResizeObserver(() => { drawCurve(); drawHere(); }).observe(svg);
  drawScale();
  drawCurve();
  fromAddress();
})();
