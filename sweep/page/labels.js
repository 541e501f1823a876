// Where the labels of the front's points stand: beside their points, on no other label and on no point.
"use strict";

function labelled(text, places) {
  return { text: text.map((one, i) => (places[i] === "none" ? "" : escaped(one))), textposition: places.map((one) => (one === "none" ? "top left" : one)), textfont: { size: 11 } };
}

// Labels would lie on one another and on points: each takes the first of six places that is free, or none.
function labelPlaces(text, xs, ys, run, size) {
  const [x0, x1, , y1] = planeOf(run).window, [across, up] = pixels(run), high = 14, gap = size / 2, { points, labels } = labelPlaces;
  return xs.map((x, i) => {
    if (!text[i] || x === null || ys[i] === null) return "none";
    const px = (x - x0) * across, py = (y1 - ys[i]) * up, own = text[i].length * 6.2;
    const places = {
      "top left": [-own - gap, -high - gap], "bottom right": [gap, gap], "top right": [gap, -high - gap], "bottom left": [-own - gap, gap],
      "top center": [-own / 2, -high - gap - 2], "bottom center": [-own / 2, gap + 2],
    };
    const hits = ([a, b, c], left, top) => a < left + own && a + c > left && b < top + high && b + high > top;
    const free = ([dx, dy]) => px + dx > 0 && px + dx + own < across * (x1 - x0) && !labels.some((label) => hits(label, px + dx, py + dy))
      && !points.some(([a, b]) => a > px + dx - 3 && a < px + dx + own + 3 && b > py + dy - 3 && b < py + dy + high + 3);
    const found = Object.entries(places).find(([, place]) => free(place));
    if (found) labels.push([px + found[1][0], py + found[1][1], own]);
    return found ? found[0] : "none";
  });
}

// Pixels of the chart's inner part to a unit of each objective; before it was first drawn, about so many.
function pixels(run) {
  const [x0, x1, y0, y1] = planeOf(run).window, box = byId("front"), size = box._fullLayout?._size;
  return [(size?.w ?? box.clientWidth - 70) / (x1 - x0), ((size?.h ?? box.clientHeight - 170) * (1 - RUG)) / (y1 - y0)];
}

// The points that labels keep clear of, in the pixels of `labelPlaces`.
function clearLabels(run) {
  const { up: first, right: second, window: [x0, , , y1] } = planeOf(run), [across, up] = pixels(run);
  labelPlaces.labels = [];
  labelPlaces.points = rowsOf(run).filter((row) => isDrawn(row) && row.group !== GROUP.infeasible)
    .map((row) => [(mean(row.figure(second)) - x0) * across, (y1 - mean(row.figure(first))) * up]);
}
