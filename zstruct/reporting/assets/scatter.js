// The map: a point for each structure of the page, on a canvas; a second one above it marks what is chosen.

const MARGIN = { left: 68, right: 14, top: 10, bottom: 46 };
const FONT = "12px system-ui, sans-serif";

/** How numbers of a column become places from 0 to 1. `least` and `most` are the column's own. */
class Scale {
  constructor(column, pad = 0.02) {
    Object.assign(this, { column, pad, values: column.values, log: column.log });
    this.reset();
  }
  reset() {
    this.least = Infinity, this.most = -Infinity, this.lacks = 0, this.whole = !this.log;
    if (this.column.texts) return void (this.low = -0.5, this.high = this.column.texts.length - 0.5);
    for (const x of this.values) {
      const y = this.log ? Math.log10(x) : x;
      if (!Number.isFinite(y)) this.lacks++;
      else this.least = Math.min(this.least, y), this.most = Math.max(this.most, y), this.whole &&= Number.isInteger(y);
    }
    const { least, most } = this;
    if (!(least <= most)) return this.set(0, 1); // there is nothing to draw
    const pad = most > least ? this.pad * (most - least) : this.whole ? 0.9 : Math.abs(least) * 1e-3 || 0.5;
    this.set(least - pad, most + pad);
  }
  /** Show what is between two numbers, as far as they can be told apart. */
  set(low, high) {
    const narrow = 1e-9 * Math.max(Math.abs(low), Math.abs(high)) - (high - low);
    this.low = low - Math.max(0, narrow / 2), this.high = high + Math.max(0, narrow / 2);
  }
  /** Show a part of what is shown, from 0 to 1. */
  part(from, to) {
    const span = this.high - this.low, low = this.low;
    if (Math.abs(to - from) > 1e-4) this.set(low + Math.min(from, to) * span, low + Math.max(from, to) * span);
  }
  place(i) {
    return this.at(this.log ? Math.log10(this.values[i]) : this.values[i]);
  }
  at(x) {
    return (x - this.low) / (this.high - this.low);
  }
  /** Return about so many places and what is written there; none where no structure has a value. */
  ticks(most) {
    if (!this.column.texts && !(this.least <= this.most)) return [];
    const found = this.column.texts ? this.named(most) : this.log ? this.powers(most) : steps(this.low, this.high, most, this.whole);
    return found.map(([x, text]) => [this.at(x), text]).filter(([p]) => p >= 0 && p <= 1);
  }
  named(most) {
    const first = Math.max(0, Math.ceil(this.low)), last = Math.min(this.column.texts.length - 1, Math.floor(this.high));
    const every = Math.ceil((last - first + 1) / most), found = [];
    for (let k = first; k <= last; k += every) found.push([k, this.column.texts[k]]);
    return found;
  }
  powers(most) {
    const { low, high } = this, span = high - low;
    if (span < 0.8) return steps(10 ** low, 10 ** high, most).filter(([x]) => x > 0).map(([x, text]) => [Math.log10(x), text]);
    const every = Math.ceil(span / most), found = [];
    for (let k = Math.floor(low); k <= high; k++) {
      for (const m of 3 * span <= most ? [1, 2, 5] : [1]) if (k % every === 0) found.push([k + Math.log10(m), written(Number(`${m}e${k}`))]);
    }
    return found;
  }
}

/** Return round numbers between two, about so many, whole ones on request, and as many digits as tell them apart. */
function steps(low, high, most, whole = false) {
  const rough = (high - low) / Math.max(2, most), power = 10 ** Math.floor(Math.log10(rough)), found = [];
  const step = Math.max(whole ? 1 : 0, ([1, 2, 5].find((m) => m * power >= rough) ?? 10) * power);
  const digits = Math.min(15, Math.max(5, 2 + Math.ceil(Math.log10(Math.max(Math.abs(low), Math.abs(high)) / step))));
  const begin = Math.ceil(low / step);
  for (let k = 0; k < 20 && (begin + k) * step <= high; k++) {
    const x = (begin + k) * step;
    found.push([x, written(Number(x.toPrecision(digits)), digits)]);
  }
  return found;
}

/** Return as much of a text as a pen writes within a width. */
function clipped(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let [fits, not] = [0, text.length];
  while (not - fits > 1) {
    const middle = (fits + not) >> 1;
    if (pen.measureText(text.slice(0, middle) + "…").width <= width) fits = middle;
    else not = middle;
  }
  return text.slice(0, fits) + "…";
}

