// Every trial in a table: sorted by a click on a column's head, narrowed by words and by the ranges of the parallel
// coordinates, saved as CSV. Text is only ever set as text.
"use strict";

const AT_ONCE = 50; // rows; a table of thousands is slow to lay out
const listing = { sort: "", down: false, words: "", rows: AT_ONCE };

// [{name, told(row): text, value(row), number}]
function listingColumns(run) {
  const named = (name, number, value, told = (row) => brief(value(row))) => ({ name, number, value, told });
  return [
    named("trial", false, (row) => row.id, (row) => element("a", { href: `#run${state.run}/${encodeURIComponent(row.id)}` }, row.id)),
    named("arm", false, (row) => row.arm?.name ?? "control"),
    named("standing", false, (row) => runShown().standings[row.group]),
    named("seeds", true, (row) => run.trials.least_seeds[row.i], (row) => seedsTold(run, row)),
    ...run.figures.map((name) => named(name, true, (row) => mean(row.figure(name)), (row) => interval(row.figure(name)))),
    ...run.parameters.map(({ name, words }) => named(name, !words, (row) => row.values(name))),
  ];
}

// "2 to 6": of the objectives; a replicate that decides a bound alone gives no others.
function seedsTold(run, row) {
  const least = run.trials.least_seeds[row.i], most = run.trials.seeds[row.i];
  return least === most ? String(most) : `${least} to ${most}`;
}

function listedRows(columns) {
  const words = listing.words.toLowerCase().split(/\s+/).filter(Boolean), by = columns.find(({ name }) => name === listing.sort);
  const text = (row) => columns.filter(({ number }) => !number).map(({ value }) => String(value(row) ?? "")).join(" ").toLowerCase();
  const brushed = Object.keys(parallel.brush).length > 0;
  const rows = rowsOf(runShown()).filter((row) => (!brushed || (row.group !== GROUP.control && isWithin(parallel.brush, row.values))) && words.every((word) => text(row).includes(word)));
  if (!by) return rows;
  const none = (value) => value === null || value === undefined; // they stay last, whichever way is up
  return rows.sort((a, b) => {
    const [one, other] = [by.value(a), by.value(b)];
    if (none(one) || none(other)) return none(one) - none(other);
    return (listing.down ? -1 : 1) * (by.number ? one - other : String(one).localeCompare(String(other), "en", { numeric: true }));
  });
}

function drawTrials() {
  const columns = listingColumns(runShown()), rows = listedRows(columns), [head, body] = byId("trials").children;
  const names = columns.map(({ name }) => name).join("\n");
  if (head.dataset.names !== names) {
    head.dataset.names = names;
    head.replaceChildren(element("tr", {}, ...columns.map(({ name, number }) => {
      const button = element("button", { type: "button" }, breakable(name));
      button.addEventListener("click", () => {
        listing.down = listing.sort === name ? !listing.down : number; // of numbers the largest first
        listing.sort = name;
        drawTrials();
      });
      return element("th", number ? { class: "n" } : {}, button);
    })));
  }
  [...head.querySelectorAll("th")].forEach((cell, i) => {
    if (columns[i].name === listing.sort) cell.setAttribute("aria-sort", listing.down ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
  body.replaceChildren(...rows.slice(0, listing.rows).map((row) =>
    element("tr", row.group > GROUP.feasible ? { class: "off" } : {}, ...columns.map(({ number, told }) => element("td", number ? { class: "n" } : {}, told(row))))));
  const run = runShown(), held = rowsOf(run).filter((row) => row.group !== GROUP.control).length;
  const thinned = run.total > held ? ` They are the ${held} trials that this page draws, of ${run.total}.` : "";
  byId("trials-told").textContent = `${rows.length} of ${rowsOf(run).length} rows, controls included${rows.length > listing.rows ? `; the first ${listing.rows} are shown` : ""}.${thinned}`;
  byId("trials-more").hidden = rows.length <= listing.rows;
}

// A figure with an interval over seeds has two more columns for its ends.
function csvOfTrials() {
  const run = runShown(), columns = listingColumns(run), figures = new Set(run.figures);
  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const ends = (row, name) => (Array.isArray(row.figure(name)) ? row.figure(name).slice(1) : [null, null]);
  const head = columns.flatMap(({ name }) => (figures.has(name) ? [name, `${name}_lower`, `${name}_upper`] : [name]));
  const lines = listedRows(columns).map((row) => columns.flatMap(({ name, value }) => (figures.has(name) ? [value(row), ...ends(row, name)] : [value(row)])));
  return [head, ...lines].map((line) => line.map((value) => quoted(String(value ?? ""))).join(",")).join("\r\n") + "\r\n";
}

function listenToTrials() {
  byId("trials-words").addEventListener("input", (event) => {
    Object.assign(listing, { words: event.target.value, rows: AT_ONCE });
    drawTrials();
  });
  byId("trials-more").addEventListener("click", () => {
    listing.rows += 10 * AT_ONCE;
    drawTrials();
  });
  byId("trials-csv").addEventListener("click", () => {
    const address = URL.createObjectURL(new Blob([csvOfTrials()], { type: "text/csv" }));
    element("a", { href: address, download: `${nameOf(runShown())}-trials.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  });
}
