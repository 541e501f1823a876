// The panel: all of one trial. Beside the front its parameters, figures and cost; below, its curves beside the controls', and
// its pictures.
"use strict";

function showPanel(run, row) {
  const place = byId("panel"), wide = byId("panel-wide"), holds = JSON.stringify(row && held(run, row));
  if (holds === showPanel.holds) return; // a live page comes by often, and the reader may be in here
  showPanel.holds = holds;
  purgeIn(wide);
  wide.replaceChildren();
  if (!row) return place.replaceChildren(element("p", { class: "soft" }, "No trial is recorded yet."));
  const i = row.i, look = lookOf(run, row);
  const title = element("h3", {}, element("span", { class: "dot", style: `background:${look.colour}`, "aria-hidden": "true" }), row.id);
  const how = run.trials.confirmed[i] ? `confirmed on ${run.trials.seeds_in_words[i]}: means with 95 % intervals` : oneSeed(run, row);
  const told = [row.arm ? row.arm.name + (row.arm.baseline ? " (baseline)" : "") : "", runShown().standings[row.group], how].filter(Boolean).join("; ");
  place.replaceChildren(title, element("p", { class: "soft" }, told + "."));
  if (run.trials.cause[i]) place.append(element("p", { class: "note" }, run.trials.cause[i]));
  const within = Object.entries(run.trials.within[i] ?? {}).map(([name, share]) => [`P(${name} within its bound)`, share.toFixed(2)]);
  const parameters = run.parameters.filter(({ name }) => row.values(name) !== null).map(({ name }) => [name, brief(row.values(name))]);
  const figures = run.figures.filter((name) => row.figure(name) !== null).map((name) => [name, interval(row.figure(name))]);
  if (parameters.length) place.append(element("h4", {}, "Parameters"), listed(parameters));
  if (figures.length) place.append(element("h4", {}, "Figures"), listed([...figures, ...within]));
  showCost(run, row, place);
  showCurves(run, row, wide);
  showSamples(run, row, wide);
}

// All that the panel says of a trial, to tell whether any of it is new.
function held(run, row) {
  const i = row.i, columns = Object.entries(run.trials).filter(([, column]) => Array.isArray(column)).map(([name, column]) => (name === "id" ? row.id : column[i]));
  const named = [...run.parameters.map(({ name }) => row.values(name)), ...run.figures.map(row.figure)];
  return [run.run, columns, named, run.trials.cause[i], run.curves[row.id], Object.keys(run.controls).map((id) => run.curves[id]), run.samples[row.id]?.grids.map((grid) => data.pictures[grid.pictures[0]])];
}

const breakable = (name) => name.replaceAll("_", "_\u200b"); // a narrow column breaks names there

function listed(pairs) {
  return element("dl", { class: "pairs" }, ...pairs.flatMap(([name, value]) => [element("dt", {}, breakable(name)), element("dd", {}, value)]));
}

function showCurves(run, row, place) {
  const fresh = run.trials.confirmed[row.i] || row.group === GROUP.control, curves = run.curves[row.id], facts = run.curves_facts;
  const control = (id) => run.curves[fresh ? id : `${id}/search`] ?? run.curves[id];
  const series = (facts?.series ?? []).filter(({ name }) => curves?.[name]);
  if (!series.length) return;
  place.append(element("h3", {}, `${row.id} ${facts.heading}`), element("p", { class: "soft" }, facts.note));
  const grid = place.appendChild(element("div", { class: "curves" }));
  const drawn = Object.entries(run.controls).map(([id, look]) => [look, control(id)]);
  if (row.group !== GROUP.control) drawn.push([{ ...lookOf(run, row), name: row.id }, curves]);
  const label = (name) => facts.label.split(/(\{trial\}|\{series\})/).map((part) => ({ "{trial}": row.id, "{series}": name })[part] ?? part).join("");
  const charts = series.map(({ name }) => element("div", { class: "chart", role: "img", "aria-label": label(name) }));
  // all of them are in place before any is drawn: each takes the width that it will keep
  grid.append(...series.map((one, i) => element("figure", {}, element("figcaption", {}, one.brief), charts[i])));
  const at = (step) => (facts.doubling ? Math.log2(step + 1) : step), shares = facts.share ? { range: [-0.03, 1.03], dtick: 0.5 } : {};
  series.forEach(({ name }, i) => {
    const traces = drawn.filter(([, own]) => own?.[name] ?? own?.none).flatMap(([look, own]) => curve(look, own[name] ?? own.none, at, facts.symbol));
    const layout = {
      margin: { l: 34, r: 8, t: 4, b: 22 }, showlegend: false, hovermode: "closest",
      xaxis: { tickvals: facts.steps.map(at), ticktext: facts.steps.map(String), zeroline: false },
      yaxis: { ...shares, zeroline: false },
    };
    plot(charts[i], traces, layout, { responsive: true, displayModeBar: false });
  });
  place.append(legend(drawn.filter(([, own]) => own).map(([look]) => look)));
}