class Scatter {
  /** `table` has the number of points, `n`, and `columns`, each with its `label` and `values`, maybe `texts` or `log`. */
  constructor(base, marks, table, onChoice, onHover) {
    Object.assign(this, { base, marks, table, onChoice, onHover, chosen: -1, drawn: 0 });
    marks.addEventListener("pointerdown", (e) => this.down(e));
    marks.addEventListener("pointermove", (e) => this.move(e));
    marks.addEventListener("pointerup", (e) => this.up(e));
    marks.addEventListener("pointercancel", () => { this.from = this.box = null; this.mark(); });
    marks.addEventListener("pointerleave", () => this.onHover(-1));
    marks.addEventListener("dblclick", () => this.whole());
    marks.addEventListener("keydown", (e) => this.key(e));
    new ResizeObserver(() => fit(base) && this.x && this.draw()).observe(base);
  }
  /** Draw other columns. */
  show(x, y, color) {
    const { columns } = this.table;
    this.x = new Scale(columns[x]), this.y = new Scale(columns[y]), this.color = color < 0 ? null : new Scale(columns[color], 0);
    this.orders = null;
    this.draw();
  }
  whole() {
    this.x.reset(), this.y.reset();
    this.draw();
  }
  size(pen) {
    fit(this.base), fit(this.marks);
    const dots = window.devicePixelRatio || 1, [w, h] = [this.base.width / dots, this.base.height / dots];
    for (const canvas of [this.base, this.marks]) canvas.getContext("2d").setTransform(dots, 0, 0, dots, 0, 0);
    pen.font = FONT;
    this.height = h - MARGIN.top - MARGIN.bottom;
    this.marksUp = this.y.ticks(Math.max(2, Math.min(this.y.column.texts ? 24 : 7, Math.floor(this.height / 18))));
    const widest = Math.max(0, ...this.marksUp.map(([, text]) => pen.measureText(text).width));
    this.left = Math.max(MARGIN.left, Math.ceil(Math.min(widest, 0.25 * w)) + 28);
    this.width = w - this.left - MARGIN.right;
  }
  places() {
    const { n } = this.table;
    this.px = new Float32Array(n), this.py = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      this.px[i] = this.left + this.width * this.x.place(i);
      this.py[i] = MARGIN.top + this.height * (1 - this.y.place(i));
    }
  }
  inside(i) {
    const x = this.px[i] - this.left, y = this.py[i] - MARGIN.top;
    return x >= -1 && x <= this.width + 1 && y >= -1 && y <= this.height + 1; // not so of NaN
  }
  /** Return a colour for each structure: which of some, and these. */
  colors() {
    const { n } = this.table, codes = new Uint8Array(n);
    if (!this.color) return [codes, [shade("--point")]];
    if (this.color.column.texts) {
      for (let i = 0; i < n; i++) codes[i] = this.color.values[i] % 12;
      return [codes, Array.from({ length: 12 }, (_, k) => shade(`--group-${k}`))];
    }
    for (let i = 0; i < n; i++) {
      const share = this.color.place(i);
      codes[i] = Number.isFinite(share) ? Math.min(31, Math.max(0, Math.floor(32 * share))) : 32;
    }
    return [codes, [...Array.from({ length: 32 }, (_, k) => ramp(k / 31)), shade("--faint")]];
  }
  draw() {
    const pen = this.base.getContext("2d"), { n } = this.table;
    this.size(pen);
    this.places();
    pen.clearRect(0, 0, this.base.width, this.base.height);
    this.axes(pen);
    const [codes, colors] = this.colors(), paths = colors.map(() => new Path2D());
    const size = n > 5000 ? 3 : n > 500 ? 4 : 6;
    this.drawn = 0;
    for (let i = 0; i < n; i++) {
      if (!this.inside(i)) continue;
      paths[codes[i]].rect(this.px[i] - size / 2, this.py[i] - size / 2, size, size);
      this.drawn++;
    }
    pen.globalAlpha = 0.75;
    colors.forEach((color, k) => { pen.fillStyle = color; pen.fill(paths[k]); });
    pen.globalAlpha = 1;
    this.base.dataset.drawn = this.drawn;
    this.mark();
  }
  axes(pen) {
    const { left, width, height } = this, { top } = MARGIN, bottom = top + height;
    const most = Math.max(2, Math.min(this.x.column.texts ? 12 : 7, Math.floor(width / 60)));
    const across = this.x.ticks(most), room = this.x.column.texts ? width / Math.max(1, across.length) - 6 : width;
    pen.strokeStyle = shade("--grid"), pen.fillStyle = shade("--text"), pen.lineWidth = 1;
    pen.beginPath();
    pen.textAlign = "center";
    for (const [place, text] of across) {
      const x = Math.round(left + place * width) + 0.5;
      pen.moveTo(x, top), pen.lineTo(x, bottom);
      const words = clipped(pen, text, room), half = pen.measureText(words).width / 2;
      pen.fillText(words, Math.min(x, left + width + MARGIN.right - half - 2), bottom + 16);
    }
    pen.textAlign = "right";
    for (const [place, text] of this.marksUp) {
      const y = Math.round(bottom - place * height) + 0.5;
      pen.moveTo(left, y), pen.lineTo(left + width, y);
      pen.fillText(clipped(pen, text, left - 28), left - 6, y + 4);
    }
    pen.stroke();
    pen.textAlign = "center";
    pen.fillText(clipped(pen, this.x.column.label, width), left + width / 2, bottom + 36);
    pen.save();
    pen.translate(13, top + height / 2), pen.rotate(-Math.PI / 2);
    pen.fillText(clipped(pen, this.y.column.label, height), 0, 0);
    pen.restore();
  }
  /** Mark the chosen structure, and the box that is being drawn. */
  mark() {
    const pen = this.marks.getContext("2d");
    pen.clearRect(0, 0, this.marks.width, this.marks.height);
    if (this.box) {
      const [a, b, c, d] = this.box;
      pen.strokeStyle = shade("--accent"), pen.lineWidth = 1;
      pen.strokeRect(a, b, c - a, d - b);
    }
    if (this.chosen >= 0 && this.inside(this.chosen)) {
      pen.beginPath();
      pen.arc(this.px[this.chosen], this.py[this.chosen], 7, 0, 2 * Math.PI);
      pen.lineWidth = 4, pen.strokeStyle = shade("--back"), pen.stroke();
      pen.lineWidth = 2, pen.strokeStyle = shade("--accent"), pen.stroke();
    }
  }
  choose(place) {
    this.chosen = place;
    this.mark();
  }
  nearest(e) {
    let best = -1, least = 14 * 14;
    for (let i = 0; i < this.table.n; i++) {
      const dx = this.px[i] - e.offsetX, dy = this.py[i] - e.offsetY, away = dx * dx + dy * dy;
      if (away < least && this.inside(i)) least = away, best = i;
    }
    return best;
  }
  down(e) {
    if (e.button) return;
    this.marks.setPointerCapture?.(e.pointerId);
    this.from = [e.offsetX, e.offsetY];
  }
  move(e) {
    if (!this.from) return this.onHover(this.nearest(e), e);
    if (Math.hypot(e.offsetX - this.from[0], e.offsetY - this.from[1]) > 5) this.box = [...this.from, e.offsetX, e.offsetY];
    this.mark();
  }
  up(e) {
    if (!this.from) return;
    const box = this.box;
    this.from = this.box = null;
    if (!box) {
      const place = this.nearest(e);
      if (place >= 0) this.onChoice(place);
      return;
    }
    this.x.part((box[0] - this.left) / this.width, (box[2] - this.left) / this.width);
    this.y.part(1 - (box[1] - MARGIN.top) / this.height, 1 - (box[3] - MARGIN.top) / this.height);
    this.draw();
  }
  /** Show less or more around what is chosen, or around the middle. */
  scaleBy(factor) {
    for (const scale of [this.x, this.y]) {
      const at = this.chosen >= 0 ? scale.place(this.chosen) : 0.5, middle = at >= 0 && at <= 1 ? at : 0.5;
      scale.part(middle - middle / factor, middle + (1 - middle) / factor);
    }
    this.draw();
  }
  key(e) {
    const act = {
      ArrowRight: () => this.step(0, 1), ArrowLeft: () => this.step(0, -1),
      ArrowUp: () => this.step(1, 1), ArrowDown: () => this.step(1, -1),
      "+": () => this.scaleBy(1.5), "=": () => this.scaleBy(1.5), "-": () => this.scaleBy(1 / 1.5),
      0: () => this.whole(), Escape: () => this.whole(),
    }[e.key];
    if (!act || e.ctrlKey || e.metaKey || e.altKey) return;
    e.preventDefault(), act();
  }
  /** Go to the next structure along an axis. */
  step(axis, by) {
    this.orders ??= [this.x, this.y].map((scale) => {
      const there = Array.from({ length: this.table.n }, (_, i) => i).filter((i) => Number.isFinite(scale.place(i)));
      there.sort((a, b) => scale.values[a] - scale.values[b] || a - b);
      const ranks = new Int32Array(this.table.n).fill(-1);
      there.forEach((i, k) => (ranks[i] = k));
      return { there, ranks };
    });
    const { there, ranks } = this.orders[axis];
    if (!there.length) return;
    const now = this.chosen < 0 ? -1 : ranks[this.chosen];
    this.onChoice(there[now < 0 ? 0 : Math.min(there.length - 1, Math.max(0, now + by))]);
  }
}
