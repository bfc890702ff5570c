// The page: choose, wait, look.

import { follow, remove, start, status } from "./jobs.js";
import { compare, decimalsOf, fixed, make, title } from "./compare.js";

const byId = (id) => document.getElementById(id);
const { limits } = JSON.parse(byId("data").textContent);
const examples = [...document.querySelectorAll("[data-example]")];
const further = [...document.querySelectorAll("input[name=also]")];
const models = [...document.querySelectorAll("input[name=model]")];

const chosen = []; // {file, address}
let job = null;
let stop = () => {};
let clock = 0;

// ---- choosing

const problem = (text) => { byId("problem").textContent = text; };
const pressed = (button) => button.getAttribute("aria-pressed") === "true";
const press = (button, on) => button.setAttribute("aria-pressed", String(on));
const count = () => chosen.length + examples.filter(pressed).length;

const drawChosen = () => {
  byId("chosen").replaceChildren(...chosen.map((one, place) => {
    const drop = make("button", { type: "button", "aria-label": `Leave out ${one.file.name}` }, "Leave out");
    drop.addEventListener("click", () => {
      URL.revokeObjectURL(one.address);
      chosen.splice(place, 1);
      drawChosen();
      byId("files").focus();
    });
    return make("li", {}, make("img", { src: one.address, alt: "" }), make("span", {}, one.file.name), drop);
  }));
};

const addFiles = (files) => {
  const refused = [];
  [...files].forEach((file) => {
    if (file.size > limits.bytes) {
      refused.push(`${file.name} has ${(file.size / 1e6).toFixed(1)} MB, at most ${limits.megabytes} are taken.`);
    } else if (count() >= limits.photographs) {
      refused.push(`${file.name} is left out: at most ${limits.photographs} photographs at once.`);
    } else {
      chosen.push({ file, address: URL.createObjectURL(file) });
    }
  });
  problem(refused.join(" "));
  drawChosen();
};

byId("files").addEventListener("change", (event) => {
  addFiles(event.target.files);
  event.target.value = ""; // so that the same file can be chosen again
});
const drop = byId("drop");
["dragenter", "dragover"].forEach((kind) => document.addEventListener(kind, (event) => {
  event.preventDefault();
  drop.classList.add("over");
}));
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault(); // a photograph that misses the field must not replace the page
  drop.classList.remove("over");
  if (event.dataTransfer.files.length) addFiles(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) addFiles(event.clipboardData.files);
});
examples.forEach((button) => button.addEventListener("click", () => {
  if (!pressed(button) && count() >= limits.photographs) {
    problem(`At most ${limits.photographs} photographs at once.`);
    return;
  }
  problem("");
  press(button, !pressed(button));
}));
byId("clear").addEventListener("click", () => {
  chosen.splice(0).forEach((one) => URL.revokeObjectURL(one.address));
  examples.forEach((button) => press(button, false));
  problem("");
  drawChosen();
});

// ---- waiting

const STAGES = {
  waiting: "waiting",
  reading: "reading the photograph",
  masking: "scoring every mask",
  maps: "making further maps",
  writing: "writing the report",
  done: "done",
  failed: "failed",
  cancelled: "cancelled",
};
const SHARE = { waiting: 0, reading: 0.1, masking: 0.25, maps: 0.7, writing: 0.9, done: 1, failed: 1, cancelled: 1 };

const stageText = (item) => {
  if (item.error) return item.error.message;
  if (item.stage === "masking" && item.masks) return `${STAGES.masking}: ${item.masks[0]} of ${item.masks[1]}`;
  return STAGES[item.stage];
};

const drawProgress = (now) => {
  const list = byId("items");
  if (list.children.length !== now.items.length) {
    list.replaceChildren(...now.items.map((item) => make("li", {},
      make("span", {}, title(item, now.items)),
      make("progress", { max: 1, value: 0, "aria-label": title(item, now.items) }),
      make("span", { class: "stage quiet" }))));
  }
  now.items.forEach((item, number) => {
    const [, bar, text] = list.children[number].children;
    const share = SHARE[item.stage];
    bar.value = item.stage === "masking" && item.masks ? share + (0.45 * item.masks[0]) / item.masks[1] : share;
    text.textContent = stageText(item);
    text.classList.toggle("failed", item.stage === "failed");
  });
  const done = now.items.filter((item) => SHARE[item.stage] === 1).length;
  const said = now.state === "waiting" && now.ahead
    ? `Waiting: ${now.ahead} ${now.ahead === 1 ? "job is" : "jobs are"} before this one.`
    : `${done} of ${now.items.length} done.`;
  if (byId("said").textContent !== said) byId("said").textContent = said;
};

