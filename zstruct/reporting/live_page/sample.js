// The sample that a store keeps for its page: columns of numbers, and of texts by code. How it looks is not known here.

import { Problem } from "./store.js";

const GROUP = "index/sample";
const GROUPS = 12; // texts that are told apart in a drawing
const WIDE = 1000; // of positive numbers, the ratio of largest and smallest from which equal ratios are equal lengths
const TITLES = { row: "structure", n_atoms: "atoms" };
const AGAIN = 'run "zstruct live STORE" again. Any structure can be looked at by its number.';

/** The sample of a store; a `Problem` says why there is none. */
export async function sampleOf(store) {
  const attributes = store.documents[GROUP]?.attributes;
  if (attributes === undefined) throw new Problem(`The store has no sample of its structures, as one that was appended to: ${AGAIN}`);
  if (attributes.store_digest !== store.attributes.digest)
    throw new Problem(`The sample in the store was drawn from other content than it has now: ${AGAIN}`);
  if (String(attributes["encoding-version"]).split(".")[0] !== "1")
    throw new Problem(`The sample in the store has version ${attributes["encoding-version"]}, and this page reads 1.x: ${AGAIN}`);
  const columns = await Promise.all(attributes.columns.map((name) => columnOf(store, name)));
  const rows = columns.find(({ key }) => key === "row").values;
  return { n: rows.length, rows, columns, description: attributes.description };
}

async function columnOf(store, key) {
  const path = `${GROUP}/${key}`;
  const { long_name: meaning, units, category_of: field } = store.said(path);
  const isText = store.has(`${GROUP}/categories/${key}/offsets`);
  const [{ data }, texts] = await Promise.all([store.read(path), isText ? store.texts(key, `${GROUP}/`) : null]);
  const title = field ?? TITLES[key] ?? key.replaceAll("_", " ");
  const label = units && units !== "1" ? `${title} (${unit(units)})` : title;
  if (texts) return { key, label, meaning, all: texts, codes: Array.from(data), ...largest(Array.from(data), texts) };
  const values = Float64Array.from(data, Number);
  return { key, label, meaning, values, texts: null, log: key !== "row" && isWide(values) };
}

function isWide(values) {
  const [low, high] = values.reduce(([a, b], v) => (Number.isFinite(v) ? [Math.min(a, v), Math.max(b, v)] : [a, b]), [Infinity, -Infinity]);
  return low > 0 && high / low >= WIDE;
}

/** The largest groups of a text each, and the rest together: their texts, and the code of each structure among these. */
function largest(codes, texts) {
  const sizes = new Map();
  for (const code of codes) sizes.set(code, (sizes.get(code) ?? 0) + 1);
  const order = [...sizes.keys()].sort((a, b) => sizes.get(b) - sizes.get(a) || a - b);
  const told = order.length <= GROUPS ? order : order.slice(0, GROUPS - 1);
  const names = told.map((code) => (code < 0 ? "none" : texts[code]));
  if (told.length < order.length) names.push(`${order.length - told.length} others`);
  const places = new Map(told.map((code, k) => [code, k]));
  return { texts: names, values: Uint16Array.from(codes, (code) => places.get(code) ?? told.length) };
}

const POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** A unit as people write it: "eV angstrom-1" is eV/Å. */
export function unit(text) {
  const words = text.split(" ").map((word) => /^(\D+?)(-?)(\d*)$/.exec(word)).filter(Boolean);
  const power = (digits) => (digits && digits !== "1" ? [...digits].map((d) => POWERS[d]).join("") : "");
  const written = ([, name, , digits]) => (name === "angstrom" ? "Å" : name) + power(digits);
  const above = words.filter(([, , minus]) => !minus).map(written).join(" ");
  const below = words.filter(([, , minus]) => minus).map(written);
  return [above || "1", ...below].join("/");
}

/** What a column says of a point, "" where it has nothing. */
export function said(column, k, written) {
  if (column.all) return column.codes[k] < 0 ? "" : column.all[column.codes[k]];
  return Number.isFinite(column.values[k]) ? written(column.values[k]) : "";
}
