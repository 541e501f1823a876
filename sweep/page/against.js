// Any figure against any parameter, however few trials there are: a point a trial, in the colours and shapes of the front.
"use strict";

const against = { figure: "", parameter: "" };

function offer(select, names, chosen) {
  if ([...select.options].map(({ value }) => value).join("\n") !== names.join("\n")) select.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
  select.value = chosen;
}

function drawAgainst() {
  const run = runShown(), trials = rowsOf(run).filter((row) => row.group !== GROUP.control), place = byId("against");
  const having = (names) => names.filter((name) => trials.some((row) => row.values(name) !== null));
  const figures = having(run.figures), parameters = having(run.parameters.map(({ name }) => name));
  if (!figures.includes(against.figure)) against.figure = figures[0] ?? "";
  if (!parameters.includes(against.parameter)) against.parameter = parameters[0] ?? "";
  offer(byId("against-figure"), figures, against.figure);
  offer(byId("against-parameter"), parameters, against.parameter);
  byId("against-part").hidden = !figures.length || !parameters.length;
  if (byId("against-part").hidden) return;
  const shown = trials.filter((row) => row.values(against.parameter) !== null && row.figure(against.figure) !== null);
  byId("against-told").textContent = `${shown.length} of ${trials.length} trials have both.`;
  const parameter = run.parameters.find(({ name }) => name === against.parameter), axis = parameterAxis(parameter, shown, trials);
  const layout = {
    margin: { l: 56, r: 14, t: 10, b: 48 }, hovermode: "closest",
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, font: { size: 11 }, maxheight: 0.3 }, showlegend: true,
    xaxis: { title: { text: escaped(against.parameter) }, zeroline: false, automargin: true, ...axis.layout },
    yaxis: { title: { text: escaped(against.figure) }, zeroline: false, automargin: true },
  };
  const traces = run.arms.flatMap((arm) => againstTraces(run, arm, shown.filter((row) => row.arm === arm), axis.at));
  plot(place, traces, layout, { responsive: true, displayModeBar: false });
  if (!place.dataset.listens) {
    place.dataset.listens = "yes";
    place.on("plotly_click", ({ points }) => choose(state.run, rowsOf(runShown())[points[0].customdata].id));
  }
}

// Where a value lies and what the axis says: over the range that the question declares and all that is shown, of words side by
// side, those of trials without the figure too, each trial a little beside the last.
function parameterAxis(parameter, rows, trials) {
  const values = rows.map((row) => row.values(parameter.name));
  if (parameter.words) {
    const words = [...new Set(trials.map((row) => row.values(parameter.name)).filter((word) => word !== null))].sort();
    const at = (row) => words.indexOf(row.values(parameter.name)) + (((row.i * 7) % 13) - 6) / 40;
    return { at, layout: { tickvals: words.map((_, i) => i), ticktext: words.map((word) => escaped(word)), range: [-0.5, words.length - 0.5] } };
  }
  const [low, high] = [Math.min(...values, ...(parameter.range ?? [])), Math.max(...values, ...(parameter.range ?? []))], log = parameter.log && low > 0;
  const [from, to] = log ? [Math.log10(low), Math.log10(high)] : [low, high], room = 0.04 * (to - from || 1);
  return { at: (row) => row.values(parameter.name), layout: { type: log ? "log" : "linear", exponentformat: "e", range: [from - room, to + room] } };
}

// One trace for each way in which trials of an arm are drawn, named in the legend; of many arms one entry each.
function againstTraces(run, arm, rows, at) {
  const kinds = new Map();
  for (const row of rows) {
    const kind = `${run.standings[row.group]}${row.group === GROUP.infeasible && run.trials.confirmed[row.i] ? ", confirmed" : ""}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), row]);
  }
  const brushed = Object.keys(parallel.brush).length > 0;
  return [...kinds].sort(([, a], [, b]) => b[0].group - a[0].group).map(([kind, own], nth) => {
    const { colour } = lookOf(run, own[0]), figures = own.map((row) => row.figure(against.figure)), size = own[0].group === GROUP.front ? 10 : 7;
    return {
      type: "scatter", mode: "markers", name: escaped(run.labels ? `${arm.name}: ${kind}` : arm.name), legendgroup: escaped(arm.name), showlegend: run.labels || !nth,
      x: own.map(at), y: figures.map(mean), error_y: bars(figures, colour, size), customdata: own.map((row) => row.i),
      marker: { symbol: arm.symbol + (run.trials.confirmed[own[0].i] ? "" : "-open"), size, color: colour, line: { width: 1.5 } },
      hovertext: own.map((row) => hover(run, row)), hoverinfo: "text", unselected: { marker: { opacity: 0.12 } },
      ...(brushed ? { selectedpoints: own.flatMap((row, i) => (isWithin(parallel.brush, row.values) ? [i] : [])) } : {}),
    };
  });
}

function listenToAgainst() {
  for (const what of ["figure", "parameter"]) byId(`against-${what}`).addEventListener("change", (event) => {
    against[what] = event.target.value;
    drawAgainst();
  });
}
