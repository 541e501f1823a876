// Parallel coordinates: a line a trial across an axis a parameter or figure. Dragging along an axis keeps the trials that
// cross it there; a form beside it takes the same ranges by keyboard. Text is only ever set as text.
"use strict";

const HEIGHT = 260, TOP = 14, NONE = 26; // pixels; NONE: below an axis, trials that have no such parameter
const WIDE = 88, END = 30; // pixels an axis at least, and beyond the last one's half for what is written beside it

function isWithin(brush, values) {
  return Object.entries(brush).every(([name, range]) => {
    const value = values(name);
    if (value === null || value === undefined) return false;
    if (range.words) return range.words.has(value);
    return (range.low === null || value >= range.low) && (range.high === null || value <= range.high);
  });
}

class Parallel {
  // `changed(brush)` is called whenever the reader changes it; `colours(row)` gives a row's colour and weight.
  constructor(place, form, changed) {
    Object.assign(this, { place, form, changed, brush: {}, axes: [], rows: [] });
    this.canvas = place.appendChild(element("canvas", { "aria-hidden": "true" }));
    this.layer = place.appendChild(element("div", { class: "axes" }));
    new ResizeObserver(() => this.draw()).observe(place.parentElement);
    for (const event of ["beforeprint", "afterprint"]) addEventListener(event, () => this.draw());
  }

  // axes: [{name, label, words, log, range?, limits?}]; rows: [{values(name), colour, weight}]
  show(axes, rows) {
    const known = new Set(axes.map((axis) => axis.name));
    for (const name of Object.keys(this.brush)) if (!known.has(name)) delete this.brush[name];
    this.axes = axes.map((axis) => this.#scaled(axis, rows));
    this.rows = rows;
    this.#makeAxes();
    this.#makeForm();
    this.draw();
  }

  #scaled(axis, rows) {
    const found = rows.map((row) => row.values(axis.name)).filter((value) => value !== null && value !== undefined);
    const missing = found.length < rows.length;
    const bottom = HEIGHT - (missing ? NONE : 0);
    if (axis.words) {
      const options = [...new Set(found)].sort();
      const at = (value) => TOP + (bottom - TOP) * (options.indexOf(value) + 0.5) / Math.max(1, options.length);
      return { ...axis, options, missing, bottom, at, ticks: options.map((option) => [at(option), String(option)]) };
    }
    let low = Math.min(...found), high = Math.max(...found);
    if (axis.range) [low, high] = [Math.min(low, axis.range[0]), Math.max(high, axis.range[1])]; // as the question declares it
    if (axis.limits) [low, high] = [Math.max(low, axis.limits[0]), Math.min(high, axis.limits[1])];
    if (!(high > low)) [low, high] = [low - (Math.abs(low) || 1) / 2, low + (Math.abs(low) || 1) / 2];
    const log = axis.log && low > 0;
    const [from, to] = log ? [Math.log(low), Math.log(high)] : [low, high];
    const at = (value) => {
      const share = ((log ? Math.log(value) : value) - from) / (to - from);
      return bottom - (bottom - TOP) * Math.min(1, Math.max(0, share));
    };
    const back = (y) => {
      const value = from + (to - from) * Math.min(1, Math.max(0, (bottom - y) / (bottom - TOP)));
      return Number((log ? Math.exp(value) : value).toPrecision(4));
    };
    const middle = log ? Math.exp((from + to) / 2) : (from + to) / 2;
    return { ...axis, low, high, missing, bottom, at, back, ticks: [low, middle, high].map((v) => [at(v), brief(v)]) };
  }

