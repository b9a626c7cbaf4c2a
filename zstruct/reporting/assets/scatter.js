// The map: a point for each structure of the page, on a canvas; a second one above it marks what is chosen.

const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const MARGIN = { left: 68, right: 14, top: 10, bottom: 46 };

function ramp(share) {
  const at = Math.min(0.9999, Math.max(0, share)) * (RAMP.length - 1), k = Math.floor(at), f = at - k;
  return `rgb(${RAMP[k].map((c, i) => Math.round(c + f * (RAMP[k + 1][i] - c))).join(",")})`;
}

/** How numbers of a column become places from 0 to 1. */
class Scale {
  constructor(k) {
    this.column = about.columns[k];
    this.values = values(k);
    this.log = this.column.log;
    this.reset();
  }
  reset() {
    this.low = Infinity, this.high = -Infinity;
    if (this.column.texts) return void (this.low = -0.5, this.high = this.column.texts.length - 0.5);
    for (const x of this.values) {
      const y = this.log ? Math.log10(x) : x;
      if (y < this.low && y > -Infinity) this.low = y;
      if (y > this.high && y < Infinity) this.high = y;
    }
    if (!(this.low < Infinity)) return void (this.low = 0, this.high = 1); // there is nothing to draw
    const pad = 0.02 * (this.high - this.low) || Math.abs(this.low) * 1e-3 || 0.5;
    this.low -= pad, this.high += pad;
  }
  place(i) {
    const x = this.values[i];
    return ((this.log ? Math.log10(x) : x) - this.low) / (this.high - this.low);
  }
  ticks() {
    const found = [];
    if (this.column.texts) {
      const every = Math.ceil(this.column.texts.length / 12);
      this.column.texts.forEach((text, k) => k % every || found.push([k, text.length > 12 ? text.slice(0, 11) + "…" : text]));
    } else {
      const rough = (this.high - this.low) / 6, power = 10 ** Math.floor(Math.log10(rough));
      let step = [1, 2, 5, 10].find((m) => m * power >= rough) * power;
      if (this.log) step = Math.max(1, Math.round(step));
      for (let k = Math.ceil(this.low / step); k * step <= this.high; k++) {
        found.push([k * step, this.log ? written(Number((10 ** (k * step)).toPrecision(3))) : written(Number((k * step).toPrecision(9)))]);
      }
    }
    return found.map(([x, text]) => [(x - this.low) / (this.high - this.low), text]).filter(([p]) => p >= 0 && p <= 1);
  }
}

