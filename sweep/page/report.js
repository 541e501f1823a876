// The front, the panel of the trial that is chosen, the switch between sweeps. What a run named is set as text, never as
// markup; Plotly reads a little markup, so what goes to it is escaped.
"use strict";

const GROUP = { front: 0, confirmed: 1, feasible: 2, infeasible: 3, stopped: 4, ended: 5, control: 6 };
const ORDER = "order"; // drawn rightwards where there is one objective: trials as they ended
const OVERLAID = ["#CC79A7", "#56B4E9", "#7E57C2", "#E69F00", "#009E73"]; // of the sweeps behind the one shown
const GREY = "#8a8a8a", LABELLED = 40, RUG = 0.05; // RUG: share of the chart below, for trials without a first objective

let data = JSON.parse(document.getElementById("data").textContent);
const state = { run: 0, plane: 0, overlay: true, chosen: [], cursor: null }; // chosen: by run, a trial's id; plane: which is drawn

const byId = (id) => document.getElementById(id);
const escaped = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function brief(value) {
  if (value === null || value === undefined) return "—";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential(2).replace(/\.?0+e/, "e");
  return size >= 1e4 ? value.toFixed(0) : String(Number(value.toPrecision(4)));
}

const mean = (figure) => (Array.isArray(figure) ? figure[0] : figure);

// As the tables write figures (sweep.reading.words): one without an interval has three digits or so, half an interval two up to 3.5 and one beyond.
function figured(value) {
  if (value === null || value === undefined) return "—";
  const size = Math.abs(value);
  return value.toFixed(size >= 1000 ? 0 : size >= 10 ? 1 : size > 0 && size < 0.01 ? 4 : 3);
}

function interval(figure) {
  if (!Array.isArray(figure)) return figured(figure);
  const half = (figure[2] - figure[1]) / 2, place = Math.floor(Math.log10(half));
  const decimals = half > 0 ? Math.min(5, Math.max(0, (half < 3.55 * 10 ** place ? 1 : 0) - place)) : 0;
  const [middle, low, high] = figure.map((value) => (half > 0 ? value.toFixed(decimals).replace(/^-(0\.?0*)$/, "$1") : figured(value)));
  return `${middle} [${low}, ${high}]`;
}

// --- a run's trials, as objects with one way to ask for any parameter or figure ------------------------------------

function rowsOf(run) {
  return run.rows ??= run.trials.id.map((id, i) => ({
    id, i,
    arm: run.arms[run.trials.arm[i]],
    group: run.trials.group[i],
    figure: (name) => run.trials.figures[name]?.[i] ?? null,
    values: (name) => (name in run.trials.parameters ? run.trials.parameters[name][i] : mean(run.trials.figures[name]?.[i] ?? null)),
  }));
}

const runShown = () => data.runs[state.run];
const planeOf = (run) => run.planes[Math.min(state.plane, run.planes.length - 1)];
const isDrawn = (row) => row.group <= GROUP.infeasible || (row.group === GROUP.control && row.figure(planeOf(runShown()).right) !== null);

function lookOf(run, row) {
  if (row.group === GROUP.control) return run.controls[row.id];
  return row.group >= GROUP.infeasible ? { ...row.arm, colour: GREY } : row.arm;
}

// --- the front ----------------------------------------------------------------------------------------------------

// What is said of a trial whose figures are the search's: fresh seeds may have shown whether it keeps its bounds all the same.
function oneSeed(run, row) {
  const seeds = run.trials.seeds[row.i];
  return `one seed, search only${seeds ? `; feasible or not by ${seeds} fresh seed${seeds > 1 ? "s" : ""} of its bounds alone` : ""}`;
}

function hover(run, row) {
  const lines = [`<b>${escaped(row.id)}</b> ${run.standings[row.group]}`];
  for (const { name } of run.parameters) if (row.values(name) !== null) lines.push(`${escaped(name)} = ${escaped(brief(row.values(name)))}`);
  for (const name of run.figures.slice(0, Math.max(4, run.objectives.length))) lines.push(`${escaped(name)} ${interval(row.figure(name))}`);
  return [...lines, run.trials.confirmed[row.i] ? `mean [95 % interval] over ${run.trials.seeds_in_words[row.i]}` : oneSeed(run, row)].join("<br>");
}

