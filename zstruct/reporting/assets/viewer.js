// The viewer: atoms as shaded balls, bonds, the cell and forces, on a plain canvas, so that it needs no graphics card.

const BOND = 1.18; // times the sum of the radii
const CLOSE = 0.4; // angstrom; what is nearer is no bond
const MANY = 20000; // atoms; of more there are no bonds, and they are drawn in a simpler way
const LEVELS = 1024; // of depth, where there are many atoms
const MOST = 120000; // atoms, with those of repeated cells
const WIDE = 10; // times as far as its atoms, a cell reaches out of the picture

class Viewer {
  /** `elements` has the look of each element by its number: its `color` and its `radius`. */
  constructor(canvas, elements) {
    Object.assign(this, { canvas, elements, sprites: new Map(), repeats: 1, arrows: false });
    this.home();
    canvas.addEventListener("pointerdown", (e) => { canvas.setPointerCapture?.(e.pointerId); this.from = [e.clientX, e.clientY]; });
    canvas.addEventListener("pointermove", (e) => {
      if (!this.from) return;
      this.turn((e.clientX - this.from[0]) * 0.01, (e.clientY - this.from[1]) * 0.01);
      this.from = [e.clientX, e.clientY];
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (this.from = null));
    canvas.addEventListener("wheel", (e) => { e.preventDefault(); this.scaleBy(Math.exp(-e.deltaY * 0.001)); }, { passive: false });
    canvas.addEventListener("keydown", (e) => this.key(e));
    fit(canvas); // not in each drawing, as the page is laid out anew then
    new ResizeObserver(() => fit(canvas) && this.draw()).observe(canvas);
  }
  home() {
    const a = -1.25, b = -0.35; // a little from the side and from above, z upwards
    const tilt = [1, 0, 0, 0, Math.cos(a), -Math.sin(a), 0, Math.sin(a), Math.cos(a)];
    const turn = [Math.cos(b), -Math.sin(b), 0, Math.sin(b), Math.cos(b), 0, 0, 0, 1];
    this.view = product(tilt, turn), this.zoom = 1;
  }
  /** Show another structure. */
  set(shown) {
    this.shown = shown;
    this.build();
    this.draw();
  }
  /** Draw so many cells along each period. */
  repeat(times) {
    this.repeats = times;
    if (this.shown) this.build(), this.draw();
  }
  /** Return along which lattice vectors cells are repeated, if they are so many times. */
  times(repeats) {
    const { cell, periodic } = this.shown;
    return [0, 1, 2].map((k) => (cell && periodic & (1 << k) ? repeats : 1));
  }
  /** Return whether cells can be repeated so many times: they are, and not with too many atoms. */
  repeatable(repeats) {
    const images = this.times(repeats).reduce((a, b) => a * b);
    return repeats === 1 || (images > 1 && images * this.shown.numbers.length <= MOST);
  }
  build() {
    const { numbers, positions, cell, forces } = this.shown, n = numbers.length;
    this.repeated = [this.repeats, 2, 1].find((times) => times <= this.repeats && this.repeatable(times));
    const times = this.times(this.repeated), images = times[0] * times[1] * times[2];
    const all = { n: n * images, numbers: new Uint8Array(n * images), at: new Float32Array(3 * n * images), force: forces && new Float32Array(3 * n * images) };
    let image = 0;
    for (let i = 0; i < times[0]; i++) for (let j = 0; j < times[1]; j++) for (let k = 0; k < times[2]; k++) {
      const shift = [0, 1, 2].map((x) => (cell ? i * cell[x] + j * cell[3 + x] + k * cell[6 + x] : 0));
      all.numbers.set(numbers, image * n);
      for (let m = 0; m < 3 * n; m++) all.at[3 * image * n + m] = positions[m] + shift[m % 3];
      if (forces) all.force.set(forces, 3 * image * n);
      image++;
    }
    all.bonds = all.n <= MANY ? bonds(all, this.elements) : [];
    all.corners = cell ? [0, 1, 2, 3, 4, 5, 6, 7].map((c) => [0, 1, 2].map((x) => (c & 1 ? cell[x] : 0) + (c & 2 ? cell[3 + x] : 0) + (c & 4 ? cell[6 + x] : 0))) : [];
    this.all = all;
    this.frame();
  }
  /** Find what is in the picture: atoms and the cell, or atoms alone where they would be specks in a wide cell. */
  frame() {
    const { all } = this, { corners, at } = all, everything = new Float32Array(3 * (corners.length + all.n));
    everything.set(corners.flat()), everything.set(at, 3 * corners.length);
    const [inner, outer] = [middle(at), middle(everything)], [near, far] = [reach(at, inner), reach(everything, outer)];
    [all.center, all.reach] = all.n && far > WIDE * near ? [inner, 1.5 * near] : [outer, far];
    all.whole = reach(everything, all.center);
  }
  turn(right, down) {
    const [c, s, d, t] = [Math.cos(right), Math.sin(right), Math.cos(down), Math.sin(down)];
    this.view = product([1, 0, 0, 0, d, t, 0, -t, d], product([c, 0, s, 0, 1, 0, -s, 0, c], this.view));
    this.draw();
  }
  scaleBy(factor) {
    const least = this.all ? (0.2 * this.all.reach) / this.all.whole : 0.2;
    this.zoom = Math.min(20, Math.max(least, this.zoom * factor));
    this.draw();
  }
  key(e) {
    const step = 0.12;
    const act = {
      ArrowLeft: () => this.turn(-step, 0), ArrowRight: () => this.turn(step, 0),
      ArrowUp: () => this.turn(0, -step), ArrowDown: () => this.turn(0, step),
      "+": () => this.scaleBy(1.15), "=": () => this.scaleBy(1.15), "-": () => this.scaleBy(1 / 1.15),
      0: () => { this.home(); this.draw(); },
    }[e.key];
    if (act && this.all && !(e.ctrlKey || e.metaKey || e.altKey)) e.preventDefault(), act();
  }
  radius(number) {
    return 0.42 * this.elements[number].radius + 0.12;
  }
  sprite(number) {
    if (!this.sprites.has(number)) {
      const size = 96, ball = document.createElement("canvas"), pen = ball.getContext("2d");
      const rgb = this.elements[number].color, mix = (f, to) => `rgb(${rgb.map((c) => Math.round(c + f * (to - c))).join(",")})`;
      ball.width = ball.height = size;
      const light = pen.createRadialGradient(0.36 * size, 0.32 * size, 0.03 * size, size / 2, size / 2, size / 2);
      light.addColorStop(0, mix(0.75, 255)), light.addColorStop(0.35, mix(0.1, 255));
      light.addColorStop(0.8, mix(0.25, 0)), light.addColorStop(1, mix(0.6, 0));
      pen.fillStyle = light;
      pen.beginPath(), pen.arc(size / 2, size / 2, size / 2 - 1, 0, 2 * Math.PI), pen.fill();
      const tones = Array.from({ length: 16 }, (_, k) => mix(0.8 - k / 20, 0));
      this.sprites.set(number, { ball, tone: mix(0.12, 0), edge: mix(0.6, 0), tones });
    }
    return this.sprites.get(number);
  }
  draw() {
    const { canvas, all, view } = this, w = canvas.width, h = canvas.height, dots = window.devicePixelRatio || 1;
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, w, h);
    if (!all) return;
    const scale = (0.47 * Math.min(w, h) * this.zoom) / all.reach, far = 5 * all.whole, [x, y, z] = all.center;
    const seen = (px, py, pz) => {
      const a = px - x, b = py - y, c = pz - z, depth = view[6] * a + view[7] * b + view[8] * c, near = (scale * far) / (far - depth);
      return [w / 2 + near * (view[0] * a + view[1] * b + view[2] * c), h / 2 - near * (view[3] * a + view[4] * b + view[5] * c), depth, near];
    };
    Object.assign(canvas.dataset, { atoms: all.n, bonds: all.bonds.length / 2 });
    if (all.n > MANY) return this.crowd(pen, seen, w, h, dots);
    const atoms = [], items = [];
    for (let i = 0; i < all.n; i++) {
      const p = seen(all.at[3 * i], all.at[3 * i + 1], all.at[3 * i + 2]);
      atoms.push(p), items.push([p[2], i, -1]);
    }
    for (let k = 0; k < all.bonds.length; k += 2) {
      const [p, q] = [atoms[all.bonds[k]], atoms[all.bonds[k + 1]]];
      items.push([0.75 * p[2] + 0.25 * q[2], all.bonds[k], all.bonds[k + 1]], [0.25 * p[2] + 0.75 * q[2], all.bonds[k + 1], all.bonds[k]]);
    }
    this.edges(seen, items);
    items.sort((a, b) => a[0] - b[0]);
    pen.lineCap = "round";
    for (const [, i, j, line] of items) {
      if (line) this.edge(pen, line, dots);
      else if (j < 0) this.ball(pen, all.numbers[i], atoms[i], w, h);
      else this.bond(pen, i, j, atoms);
    }
    if (this.arrows && all.force) this.forces(pen, seen, dots);
  }
  ball(pen, number, [x, y, , near], w, h) {
    const r = this.radius(number) * near;
    if (x + r > 0 && y + r > 0 && x - r < w && y - r < h) pen.drawImage(this.sprite(number).ball, x - r, y - r, 2 * r, 2 * r);
  }
  /** Draw many atoms, sorted by levels of depth: as balls where these are large enough to be seen, else as squares, darker behind. */
  crowd(pen, seen, w, h, dots) {
    const { n, at, numbers, whole } = this.all, x = new Float32Array(n), y = new Float32Array(n), near = new Float32Array(n);
    const level = new Uint16Array(n), starts = new Uint32Array(LEVELS + 1), order = new Uint32Array(n);
    for (let i = 0; i < n; i++) {
      const [px, py, depth, scale] = seen(at[3 * i], at[3 * i + 1], at[3 * i + 2]);
      x[i] = px, y[i] = py, near[i] = scale;
      level[i] = Math.max(0, Math.min(LEVELS - 1, Math.floor((LEVELS * (depth + whole)) / (2 * whole))));
      starts[level[i] + 1]++;
    }
    for (let k = 0; k < LEVELS; k++) starts[k + 1] += starts[k];
    for (let i = 0; i < n; i++) order[starts[level[i]]++] = i;
    let last = -1;
    for (const i of order) {
      const number = numbers[i], r = Math.max(0.5, this.radius(number) * near[i]), shadow = Math.floor((16 * level[i]) / LEVELS);
      if (x[i] + r < 0 || y[i] + r < 0 || x[i] - r > w || y[i] - r > h) continue;
      const { ball, tones } = this.sprite(number);
      if (r > 3) pen.drawImage(ball, x[i] - r, y[i] - r, 2 * r, 2 * r);
      else {
        if (last !== 16 * number + shadow) pen.fillStyle = tones[shadow], last = 16 * number + shadow;
        pen.fillRect(x[i] - r, y[i] - r, 2 * r, 2 * r);
      }
    }
    const lines = [];
    this.edges(seen, lines);
    for (const [, , , line] of lines) this.edge(pen, line, dots);
    if (this.arrows && this.all.force) this.forces(pen, seen, dots);
  }
  edge(pen, [a, b, c, d], dots) {
    pen.strokeStyle = shade("--cell"), pen.lineWidth = dots;
    pen.beginPath(), pen.moveTo(a, b), pen.lineTo(c, d), pen.stroke();
  }
  /** Draw half a bond, that of its first atom. */
  bond(pen, i, j, atoms) {
    const { at, numbers } = this.all, [p, q] = [atoms[i], atoms[j]], { tone, edge } = this.sprite(numbers[i]);
    const length = Math.hypot(...[0, 1, 2].map((k) => at[3 * i + k] - at[3 * j + k]));
    const from = Math.min(0.45, (0.9 * this.radius(numbers[i])) / length); // what is within the ball is not seen
    pen.beginPath(), pen.moveTo(p[0] + from * (q[0] - p[0]), p[1] + from * (q[1] - p[1]));
    pen.lineTo((p[0] + q[0]) / 2, (p[1] + q[1]) / 2);
    pen.strokeStyle = edge, pen.lineWidth = 0.22 * p[3], pen.stroke();
    pen.strokeStyle = tone, pen.lineWidth = 0.15 * p[3], pen.stroke();
  }
  /** Add the edges of the cell, in pieces, so that atoms are before and behind them. */
  edges(seen, items) {
    for (let c = 0; c < this.all.corners.length; c++) for (const bit of [1, 2, 4]) {
      if (c & bit) continue;
      const [p, q] = [this.all.corners[c], this.all.corners[c | bit]];
      let last = seen(...p);
      for (let k = 1; k <= 6; k++) {
        const next = seen(...p.map((x, m) => x + (k / 6) * (q[m] - x)));
        items.push([(last[2] + next[2]) / 2, -1, -1, [last[0], last[1], next[0], next[1]]]);
        last = next;
      }
    }
  }
  forces(pen, seen, dots) {
    const { all } = this;
    let most = 0;
    for (let i = 0; i < all.n; i++) most = Math.max(most, Math.hypot(all.force[3 * i], all.force[3 * i + 1], all.force[3 * i + 2]));
    if (!(most > 0)) return;
    pen.strokeStyle = pen.fillStyle = shade("--accent"), pen.lineWidth = 2 * dots;
    for (let i = 0; i < all.n; i++) {
      const at = [0, 1, 2].map((k) => all.at[3 * i + k]), p = seen(...at);
      const q = seen(...at.map((x, k) => x + (2 * all.force[3 * i + k]) / most));
      const length = Math.hypot(q[0] - p[0], q[1] - p[1]);
      if (length < 2 * dots) continue;
      const [u, v] = [(q[0] - p[0]) / length, (q[1] - p[1]) / length], head = Math.min(7 * dots, length);
      pen.beginPath(), pen.moveTo(p[0], p[1]), pen.lineTo(q[0] - u * head, q[1] - v * head), pen.stroke();
      pen.beginPath(), pen.moveTo(q[0], q[1]);
      pen.lineTo(q[0] - u * head - 0.5 * v * head, q[1] - v * head + 0.5 * u * head);
      pen.lineTo(q[0] - u * head + 0.5 * v * head, q[1] - v * head - 0.5 * u * head);
      pen.fill();
    }
  }
}

