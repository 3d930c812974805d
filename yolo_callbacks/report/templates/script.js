"use strict";
// Show the values at the pointer, or at the epoch that the arrow keys choose. Without this script, the page lacks only these values and the slider.
for (const figure of document.querySelectorAll("figure[data-chart]")) {
  const chart = JSON.parse(figure.dataset.chart);
  const plot = figure.querySelector(".plot");
  const rule = plot.appendChild(Object.assign(document.createElement("i"), { className: "rule", hidden: true }));
  const tip = plot.appendChild(Object.assign(document.createElement("div"), { className: "tip", hidden: true }));
  let shown = chart.epochs.length - 1;
  const show = (index) => {
    shown = index;
    const epoch = chart.epochs[index];
    const position = chart.left + ((epoch - chart.first) / (chart.last - chart.first)) * (chart.right - chart.left);
    const happened = (chart.reductions.includes(epoch) ? " · LR reduction" : "") + (chart.stop === epoch ? " · stop" : "");
    const lines = chart.lines.filter((line) => line.values[index] !== "").map((line) => {
      const row = document.createElement("div");
      const swatch = document.createElement("i");
      swatch.className = `swatch line${line.color}${line.dashed ? " dashed" : ""}`;
      const value = Object.assign(document.createElement("b"), { textContent: line.values[index] });
      row.append(swatch, line.label, value);
      return row;
    });
    tip.replaceChildren(Object.assign(document.createElement("div"), { textContent: `epoch ${epoch}${happened}` }), ...lines);
    rule.style.left = `${100 * position}%`;
    tip.style.left = position < 0.5 ? `calc(${100 * position}% + 8px)` : "auto";
    tip.style.right = position < 0.5 ? "auto" : `calc(${100 * (1 - position)}% + 8px)`;
    rule.hidden = tip.hidden = false;
  };
  const hide = () => { rule.hidden = tip.hidden = true; };
  const point = (event) => {
    const box = plot.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    const at = chart.first + ((share - chart.left) / (chart.right - chart.left)) * (chart.last - chart.first);
    let nearest = 0;
    chart.epochs.forEach((epoch, index) => {
      if (Math.abs(epoch - at) < Math.abs(chart.epochs[nearest] - at)) nearest = index;
    });
    show(nearest);
  };
  const move = (event) => {
    const last = chart.epochs.length - 1;
    const to = { ArrowLeft: shown - 1, ArrowRight: shown + 1, Home: 0, End: last }[event.key];
    if (event.key === "Escape") hide();
    if (to === undefined) return;
    event.preventDefault();
    show(Math.min(Math.max(to, 0), last));
  };
  tip.setAttribute("aria-live", "polite");
  plot.addEventListener("pointermove", point);
  plot.addEventListener("pointerdown", point);
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("keydown", move);
  plot.addEventListener("focus", () => { if (plot.matches(":focus-visible")) show(shown); });
  plot.addEventListener("blur", hide);
}
const kind = document.querySelector("#failing-kind");
if (kind) {
  const name = document.querySelector("#failing-class");
  const filter = () => {
    for (const figure of document.querySelectorAll("#failing figure")) {
      const has = (chosen, among) => chosen === "" || JSON.parse(among).includes(chosen);
      figure.hidden = !(has(name.value, figure.dataset.classes) && has(kind.value, figure.dataset.kinds));
    }
  };
  name.addEventListener("change", filter);
  kind.addEventListener("change", filter);
}
const flips = document.querySelector("#flips");
if (flips) {
  const names = Object.entries(JSON.parse(flips.dataset.flips));
  const at = document.querySelector("#flips-slider");
  const list = () => {
    const [epoch, images] = names[Number(at.value)];
    document.querySelector("#flips-epoch").textContent = epoch;
    document.querySelector("#flips-names").textContent = images.length ? images.join(", ") : "none";
  };
  at.max = names.length - 1;
  at.value = names.findLastIndex(([, images]) => images.length);
  at.addEventListener("input", list);
  list();
}
const slider = document.querySelector("#confidence");
if (slider) {
  const apply = () => {
    document.querySelector("#confidence-value").textContent = Number(slider.value).toFixed(2);
    for (const box of document.querySelectorAll("[data-confidence]")) {
      box.style.visibility = Number(box.dataset.confidence) < Number(slider.value) ? "hidden" : "";
    }
  };
  slider.addEventListener("input", apply);
  apply();
}