function bars(figures, colour, size) {
  const half = (figure) => (Array.isArray(figure) ? figure[2] - figure[0] : 0), under = (figure) => (Array.isArray(figure) ? figure[0] - figure[1] : 0);
  const shown = figures.some(Array.isArray);
  return { type: "data", symmetric: false, array: figures.map(half), arrayminus: figures.map(under), color: colour, visible: shown, thickness: size > 6 ? 1.4 : 0.7, width: size > 6 ? 4 : 2 };
}

function trace(at, rows, name, { colour, symbol, dash }, { size, filled, line = false, text = null, extra = {} }) {
  const run = data.runs[at], { up, right } = planeOf(run);
  const y = rows.map((row) => row.figure(up)), x = rows.map((row) => row.figure(right));
  return {
    type: "scatter", mode: (line ? "lines+" : "") + "markers" + (text ? "+text" : ""), name: escaped(name),
    x: x.map(mean), y: y.map(mean), error_x: bars(x, colour, size), error_y: bars(y, colour, size),
    marker: { symbol: symbol + (filled ? "" : "-open"), size, color: colour }, line: { color: colour, dash, width: 1 },
    customdata: rows.map((row) => [at, row.i]), hovertext: rows.map((row) => hover(run, row)), hoverinfo: "text",
    unselected: { marker: { opacity: 0.12 }, textfont: { color: GREY } }, cliponaxis: false,
    ...(text ? labelled(text, labelPlaces(text, x.map(mean), y.map(mean), run, size)) : { cliponaxis: true }),
    ...extra,
  };
}

function armTraces(at) {
  const run = data.runs[at], { right } = planeOf(run), single = right === ORDER, two = run.objectives.length === 2, found = [];
  for (const arm of run.arms) {
    const own = rowsOf(run).filter((row) => row.arm === arm), of = (group) => own.filter((row) => row.group === group);
    const name = arm.name + (arm.baseline ? " (baseline)" : "");
    const front = of(GROUP.front).sort((a, b) => mean(a.figure(right)) - mean(b.figure(right)));
    const told = run.labels ? `${name}: ${arm.confirmed ? `${single ? "best" : "front"}, ${arm.seeds_in_words}` : `${single ? "best" : "search front"}, one seed`}` : name;
    const group = { legendgroup: escaped(arm.name) }, also = { ...group, showlegend: run.labels }; // of many arms one entry each
    const text = front.map((row) => (run.labels ? row.id : row.id === arm.best ? arm.name : ""));
    if (!two) found.push(...joined(at, arm, front));
    if (front.length) found.push(trace(at, front, told, arm, { size: arm.confirmed ? 11 : 9, filled: arm.confirmed, line: two && front.length > 1, text, extra: group }));
    const off = [[GROUP.confirmed, true], [GROUP.feasible, false]];
    for (const [which, filled] of off) {
      const rows = of(which);
      const labels = run.labels && rows.length <= LABELLED ? rows.map((row) => row.id) : null;
      if (rows.length) found.push(trace(at, rows, `${name}: ${run.standings[which]}`, arm, { size: 7, filled, text: labels, extra: front.length || which !== GROUP.feasible ? also : group }));
    }
  }
  return found;
}

// The line of an arm where its front is no chain: along its best so far, or through those that no other of the front beats in the plane.
function joined(at, arm, front) {
  const run = data.runs[at], { up, right, better } = planeOf(run), shape = right === ORDER ? "hv" : "linear";
  const [upwards, rightwards] = better.map((direction) => (direction === "maximise" ? -1 : 1));
  const costs = (row) => [upwards * mean(row.figure(up)), rightwards * mean(row.figure(right))];
  const beats = (a, b) => a[0] <= b[0] && a[1] <= b[1] && (a[0] < b[0] || a[1] < b[1]);
  const climb = run.climbs.find((one) => one.arm === arm.name);
  const [x, y] = right === ORDER ? [climb?.trials ?? [], climb?.volume ?? []] : [right, up].map((name) => front.filter((row) => !front.some((other) => beats(costs(other), costs(row)))).map((row) => mean(row.figure(name))));
  return x.length < 2 ? [] : [{ type: "scatter", mode: "lines", x, y, line: { color: arm.colour, dash: arm.dash, width: 1, shape }, marker: {}, hoverinfo: "skip", showlegend: false, legendgroup: escaped(arm.name), customdata: [], name: "" }];
}

