// When each replicate ran, a lane a worker. A bar is a replicate, in its arm's colour; those that stopped or failed are striped.
"use strict";

function drawTimeline() {
  const run = runShown(), told = run.timeline, part = byId("timeline-part"), place = byId("timeline");
  part.hidden = !told;
  if (!told) return;
  const kinds = new Map();
  for (const [trial, replicate, worker, began, ended] of told.stretches) {
    const row = rowsOf(run)[trial], broken = replicate === 0 && (row.group === GROUP.stopped || row.group === GROUP.ended);
    const name = `${row.group === GROUP.control ? "controls" : row.arm.name}${broken ? ": stopped or failed" : ""}`;
    if (!kinds.has(name)) kinds.set(name, { colour: row.group === GROUP.control ? GREY : row.arm.colour, broken, bars: [] });
    kinds.get(name).bars.push({ row, replicate, worker, began, ended });
  }
  const unit = [["s", 1], ["min", 60], ["h", 3600], ["days", 86400]].findLast(([, size]) => told.end >= 2 * size) ?? ["s", 1];
  const traces = [...kinds].map(([name, { colour, broken, bars: own }]) => ({
    type: "bar", orientation: "h", name: escaped(name), y: own.map(({ worker }) => worker), base: own.map(({ began }) => began / unit[1]),
    x: own.map(({ began, ended }) => (ended - began) / unit[1]), customdata: own.map(({ row }) => row.i), width: 0.8,
    marker: { color: colour, line: { width: 0.5, color: "rgba(255,255,255,.6)" }, pattern: { shape: broken ? "/" : "", size: 6 } },
    hovertext: own.map(({ row, replicate, began, ended }) => `<b>${escaped(row.id)}</b> ${replicate ? `fresh seed ${replicate}` : "search"}<br>${figured(ended - began)} s, from ${figured(began)} s on`), hoverinfo: "text",
  }));
  const high = 90 + 26 * told.workers.length;
  place.style.height = `${Math.min(900, Math.max(180, high))}px`;
  const layout = {
    margin: { l: 56, r: 14, t: 10, b: 80 }, barmode: "overlay", hovermode: "closest", showlegend: true,
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, font: { size: 11 }, maxheight: 0.4 },
    xaxis: { title: { text: `${unit[0]} since ${told.start.slice(0, 16).replace("T", " ")} UTC` }, automargin: true, zeroline: false },
    yaxis: { tickvals: told.workers.map((_, i) => i), ticktext: told.workers.map((name) => fitted(escaped(name), 200)), automargin: true, autorange: "reversed", zeroline: false },
  };
  plot(place, traces, layout, { responsive: true, displayModeBar: false });
  if (place.dataset.listens) return;
  place.dataset.listens = "yes";
  place.on("plotly_click", ({ points }) => choose(state.run, rowsOf(runShown())[points[0].customdata].id));
}
