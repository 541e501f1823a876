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

// Plotly cuts a legend's text off at the chart's edge: a name longer than that loses its middle instead.
function fitted(name, width) {
  const text = new DOMParser().parseFromString(name, "text/html").documentElement.textContent, most = Math.max(16, Math.floor((width - 60) / 6.6));
  if (text.length <= most) return name;
  const shown = `${text.slice(0, Math.ceil(most / 2) - 1)}…${text.slice(text.length - Math.floor(most / 2))}`;
  return shown.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

function plot(place, data, layout, config) {
  const width = place.clientWidth; // 0 of what is hidden: `sized` names it again once it is shown
  const named = data.map((one) => (one.name ? { ...one, name: fitted(one.name, width) } : one));
  const drawn = Plotly.react(place, named, themed(layout), config);
  plots.set(place, { data, layout, config, width, drawn });
  return drawn;
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

// A chart that was hidden when it was drawn takes its size, and its names theirs.
function sized(place) {
  const { data, layout, config, width } = plots.get(place);
  if (width) Plotly.Plots.resize(place);
  else plot(place, data, layout, config);
}

// Charts that are about to be taken out of the page: each listens to the window until it is purged, once it is drawn.
function purgeIn(within) {
  for (const [place, { drawn }] of [...plots].filter(([one]) => within.contains(one))) {
    plots.delete(place);
    drawn.finally(() => { if (!plots.has(place)) Plotly.purge(place); });
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