function greyTraces(at) {
  const run = data.runs[at], rows = rowsOf(run), found = [];
  run.arms.forEach((arm, i) => {
    for (const filled of [true, false]) {
      const own = rows.filter((row) => row.arm === arm && row.group === GROUP.infeasible && run.trials.confirmed[row.i] === filled);
      const kind = filled ? "infeasible, confirmed" : "infeasible", told = run.labels ? `${arm.name}: ${kind}` : kind;
      const extra = { legendrank: 1001, legendgroup: escaped(told), showlegend: run.labels || !found.some((one) => one.name === escaped(told)) };
      if (own.length) found.push(trace(at, own, told, { ...arm, colour: GREY }, { size: 6, filled, extra }));
    }
  });
  const { right } = planeOf(run);
  const gated = rows.filter((row) => row.group === GROUP.stopped && mean(row.figure(right)) !== null);
  if (gated.length) {
    const rug = trace(at, gated, right === ORDER ? "stopped early" : "stopped early, by their " + right, { colour: GREY, symbol: "line-ns", dash: "solid" }, { size: 11, filled: false, extra: { legendrank: 1002 } });
    found.push({ ...rug, y: gated.map(() => 0), yaxis: "y2", error_x: {}, error_y: {}, marker: { ...rug.marker, line: { width: 1.5, color: GREY } } });
  }
  return found;
}

const isOfOneKind = (run, other) => run.objectives.length === other.objectives.length && run.objectives.every((objective, i) => objective.metric === other.objectives[i].metric);

// Another sweep's feasible trials behind those of the one shown, in one colour; one entry of the legend switches them.
function behind(at, colour) {
  const name = `${nameOf(data.runs[at])}, behind`;
  return armTraces(at).map(({ text, textposition, textfont, ...one }, i) => ({
    ...one, mode: one.mode.replace("+text", ""), opacity: 0.75, name: escaped(name), legendgroup: escaped(name), showlegend: i === 0,
    marker: { ...one.marker, color: colour, size: Math.min(8, one.marker.size) }, line: { ...one.line, color: colour },
    error_x: { ...one.error_x, color: colour }, error_y: { ...one.error_y, color: colour },
  }));
}

function tellOverlay() {
  const others = data.runs.filter((other) => !isOfOneKind(runShown(), other)).map(nameOf), place = byId("overlaid");
  if (place) place.textContent = others.length ? `Of other objectives, so not behind it: ${others.join(", ")}.` : "";
}

// Of three and more objectives two are drawn at a time.
function tellPlanes() {
  const { planes } = runShown(), select = byId("plane");
  state.plane = Math.min(state.plane, planes.length - 1);
  select.replaceChildren(...planes.map(({ up, right }, i) => element("option", { value: i }, `${up} against ${right}`)));
  select.value = state.plane;
  byId("planes").hidden = planes.length < 2;
}

function frontTraces() {
  const at = state.run, run = data.runs[at], traces = [];
  clearLabels(run);
  if (state.overlay) data.runs.forEach((other, i) => {
    if (i !== at && isOfOneKind(run, other)) traces.push(...behind(i, OVERLAID[(i < at ? i : i - 1) % OVERLAID.length]));
  });
  clearLabels(run);
  traces.push(...greyTraces(at), ...armTraces(at));
  for (const row of rowsOf(run).filter((one) => one.group === GROUP.control && isDrawn(one))) {
    const look = run.controls[row.id];
    traces.push(trace(at, [row], look.name, look, { size: 11, filled: run.trials.confirmed[row.i], text: [look.name] }));
  }
  return traces;
}