// `at` says where a step lies.
function curve({ name, colour, symbol, dash }, points, at, step) {
  const x = points.map(([k]) => at(k)), low = points.map(([, mid, from]) => from ?? mid), high = points.map(([, mid, , to]) => to ?? mid);
  const band = { type: "scatter", mode: "lines", x: [...x, ...x.toReversed()], y: [...high, ...low.toReversed()], fill: "toself", fillcolor: colour, opacity: 0.18, line: { width: 0 }, hoverinfo: "skip" };
  const told = points.map(([k, mid, from, to]) => `${escaped(name)}<br>${escaped(step)} = ${k}: ${interval(from === null ? mid : [mid, from, to])}`);
  const line = { type: "scatter", mode: "lines+markers", x, y: points.map((point) => point[1]), line: { color: colour, dash, width: 2 }, marker: { symbol, size: 6, color: colour }, hovertext: told, hoverinfo: "text" };
  return points.some((point) => point[2] !== null) ? [band, line] : [line];
}

function legend(looks) {
  const line = { solid: "solid", dash: "dashed", dot: "dotted", dashdot: "dashed" };
  return element("p", { class: "key soft" }, ...looks.map(({ name, colour, dash }) =>
    element("span", {}, element("i", { style: `border-top:3px ${line[dash]} ${colour}`, "aria-hidden": "true" }), name)));
}

// Those of the reference of the same seed come first: every model of one seed draws from the same noise.
function showSamples(run, row, place) {
  const facts = run.pictures_facts, own = run.samples[row.id];
  if (!facts) return;
  if (!own) return place.append(element("p", { class: "soft" }, run.samples_left_out ? "Its samples are left out: the page is full." : "No samples of it are recorded."));
  const first = run.samples[`${facts.reference}/${own.replicate}`] ?? run.samples[facts.reference];
  const grids = [...(first && row.id !== facts.reference && first.seed === own.seed ? first.grids.slice(0, 1) : []), ...own.grids];
  place.append(element("h3", {}, `What ${row.id} draws`), element("p", { class: "soft" }, `Seed ${own.seed}, ${facts.note}`));
  place.append(element("div", { class: "strip" }, ...grids.map((grid) => {
    const pictures = facts.kinds.map((kind, i) => [kind, grid.pictures[i]]).filter(([, picture]) => picture !== null)
      .map(([kind, picture]) => element("img", { src: data.pictures[picture], alt: `${row.id}, ${grid.caption}: ${kind}` }));
    return element("figure", {}, element("figcaption", { title: grid.caption }, grid.caption), ...(grid.missing ? [element("div", { class: "missing" }, grid.missing)] : pictures));
  })));
}

function showCost(run, row, place) {
  const seconds = run.trials.core_s[row.i], replicate = run.trials.exported[row.i], runs = 1 + run.trials.seeds[row.i];
  const hours = seconds >= 360 ? `${brief(seconds / 3600)} core-hours` : `${brief(seconds)} core-seconds`;
  place.append(element("h4", {}, "Cost"), element("p", {}, `${hours} of processor time, ${runs === 1 ? "one run" : `${runs} runs`}; what was found in the artifact store cost nothing.`));
  const id = /^[\w.-]+$/.test(row.id) ? row.id : `'${row.id.replaceAll("'", "'\\''")}'`;
  const commands = [];
  if (row.group !== GROUP.control && row.group !== GROUP.ended) commands.push(["Run it again on fresh seeds", `${run.called.launch} --resume ${run.quoted} --confirm ${id}`]);
  if (replicate !== null) commands.push(["Export its model", `${run.called.export} ${run.quoted} ${id}${replicate ? ` --replicate ${replicate}` : ""}${run.own_members} -o ${id}-model`]);
  for (const [what, command] of commands) {
    const button = element("button", { type: "button" }, "Copy");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(command);
        button.textContent = "Copied";
      } catch { // a browser that lets no page write there: the text is selected instead
        getSelection().selectAllChildren(button.previousElementSibling);
        button.textContent = "Ctrl-C";
      }
    });
    place.append(element("p", { class: "command" }, element("span", { class: "soft" }, what), element("code", {}, command), button));
  }
}