  #place(axis, value) {
    return value === null || value === undefined ? HEIGHT - NONE / 3 : axis.at(value);
  }

  #step() {
    return (this.width - END) / this.axes.length;
  }

  #x(i) {
    return this.#step() * (i + 0.5);
  }

  #makeAxes() {
    this.layer.replaceChildren();
    for (const axis of this.axes) {
      const bar = element("div", { class: "bar", title: `Drag along the axis to choose a range of ${axis.label}; click to clear it` });
      bar.dataset.axis = axis.name;
      bar.addEventListener("pointerdown", (event) => this.#drag(event, axis, bar));
      const ticks = axis.ticks.map(([y, text]) => element("span", { class: "tick", style: `top:${y}px`, title: text }, text));
      if (axis.missing) ticks.push(element("span", { class: "tick none", style: `top:${HEIGHT - NONE / 3}px` }, "none"));
      axis.chosen = element("div", { class: "chosen" });
      axis.place = element("div", { class: "axis" }, element("b", { title: axis.label }, breakable(axis.label)), bar, axis.chosen, ...ticks);
      this.layer.append(axis.place);
    }
  }

  #drag(event, axis, bar) {
    event.preventDefault();
    bar.setPointerCapture(event.pointerId);
    const top = bar.getBoundingClientRect().top - TOP, began = event.clientY - top;
    const move = (moved) => this.#choose(axis, began, moved.clientY - top);
    const end = (ended) => {
      bar.removeEventListener("pointermove", move);
      bar.removeEventListener("pointerup", end);
      bar.removeEventListener("pointercancel", end);
      if (Math.abs(ended.clientY - top - began) < 4) this.set(axis.name, null);
    };
    bar.addEventListener("pointermove", move);
    bar.addEventListener("pointerup", end);
    bar.addEventListener("pointercancel", end);
  }

  #choose(axis, one, other) {
    const [above, below] = [Math.min(one, other), Math.max(one, other)];
    if (axis.words) {
      const half = (axis.bottom - TOP) / axis.options.length / 2;
      const words = axis.options.filter((option) => axis.at(option) > above - half && axis.at(option) < below + half);
      this.set(axis.name, { words: new Set(words) });
    } else {
      // the ends of an axis are open: what lies past a clipped axis belongs to its end
      const low = below >= axis.bottom ? null : axis.back(below), high = above <= TOP ? null : axis.back(above);
      this.set(axis.name, { low, high });
    }
  }

  set(name, range) {
    if (range === null || (!range.words && range.low === null && range.high === null)) delete this.brush[name];
    else this.brush[name] = range;
    this.#fillForm();
    this.draw();
    this.changed(this.brush);
  }

  clear() {
    this.brush = {};
    this.#fillForm();
    this.draw();
    this.changed(this.brush);
  }

  #makeForm() {
    const active = document.activeElement?.dataset?.end ? document.activeElement.dataset : null; // a live page goes on under it
    this.form.replaceChildren(...this.axes.map((axis) => {
      const fields = axis.words
        ? axis.options.map((option) => element("label", {}, element("input", { type: "checkbox", value: String(option), "data-axis": axis.name, "data-end": String(option) }), String(option)))
        : [["low", "from", axis.low], ["high", "to", axis.high]].map(([end, word, value]) =>
          element("label", {}, word, element("input", { type: "number", step: "any", placeholder: brief(value), "data-axis": axis.name, "data-end": end })));
      return element("fieldset", {}, element("legend", {}, axis.label), ...fields);
    }));
    this.form.oninput = (event) => this.#read(event.target.dataset.axis);
    this.#fillForm();
    if (active) this.#inputs(active.axis).find((input) => input.dataset.end === active.end)?.focus();
  }

  #inputs(name) {
    return [...this.form.querySelectorAll("input")].filter((input) => input.dataset.axis === name);
  }

  #read(name) {
    const axis = this.axes.find((one) => one.name === name), inputs = this.#inputs(name);
    if (axis.words) {
      const words = axis.options.filter((option, i) => inputs[i].checked);
      this.set(name, words.length ? { words: new Set(words) } : null);
    } else {
      const [low, high] = inputs.map((input) => (input.value === "" || Number.isNaN(input.valueAsNumber) ? null : input.valueAsNumber));
      this.set(name, { low, high });
    }
  }

  #fillForm() {
    for (const input of this.form.querySelectorAll("input")) {
      const range = this.brush[input.dataset.axis];
      if (input.type === "checkbox") input.checked = Boolean(range?.words?.has(this.axes.find((a) => a.name === input.dataset.axis).options.find((o) => String(o) === input.value)));
      else if (input !== document.activeElement) input.value = range?.[input.dataset.end] ?? ""; // not under the reader's fingers
    }
  }

  draw() {
    const least = document.documentElement.classList.contains("paper") ? 0 : WIDE; // paper does not scroll
    this.width = Math.max(this.place.parentElement.clientWidth, this.axes.length * least + END);
    this.place.style.width = `${this.width}px`;
    this.place.style.setProperty("--room", `${this.#step() - 4}px`);
    // above the axes there is room for the tallest of their names
    const head = Math.max(0, ...this.axes.map((axis) => axis.place.firstChild.offsetHeight)) + 6;
    this.place.style.paddingTop = this.layer.style.top = `${head}px`;
    const dense = devicePixelRatio || 1, context = this.canvas.getContext("2d");
    Object.assign(this.canvas, { width: this.width * dense, height: HEIGHT * dense });
    Object.assign(this.canvas.style, { width: `${this.width}px`, height: `${HEIGHT}px` });
    context.scale(dense, dense);
    const faint = Math.min(1, Math.sqrt(150 / this.rows.length)); // thousands of lines are a texture, not a blot
    const brushed = Object.keys(this.brush).length > 0;
    const order = this.rows.map((row, i) => ({ row, i, kept: isWithin(this.brush, row.values) }));
    order.sort((a, b) => a.kept - b.kept || a.row.weight - b.row.weight);
    for (const { row, i, kept } of order) {
      context.strokeStyle = row.colour;
      context.globalAlpha = brushed && !kept ? 0.07 : row.weight > 2 ? 1 : (row.weight > 0 ? 0.6 : 0.25) * faint;
      context.lineWidth = row.weight > 2 ? 3 : row.weight > 1 || (brushed && kept) ? 1.8 : 1;
      context.beginPath();
      this.axes.forEach((axis, at) => {
        const spread = axis.words ? ((i * 7) % 13) - 6 : 0; // lines through one word would hide one another
        context.lineTo(this.#x(at), this.#place(axis, row.values(axis.name)) + spread);
      });
      context.stroke();
    }
    this.axes.forEach((axis, at) => {
      axis.place.style.left = `${this.#x(at)}px`;
      axis.place.style.setProperty("--beside", `${(at + 1 < this.axes.length ? this.#x(at + 1) : this.width) - this.#x(at) - 6}px`);
      const range = this.brush[axis.name], shown = axis.chosen.style;
      axis.chosen.hidden = !range;
      if (!range) return;
      const half = axis.words ? (axis.bottom - TOP) / axis.options.length / 2 : 0;
      const ends = range.words
        ? [...range.words].flatMap((word) => [axis.at(word) - half, axis.at(word) + half])
        : [range.high === null ? TOP : axis.at(range.high), range.low === null ? axis.bottom : axis.at(range.low)];
      shown.top = `${Math.min(...ends)}px`;
      shown.height = `${Math.max(3, Math.max(...ends) - Math.min(...ends))}px`;
    });
  }
}
