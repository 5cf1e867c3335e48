"use strict";
(() => {
const views = JSON.parse(document.getElementById("data").textContent);
const panels = [...document.querySelectorAll(".timeline")];
const tabs = [...document.querySelectorAll("[data-camera]")];
const figures = [...document.querySelectorAll("[data-kind]")];
const range = document.getElementById("scrub");
const play = document.getElementById("play");
const player = document.getElementById("player");
let view = 0, at = 0, timer = 0;

const element = (tag, text, name) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
};
const share = (t) => (t - views[view].first) / ((views[view].last - views[view].first) || 1);
const seconds = (t) => t.toFixed(2) + " s";
const nearest = (items, t, time) => {
  let best = -1, gap = Infinity;
  items.forEach((item, k) => {
    const away = Math.abs(time(item) - t);
    if (away < gap) { best = k; gap = away; }
  });
  return best;
};

function chip(label, color, text) {
  const made = element("span", undefined, "chip");
  const dot = element("i");
  dot.style.background = color;
  made.append(dot, text === undefined ? label : label + " " + text);
  return made;
}

function show(index) {
  const moments = views[view].moments;
  if (!range || !moments.length) return;
  at = Math.min(Math.max(index, 0), moments.length - 1);
  const moment = moments[at];
  range.max = moments.length - 1;
  range.value = at;
  range.setAttribute("aria-valuetext", seconds(moment.t));
  document.getElementById("when").textContent = seconds(moment.t);
  document.getElementById("stamp").textContent = moment.stamp;
  for (const figure of figures) {
    const kind = figure.dataset.kind, image = figure.querySelector("img");
    figure.hidden = !views[view].kinds.includes(kind);
    const source = moment.pictures[kind];
    figure.classList.toggle("empty", !source);
    if (source) image.src = source; else image.removeAttribute("src");
    figure.querySelector(".words").textContent = moment.words[kind] || "";
    figure.querySelector(".gap").textContent = source ? "" : moment.words[kind] || "no answer";
  }
  const found = document.getElementById("found");
  found.replaceChildren(...moment.found.map((x) => chip(x[0], x[2], x[1])));
  if (!moment.found.length) found.append(element("span", "nothing detected", "soft"));
  const marks = document.getElementById("events");
  marks.replaceChildren(
    ...moment.failed.map((text) => element("span", "failed: " + text, "bad")),
    ...moment.dropped.map((text) => element("span", "dropped: " + text, "warn")));
  panels[view].style.setProperty("--now", share(moment.t));
}

function ticks() {
  const marks = document.getElementById("marks");
  if (!marks) return;
  const moments = views[view].moments, last = Math.max(moments.length - 1, 1);
  marks.replaceChildren();
  moments.forEach((moment, k) => {
    const kind = moment.failed.length ? "fail" : moment.dropped.length ? "drop" : "";
    if (!kind) return;
    const mark = element("i", undefined, kind);
    mark.style.setProperty("--at", k / last);
    marks.append(mark);
  });
}

function choose(index, moment) {
  view = index;
  panels.forEach((panel, k) => { panel.hidden = k !== index; });
  tabs.forEach((tab, k) => tab.setAttribute("aria-pressed", k === index));
  ticks();
  show(moment);
}

function goto(t) {
  show(nearest(views[view].moments, t, (moment) => moment.t));
}

function stop() {
  clearTimeout(timer);
  timer = 0;
  play.classList.remove("on");
  play.setAttribute("aria-label", "play");
}

function step() {
  const moments = views[view].moments;
  if (at + 1 >= moments.length) return stop();
  const pause = Math.min(Math.max((moments[at + 1].t - moments[at].t) * 1000, 60), 500);
  timer = setTimeout(() => { show(at + 1); step(); }, pause);
}

if (range) {
  range.addEventListener("input", () => { stop(); show(Number(range.value)); });
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (at + 1 >= views[view].moments.length) show(0);
    play.classList.add("on");
    play.setAttribute("aria-label", "pause");
    step();
  });
  document.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!way || event.altKey || event.ctrlKey || event.metaKey || event.target === range) return;
    event.preventDefault();
    stop();
    show(at + way);
  });
}

tabs.forEach((tab, k) => tab.addEventListener("click", () => {
  const moments = views[view].moments, t = moments.length ? moments[at].t : views[view].first;
  if (range) stop();
  choose(k, 0);
  goto(t);
}));

document.querySelectorAll("[data-goto]").forEach((button) => {
  button.addEventListener("click", () => {
    const [index, moment] = button.dataset.goto.split(",").map(Number);
    if (range) stop();
    choose(index, moment);
    player.scrollIntoView({ behavior: "smooth", block: "start" });
  });
});

panels.forEach((panel, k) => {
  const plot = panel.querySelector("svg"), tip = panel.querySelector(".tip");
  const shown = views[k];
  const time = (event) => {
    const box = plot.getBoundingClientRect();
    const part = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    return shown.first + part * (shown.last - shown.first);
  };
  const fill = (t) => {
    tip.replaceChildren(element("b", seconds(t)));
    for (const node of shown.nodes) {
      const near = nearest(node.points, t, (point) => point[0]);
      if (near < 0) continue;
      const [, ms, found] = node.points[near];
      const text = ms.toFixed(1) + " ms, found " + found.toLocaleString("en");
      const line = element("div");
      line.append(chip(node.name, node.color), element("span", text));
      tip.append(line);
    }
    for (const lane of shown.lanes) {
      const near = nearest(lane.points, t, (point) => point[0] + shown.width / 2);
      if (near < 0 || Math.abs(lane.points[near][0] + shown.width / 2 - t) > shown.width) continue;
      const line = element("div");
      line.append(chip(lane.label, lane.color), element("span", String(lane.points[near][1])));
      tip.append(line);
    }
    for (const [when, node, reason, count] of shown.drops) {
      if (Math.abs(when + shown.width / 2 - t) > shown.width) continue;
      const text = node + " dropped " + (count > 1 ? count + " " : "") + reason;
      tip.append(element("div", text, "warn"));
    }
  };
  const hover = (event) => {
    const t = time(event), area = panel.getBoundingClientRect();
    const part = (t - shown.first) / ((shown.last - shown.first) || 1);
    panel.style.setProperty("--hover", part);
    panel.classList.add("over");
    fill(t);
    const x = event.clientX - area.left, width = tip.offsetWidth;
    const left = part > 0.5 ? x - width - 14 : x + 14;
    tip.style.left = Math.min(Math.max(left, 0), area.width - width) + "px";
  };
  panel.addEventListener("pointermove", hover);
  panel.addEventListener("pointerdown", hover);
  panel.addEventListener("pointerleave", () => panel.classList.remove("over"));
  panel.addEventListener("click", (event) => {
    if (range) stop();
    goto(time(event));
  });
});

if (views.length) choose(0, Number(player ? player.dataset.start : 0));
})();