function frontLayout() {
  const run = runShown(), { up, right, labels, window: [x0, x1, y0, y1] } = planeOf(run);
  const layout = {
    margin: { l: 56, r: 14, t: 28, b: 48 }, hovermode: "closest", dragmode: "zoom", uirevision: `run${state.run}/${state.plane}`,
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, font: { size: 11 }, maxheight: byId("front").clientWidth < 500 ? 0.45 : 0.3 },
    xaxis: { title: { text: escaped(labels.right) }, zeroline: false, automargin: true, range: [x0, x1], anchor: "free", position: 0 },
    yaxis: { title: { text: escaped(byId("front").clientWidth < 500 ? up : labels.up) }, zeroline: false, automargin: true, range: [y0, y1], domain: [RUG, 1] },
    yaxis2: { domain: [0, RUG - 0.01], range: [-1, 1], visible: false, fixedrange: true },
    shapes: [], annotations: [],
  };
  for (const { metric, value, name } of run.lines.filter((line) => line.metric === up || line.metric === right)) {
    const text = escaped(`${name} ${brief(value)}`), line = { color: GREY, dash: "dash", width: 1.5 };
    if (metric === right) {
      layout.shapes.push({ type: "line", xref: "x", yref: "paper", x0: value, x1: value, y0: 0, y1: 1, line });
      layout.annotations.push({ xref: "x", yref: "paper", x: value, y: 1, text, showarrow: false, xanchor: value > (x0 + x1) / 2 ? "right" : "left", yanchor: "bottom" });
    } else {
      layout.shapes.push({ type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: value, y1: value, line });
      layout.annotations.push({ xref: "paper", yref: "y", x: 0, y: value, text, showarrow: false, xanchor: "left", yanchor: "bottom" });
    }
  }
  for (const [text, place] of outside(run)) layout.annotations.push({ xref: "paper", yref: "paper", text, showarrow: false, font: { size: 11 }, ...place });
  return layout;
}

function drawFront(again = true) {
  const traces = frontTraces(), kept = (point) => isWithin(parallel.brush, rowsOf(data.runs[point[0]])[point[1]].values);
  if (Object.keys(parallel.brush).length) for (const one of traces) one.selectedpoints = one.customdata.flatMap((point, i) => (kept(point) ? [i] : []));
  traces.push(...rings());
  const config = { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]] };
  const size = byId("front")._fullLayout?._size.w;
  plot(byId("front"), traces, frontLayout(), config);
  tellUndrawn();
  if (again && size !== byId("front")._fullLayout._size.w) drawFront(false); // now that its size is known, labels find better places
}

// A ring about the trial that is chosen, and a thinner one about the trial the arrow keys have come to.
function rings() {
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim(), run = runShown(), { up, right } = planeOf(run);
  const marked = [[rowsOf(run).find((row) => row.id === state.chosen[state.run]), 22, 2.5], [state.cursor, 16, 1.5]];
  return marked.filter(([row]) => row && mean(row.figure(right)) !== null).map(([row, size, width]) => {
    const y = mean(row.figure(up));
    return {
      type: "scatter", mode: "markers", x: [mean(row.figure(right))], y: [y ?? 0], yaxis: y === null ? "y2" : "y",
      hoverinfo: "skip", showlegend: false, customdata: [[state.run, row.i]], marker: { symbol: "circle-open", size, color: ink, line: { width, color: ink } },
    };
  });
}

// --- choosing a trial -----------------------------------------------------------------------------------------------

function choose(at, id, focus = false) {
  const switched = at !== state.run;
  state.chosen[at] = id;
  state.cursor = null;
  history.replaceState(null, "", `#run${at}/${encodeURIComponent(id)}`);
  if (switched) showRun(at);
  else {
    drawFront();
    drawParallel();
    showPanel(runShown(), rowsOf(runShown()).find((row) => row.id === id));
  }
  if (focus) byId("panel").focus({ preventScroll: true });
  if (focus && !isInView(byId("panel"))) byId("panel").scrollIntoView({ block: "start" });
}

function isInView(place) {
  const { top } = place.getBoundingClientRect();
  return top >= 0 && top < innerHeight * 0.6;
}