function product(a, b) {
  const c = new Array(9);
  for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) c[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
  return c;
}

/** Return the middle of the box that places are in; of none, the origin. */
function middle(places) {
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (let k = 0; k < places.length; k++) low[k % 3] = Math.min(low[k % 3], places[k]), high[k % 3] = Math.max(high[k % 3], places[k]);
  return places.length ? low.map((x, k) => (x + high[k]) / 2) : [0, 0, 0];
}

/** Return how far places are from one, and the balls there. */
function reach(places, [x, y, z]) {
  let most = 0.5;
  for (let k = 0; k < places.length; k += 3) most = Math.max(most, Math.hypot(places[k] - x, places[k + 1] - y, places[k + 2] - z));
  return 1 + most;
}

/** Return pairs of atoms that are bound, one behind the other: looked for in boxes as wide as the longest bond. */
function bonds({ n, numbers, at }, elements) {
  const radius = new Float32Array(n);
  let widest = 0;
  for (let i = 0; i < n; i++) radius[i] = elements[numbers[i]].radius, widest = Math.max(widest, radius[i]);
  const side = Math.max(0.5, 2 * BOND * widest), boxes = new Map(), found = [];
  const key = (x, y, z) => (x & 1023) | ((y & 1023) << 10) | ((z & 1023) << 20);
  const cells = Int32Array.from({ length: 3 * n }, (_, k) => Math.floor(at[k] / side));
  for (let i = 0; i < n; i++) {
    for (let dx = -1; dx <= 1; dx++) for (let dy = -1; dy <= 1; dy++) for (let dz = -1; dz <= 1; dz++) {
      for (const j of boxes.get(key(cells[3 * i] + dx, cells[3 * i + 1] + dy, cells[3 * i + 2] + dz)) ?? []) {
        const away = Math.hypot(at[3 * i] - at[3 * j], at[3 * i + 1] - at[3 * j + 1], at[3 * i + 2] - at[3 * j + 2]);
        if (away > CLOSE && away < BOND * (radius[i] + radius[j])) found.push(j, i);
      }
    }
    const here = key(cells[3 * i], cells[3 * i + 1], cells[3 * i + 2]);
    if (boxes.has(here)) boxes.get(here).push(i);
    else boxes.set(here, [i]);
  }
  return found;
}