const busy = (on) => {
  byId("start").disabled = on;
  byId("cancel").hidden = !on;
};

const watch = (started) => {
  job = started;
  window.history.replaceState(null, "", `#job=${job.id}`);
  byId("results").hidden = true;
  byId("progress").hidden = false;
  byId("items").replaceChildren();
  busy(true);
  drawProgress(job);
  stop = follow(job, {
    changed: drawProgress,
    ended: (now) => { busy(false); drawProgress(now); finish(now); },
    lost: (_, error) => {
      busy(false);
      problem(error ? error.message : "The connection to the server was lost. Load the page again.");
    },
  });
};

byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  problem("");
  if (!count()) {
    problem("Choose a photograph or an example first.");
    byId("files").focus();
    return;
  }
  const form = new FormData();
  chosen.forEach((one) => form.append("photographs", one.file, one.file.name));
  examples.filter(pressed).forEach((button) => form.append("example", button.dataset.example));
  models.filter((box) => box.checked).forEach((box) => form.append("model", box.value));
  further.filter((box) => box.checked).forEach((box) => form.append("also", box.value));
  form.append("grid", byId("grid").value);
  if (byId("by").value) form.append("criterion", byId("by").value);
  busy(true);
  byId("cancel").hidden = true;
  try {
    const started = await start(form, (wait) => problem(`The server is busy; trying again in ${wait} s.`));
    problem("");
    watch(started);
    byId("progress-title").focus();
    byId("progress").scrollIntoView({ block: "center" });
  } catch (error) {
    busy(false);
    problem(error.message);
  }
});

const forget = () => {
  stop();
  window.clearInterval(clock);
  window.history.replaceState(null, "", window.location.pathname);
  byId("results").hidden = true;
  byId("progress").hidden = true;
  byId("frame").removeAttribute("src");
  byId("compare").replaceChildren();
  job = null;
  busy(false);
  byId("files").focus();
};
["cancel", "delete"].forEach((id) => byId(id).addEventListener("click", async () => {
  const { id: old } = job;
  forget();
  try {
    await remove(old);
  } catch (error) {
    if (error.status !== 404) problem(error.message);
  }
}));

// ---- looking

const show = (item, buttons, button) => {
  buttons.forEach((other) => press(other, other === button));
  press(byId("side-by-side"), false);
  byId("compare").hidden = true;
  byId("report").hidden = false;
  byId("frame").src = item.links.report;
  byId("frame").title = `Report on ${item.name}`;
  byId("apart").href = item.links.report;
};

const countDown = (until) => {
  const minutes = Math.ceil((until - Date.now()) / 60000);
  byId("left").textContent = minutes > 0
    ? `Deleted in ${minutes} ${minutes === 1 ? "minute" : "minutes"}.`
    : "These results are deleted by now.";
  if (minutes <= 0) window.clearInterval(clock);
};

function finish(now) {
  job = now;
  const items = now.items.filter((item) => item.result);
  byId("results").hidden = !items.length;
  if (!items.length) {
    problem(now.items.map((item) => `${item.name}: ${stageText(item)}.`).join(" "));
    return;
  }
  byId("zip").href = now.links.zip;
  const until = Date.now() + 1000 * now.seconds_left;
  window.clearInterval(clock);
  clock = window.setInterval(countDown, 5000, until);
  countDown(until);
  const buttons = items.map((item) => make("button", { type: "button", "aria-pressed": "false" },
    make("img", { src: item.links.thumb, alt: "" }),
    make("span", { class: "about" },
      make("span", {}, title(item, items)),
      make("span", { class: "number" }, fixed(item.result.score, decimalsOf(item))))));
  buttons.forEach((button, number) => button.addEventListener("click", () => show(items[number], buttons, button)));
  byId("shelf").replaceChildren(...buttons);
  byId("side-by-side").hidden = items.length < 2;
  byId("side-by-side").onclick = () => {
    buttons.forEach((button) => press(button, false));
    press(byId("side-by-side"), true);
    byId("report").hidden = true;
    byId("compare").hidden = false;
    compare(byId("compare"), items);
  };
  show(items[0], buttons, buttons[0]);
  if (now.items.every((item) => item.result)) byId("progress").hidden = true;
  byId("results-title").focus({ preventScroll: true });
  byId("results").scrollIntoView();
}

// ---- a page that is loaded again finds its job

const asked = (/^#job=([\w-]+)$/.exec(window.location.hash) || [])[1];
if (asked) {
  status(asked).then((now) => (now.state === "done" ? finish(now) : watch(now)), (error) => {
    window.history.replaceState(null, "", window.location.pathname);
    problem(error.message);
  });
}
busy(false);