function chooseByAddress() {
  const found = /^#run(\d+)\/(.+)$/.exec(location.hash);
  if (!found || !data.runs[found[1]]) return false;
  const id = decodeURIComponent(found[2]), run = data.runs[found[1]];
  if (!run.trials.id.includes(id)) {
    byId("said").textContent = `${id} is not among the trials that this page draws; ${run.called.query} has every one.`;
    return false;
  }
  choose(Number(found[1]), id, true);
  return true;
}

// Arrow keys walk the points by what is drawn rightwards (left, right) or upwards (up, down); Enter opens one.
function walk(event) {
  const run = runShown(), along = { ArrowRight: [1, 1], ArrowLeft: [1, -1], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  if (event.key === "Enter" && state.cursor) choose(state.run, state.cursor.id, true);
  else if (along) {
    const metric = planeOf(run)[["up", "right"][along[0]]], points = rowsOf(run).filter(isDrawn);
    points.sort((a, b) => mean(a.figure(metric)) - mean(b.figure(metric)) || a.i - b.i);
    const now = state.cursor ?? points.find((row) => row.id === state.chosen[state.run]), at = points.indexOf(now);
    state.cursor = points[Math.min(points.length - 1, Math.max(0, at < 0 ? 0 : at + along[1]))];
    drawFront();
    byId("said").textContent = `${state.cursor.id}, ${run.standings[state.cursor.group]}; ${run.objectives.map((o) => `${o.metric} ${interval(state.cursor.figure(o.metric))}`).join(", ")}. Enter opens it.`;
  } else return;
  event.preventDefault();
}

// --- several sweeps -------------------------------------------------------------------------------------------------

const nameOf = (run) => run.run.split("/").filter(Boolean).at(-1) ?? run.run;

function showRun(at, draw = true) {
  state.run = at;
  state.cursor = null;
  for (const part of document.querySelectorAll("[data-run]")) part.hidden = part.dataset.run !== `run${at}`;
  for (const radio of document.querySelectorAll("input[name=sweep]")) radio.checked = Number(radio.value) === at;
  tellOverlay();
  tellPlanes();
  state.chosen[at] ??= runShown().winner ?? runShown().trials.id.find((id, i) => runShown().trials.arm[i] >= 0) ?? null;
  if (draw) drawAll();
}

function drawAll() {
  drawParallel(); // first: it drops what is brushed along axes that this sweep does not have
  drawFront();
  drawTrials();
  setTimeout(drawAgainst);
  setTimeout(drawClimbs);
  setTimeout(drawTimeline);
  const row = rowsOf(runShown()).find((one) => one.id === state.chosen[state.run]);
  showPanel(runShown(), row);
  for (const part of document.querySelectorAll("[data-run]:not([hidden]) .chart")) if (plots.has(part)) sized(part);
}

// --- parallel coordinates and hypervolume ---------------------------------------------------------------------------

const parallel = new Parallel(byId("parallel"), byId("ranges"), () => {
  drawFront.waiting ??= requestAnimationFrame(() => {
    drawFront.waiting = null;
    drawFront();
    tellBrush();
    drawTrials();
    drawAgainst();
  });
});

function drawParallel() {
  const run = runShown(), limits = {};
  for (const { up, right, window: [x0, x1, y0, y1] } of run.planes) Object.assign(limits, { [up]: [y0, y1], [right]: [x0, x1] });
  const rows = rowsOf(run).filter((row) => row.group !== GROUP.control);
  const used = run.parameters.filter(({ name }) => new Set(rows.map((row) => row.values(name))).size > 1);
  const varies = (name) => new Set(rows.map((row) => row.values(name)).filter((value) => value !== null)).size > 1;
  const figures = run.figures.slice(0, Math.max(4, run.objectives.length)).filter(varies);
  const axes = [...used.map((p) => ({ ...p, label: p.name })), ...figures.map((name) => ({ name, label: name, words: false, log: false, limits: limits[name] }))];
  parallel.show(axes, rows.map((row) => ({
    values: row.values, colour: lookOf(run, row).colour,
    weight: row.id === state.chosen[state.run] ? 3 : row.group === GROUP.front ? 2 : row.group < GROUP.infeasible ? 1 : 0,
  })));
  tellBrush();
}

function tellBrush() {
  const run = runShown(), [first] = run.objectives, sign = first.better === "maximise" ? -1 : 1, place = byId("brushed");
  const rows = rowsOf(run).filter((row) => row.group !== GROUP.control), brushed = Object.keys(parallel.brush).length > 0;
  const kept = rows.filter((row) => isWithin(parallel.brush, row.values));
  const best = kept.filter((row) => row.group < GROUP.infeasible).sort((a, b) => sign * (mean(a.figure(first.metric)) - mean(b.figure(first.metric)))).slice(0, 5);
  const feasible = kept.filter((row) => row.group < GROUP.infeasible).length;
  byId("clear").hidden = !brushed;
  const drawn = run.total > rows.length ? " that are drawn here" : ""; // of very many trials the page holds a part
  place.replaceChildren(brushed ? `${kept.length} of ${rows.length} trials${drawn} within, ${feasible} feasible by their latest figures. ` : `${rows.length} trials${drawn}, ${feasible} feasible by their latest figures: on fresh seeds where they have some. `);
  if (brushed && best.length) place.append("Best by ", first.metric, ": ", ...best.flatMap((row, i) => [i ? ", " : "", element("a", { href: `#run${state.run}/${encodeURIComponent(row.id)}` }, row.id)]), ".");
}

function drawClimbs() {
  const run = runShown(), begin = run.objectives.length > 1 ? [0] : [], rangemode = begin.length ? "tozero" : "normal", hours = run.climbs.at(-1)?.hours.at(-1) ?? 0, small = hours < 0.1;
  for (const [id, name, title, scale] of [["by-trials", "trials", "trials told", 1], ["by-hours", "hours", small ? "core-seconds" : "core-hours", small ? 3600 : 1]]) {
    const traces = run.climbs.map((climb) => {
      const arm = run.arms.find((one) => one.name === climb.arm);
      return {
        type: "scatter", mode: "lines", name: escaped(climb.arm), x: [...begin, ...climb[name].map((value) => value * scale)], y: [...begin, ...climb.volume],
        line: { shape: "hv", color: arm.colour, dash: arm.dash, width: 2 },
      };
    });
    const layout = {
      margin: { l: 52, r: 10, t: 10, b: 44 }, legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, maxheight: 0.3 }, showlegend: true,
      xaxis: { title: { text: title }, rangemode: "tozero", automargin: true }, yaxis: { title: { text: escaped(run.climbed.label) }, rangemode, automargin: true },
    };
    plot(byId(id), traces, layout, { responsive: true, displayModeBar: false });
  }
  byId("climbed").textContent = run.climbs.length ? run.climbed.sentence : "Nothing is feasible yet.";
}

