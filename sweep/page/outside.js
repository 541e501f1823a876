// What the front leaves out: what lies beyond its window, and trials that lack its figures.
"use strict";

// What the window leaves out, told where it went: a double-click or zooming out shows it.
function outside(run) {
  const { up, right: rightwards, window: [x0, x1, y0, y1] } = planeOf(run);
  const at = (row) => [mean(row.figure(rightwards)), mean(row.figure(up))];
  const scored = rowsOf(run).filter((row) => row.group === GROUP.control || row.group <= GROUP.infeasible).filter((row) => at(row).every((value) => value !== null));
  const stopped = rowsOf(run).filter((row) => row.group === GROUP.stopped && at(row)[0] !== null);
  const beyond = (where) => {
    const early = stopped.filter(where).length, all = early + scored.filter(where).length;
    return [all, early ? `, ${early} of them stopped early` : ""];
  };
  const within = (row) => at(row)[0] <= x1;
  const below = scored.filter((row) => within(row) && at(row)[1] < y0), above = scored.filter((row) => within(row) && at(row)[1] > y1);
  const beside = (row) => !below.includes(row) && !above.includes(row);
  const [right, early] = beyond((row) => at(row)[0] > x1), [left, earlyLeft] = beyond((row) => at(row)[0] < x0 && beside(row));
  const controlOf = (rows) => {
    const control = rows.find((row) => row.group === GROUP.control);
    return control ? `, ${escaped(run.controls[control.id].name)} at ${figured(at(control)[1])}` : "";
  };
  const told = [], narrow = innerWidth < 500 ? 0.05 : 0; // on a phone two notes beside one another would lie on one another
  if (left) told.push([`← ${left} further left${earlyLeft}`, { x: 0, y: RUG + 0.05 + narrow, xanchor: "left", yanchor: "bottom" }]);
  if (right) told.push([`${right} further right${early} →`, { x: 1, y: RUG, xanchor: "right", yanchor: "bottom" }]);
  if (below.length) told.push([`↓ ${below.length} below${controlOf(below)}`, { x: 0, y: RUG + narrow, xanchor: "left", yanchor: "bottom" }]);
  if (above.length) told.push([`↑ ${above.length} above${controlOf(above)}`, { x: 0, y: 1, xanchor: "left", yanchor: "top" }]);
  return told;
}

// Trials that are nowhere in the front, for they lack its figures, are counted below it.
function tellUndrawn() {
  const run = runShown(), { right } = planeOf(run);
  const lacking = (group) => rowsOf(run).filter((row) => row.group === group && mean(row.figure(right)) === null).length;
  const early = lacking(GROUP.stopped), ended = rowsOf(run).filter((row) => row.group === GROUP.ended).length;
  const told = [...(early ? [`${early} that stopped early before ${right} was measured`] : []), ...(ended ? [`${ended} that did not finish`] : [])];
  const of = run.total > rowsOf(run).filter((row) => row.group !== GROUP.control).length ? "Of the trials that this page holds, not drawn" : "Not drawn";
  byId("undrawn").textContent = told.length ? `${of}: ${told.join(", ")}.` : "";
}