class Scatter {
  constructor(base, marks, onChoice, onHover) {
    Object.assign(this, { base, marks, onChoice, onHover, chosen: -1, drawn: 0 });
    marks.addEventListener("pointerdown", (e) => this.down(e));
    marks.addEventListener("pointermove", (e) => this.move(e));
    marks.addEventListener("pointerup", (e) => this.up(e));
    marks.addEventListener("pointerleave", () => this.onHover(-1));
    marks.addEventListener("dblclick", () => this.whole());
    marks.addEventListener("keydown", (e) => this.key(e));
  }
  /** Draw other columns. */
  show(x, y, color) {
    this.x = new Scale(x), this.y = new Scale(y), this.color = color < 0 ? null : new Scale(color);
    this.orders = null;
    this.draw();
  }
  whole() {
    this.x.reset(), this.y.reset();
    this.draw();
  }
  size() {
    const box = this.base.getBoundingClientRect(), dots = window.devicePixelRatio || 1;
    for (const canvas of [this.base, this.marks]) {
      const [w, h] = [Math.round(box.width * dots), Math.round(box.height * dots)];
      if (canvas.width !== w || canvas.height !== h) canvas.width = w, canvas.height = h;
      canvas.getContext("2d").setTransform(dots, 0, 0, dots, 0, 0);
    }
    this.width = box.width - MARGIN.left - MARGIN.right, this.height = box.height - MARGIN.top - MARGIN.bottom;
  }
  places() {
    const n = about.n;
    this.px = new Float32Array(n), this.py = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      this.px[i] = MARGIN.left + this.width * this.x.place(i);
      this.py[i] = MARGIN.top + this.height * (1 - this.y.place(i));
    }
  }
  inside(i) {
    const x = this.px[i] - MARGIN.left, y = this.py[i] - MARGIN.top;
    return x >= -1 && x <= this.width + 1 && y >= -1 && y <= this.height + 1; // not so of NaN
  }
  /** Return a colour for each structure: which of some, and these. */
  colors() {
    if (!this.color) return [new Uint8Array(about.n), [shade("--point")]];
    const codes = new Uint8Array(about.n);
    if (this.color.column.texts) {
      for (let i = 0; i < about.n; i++) codes[i] = this.color.values[i] % 12;
      return [codes, Array.from({ length: 12 }, (_, k) => shade(`--group-${k}`))];
    }
    for (let i = 0; i < about.n; i++) {
      const share = this.color.place(i);
      codes[i] = Number.isFinite(share) ? Math.min(31, Math.max(0, Math.floor(32 * share))) : 32;
    }
    return [codes, [...Array.from({ length: 32 }, (_, k) => ramp(k / 31)), shade("--faint")]];
  }
  draw() {
    this.size();
    this.places();
    const pen = this.base.getContext("2d");
    pen.clearRect(0, 0, this.base.width, this.base.height);
    this.axes(pen);
    const [codes, colors] = this.colors(), paths = colors.map(() => new Path2D());
    const size = about.n > 5000 ? 3 : about.n > 500 ? 4 : 6;
    this.drawn = 0;
    for (let i = 0; i < about.n; i++) {
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
    const { left, top } = MARGIN, bottom = top + this.height;
    pen.font = "12px system-ui, sans-serif";
    pen.strokeStyle = shade("--grid"), pen.fillStyle = shade("--text"), pen.lineWidth = 1;
    pen.beginPath();
    pen.textAlign = "center";
    for (const [place, text] of this.x.ticks()) {
      const x = Math.round(left + place * this.width) + 0.5;
      pen.moveTo(x, top), pen.lineTo(x, bottom);
      pen.fillText(text, x, bottom + 16);
    }
    pen.textAlign = "right";
    for (const [place, text] of this.y.ticks()) {
      const y = Math.round(bottom - place * this.height) + 0.5;
      pen.moveTo(left, y), pen.lineTo(left + this.width, y);
      pen.fillText(text, left - 6, y + 4);
    }
    pen.stroke();
    pen.textAlign = "center";
    pen.fillText(this.x.column.label, left + this.width / 2, bottom + 36);
    pen.save();
    pen.translate(13, top + this.height / 2), pen.rotate(-Math.PI / 2);
    pen.fillText(this.y.column.label, 0, 0);
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
    const box = this.marks.getBoundingClientRect(), x = e.clientX - box.left, y = e.clientY - box.top;
    let best = -1, least = 14 * 14;
    for (let i = 0; i < about.n; i++) {
      const dx = this.px[i] - x, dy = this.py[i] - y, away = dx * dx + dy * dy;
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
    const box = this.box;
    this.from = this.box = null;
    if (!box) {
      const place = this.nearest(e);
      if (place >= 0) this.onChoice(place);
      return;
    }
    const zoom = (scale, a, b) => {
      const span = scale.high - scale.low, low = scale.low;
      if (Math.abs(b - a) > 1e-4) scale.low = low + Math.min(a, b) * span, scale.high = low + Math.max(a, b) * span;
    };
    zoom(this.x, (box[0] - MARGIN.left) / this.width, (box[2] - MARGIN.left) / this.width);
    zoom(this.y, 1 - (box[1] - MARGIN.top) / this.height, 1 - (box[3] - MARGIN.top) / this.height);
    this.draw();
  }
  /** Go to the next structure along an axis by the arrow keys. */
  key(e) {
    const along = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [1, 1], ArrowDown: [1, -1] }[e.key];
    if (e.key === "Escape") return this.whole();
    if (!along) return;
    e.preventDefault();
    this.orders ??= [this.x, this.y].map((scale) => {
      const there = Array.from({ length: about.n }, (_, i) => i).filter((i) => Number.isFinite(scale.place(i)));
      there.sort((a, b) => scale.values[a] - scale.values[b] || a - b);
      const ranks = new Int32Array(about.n).fill(-1);
      there.forEach((i, k) => (ranks[i] = k));
      return { there, ranks };
    });
    const { there, ranks } = this.orders[along[0]];
    if (!there.length) return;
    const now = this.chosen < 0 ? -1 : ranks[this.chosen];
    this.onChoice(there[now < 0 ? 0 : Math.min(there.length - 1, Math.max(0, now + along[1]))]);
  }
}