// --- what every page of a sweep begins with -------------------------------------------------------------------------

function fillPictures(within) {
  for (const image of within.querySelectorAll("img[data-picture]")) image.src = data.pictures[image.dataset.picture];
}

byId("front").addEventListener("keydown", walk);
byId("plane").addEventListener("change", (event) => { state.plane = Number(event.target.value); drawFront(); });
byId("clear").addEventListener("click", () => parallel.clear());
byId("overlay")?.addEventListener("change", (event) => { state.overlay = event.target.checked; drawFront(); });
for (const radio of document.querySelectorAll("input[name=sweep]")) radio.addEventListener("change", () => showRun(Number(radio.value)));
listenToTrials();
listenToAgainst();
addEventListener("hashchange", chooseByAddress);
addEventListener("click", ({ target }) => { // a link to the trial that the address names already changes no address
  const link = target instanceof Element ? target.closest('a[href^="#run"]') : null;
  if (link && link.hash === location.hash) chooseByAddress();
});
fillPictures(document);
showRun(0);
chooseByAddress();
byId("front").on("plotly_click", (event) => {
  const point = event.points.find((one) => one.customdata);
  if (point) choose(point.customdata[0], data.runs[point.customdata[0]].trials.id[point.customdata[1]]);
});
document.documentElement.dataset.ready = String(Math.round(performance.now())); // milliseconds from navigation to interactive
