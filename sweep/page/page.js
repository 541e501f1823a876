// What every page has: its charts, in the reader's light or dark scheme, on screen and on paper.
"use strict";

const plots = new Map(); // a chart's place -> its data, layout and config before they were themed

function themed(layout) {
  const css = getComputedStyle(document.documentElement);
  const [ink, line, paper, soft] = ["--ink", "--line", "--paper", "--soft"].map((name) => css.getPropertyValue(name).trim());
  const axis = { gridcolor: line, linecolor: line, tickcolor: line, zerolinecolor: line };
  const axes = Object.keys(layout).filter((name) => /^[xy]axis/.test(name)).map((name) => [name, { ...layout[name], ...axis }]);
  return {
    ...layout,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true,
    font: { color: ink, size: 12, family: "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif" },
    hoverlabel: { bgcolor: paper, bordercolor: line, font: { color: ink }, align: "left" },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink },
    ...Object.fromEntries(axes),
  };
}

function plot(place, data, layout, config) {
  plots.set(place, { data, layout, config });
  return Plotly.react(place, data, themed(layout), config);
}

// The charts that the page itself holds, each as JSON beside its place; called again where live parts were replaced. They lie
// further down: each waits for its turn, so that the first ones can be used.
function plotHeld(within) {
  for (const holder of within.querySelectorAll("script.figure")) {
    setTimeout(() => {
      if (!holder.isConnected) return; // replaced meanwhile
      const spec = JSON.parse(holder.textContent);
      plot(document.getElementById(holder.dataset.chart), spec.data, spec.layout, spec.config);
    });
  }
}

function everyPlot(change) {
  for (const [place, { layout }] of plots) {
    if (place.isConnected) change(place, themed(layout));
    else plots.delete(place);
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => everyPlot((place, layout) => Plotly.relayout(place, layout)));

// Charts are drawn for the paper's width and in its colours before the page is laid out on it: `.paper` is that layout.
addEventListener("beforeprint", () => {
  document.documentElement.classList.add("paper");
  everyPlot((place, layout) => Plotly.relayout(place, { ...layout, width: place.clientWidth, height: place.clientHeight, autosize: false }));
});
addEventListener("afterprint", () => {
  document.documentElement.classList.remove("paper");
  everyPlot((place, layout) => Plotly.relayout(place, { ...layout, width: null, height: null, autosize: true }));
});
plotHeld(document);
