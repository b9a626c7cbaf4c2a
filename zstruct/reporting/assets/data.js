// What the page holds of its structures: texts as JSON, numbers as base 64 that is mapped when it is needed.

const about = JSON.parse(document.getElementById("about").textContent);

const KINDS = {
  structure: Uint32Array, offsets: Uint32Array, formula: Uint32Array, numbers: Uint8Array, periodic: Uint8Array,
  positions: Uint16Array, forces: Int16Array, boxes: Float32Array, cells: Float32Array, force_scales: Float32Array,
};
const mapped = new Map();

function decoded(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let k = 0; k < letters.length; k++) bytes[k] = letters.charCodeAt(k);
  return bytes;
}

/** Return an array of the page by name, or null if it has none. */
function array(name, kind = KINDS[name]) {
  if (!mapped.has(name)) {
    const node = document.getElementById(`data-${name}`);
    mapped.set(name, node ? new kind(decoded(node.textContent).buffer) : null);
    if (node) node.remove(); // its text is no longer needed
  }
  return mapped.get(name);
}

/** Return the values of a column: numbers, or codes of its texts. */
function values(k) {
  return array(`column-${k}`, about.columns[k].texts ? Uint16Array : Float32Array);
}

/** What the map draws: as many structures, and their columns, whose values are mapped when they are drawn. */
const table = {
  n: about.n,
  columns: about.columns.map((column, k) => Object.defineProperty(column, "values", { get: () => values(k) })),
};

/** Return the formula of a structure of the page. */
function formula(place) {
  return about.formulas[array("formula")[place]];
}

/** Return the atoms of a structure of the page: positions in angstrom, and what else is known. */
function structure(place) {
  const offsets = array("offsets"), boxes = array("boxes"), levels = array("positions");
  const start = offsets[place], n = offsets[place + 1] - start;
  const positions = new Float32Array(3 * n), step = boxes[4 * place + 3] / 65535;
  for (let k = 0; k < 3 * n; k++) positions[k] = boxes[4 * place + (k % 3)] + step * levels[3 * start + k];
  const cells = array("cells"), periodic = array("periodic"), scales = array("force_scales");
  let cell = cells ? cells.subarray(9 * place, 9 * place + 9) : null;
  if (cell && !cell.some((x) => x !== 0)) cell = null;
  let forces = null;
  if (scales && scales[place] > 0) {
    const parts = array("forces");
    forces = new Float32Array(3 * n);
    for (let k = 0; k < 3 * n; k++) forces[k] = (scales[place] * parts[3 * start + k]) / 32767;
  }
  return {
    numbers: array("numbers").subarray(start, start + n), positions, cell, forces,
    periodic: periodic ? periodic[place] : 0,
  };
}
