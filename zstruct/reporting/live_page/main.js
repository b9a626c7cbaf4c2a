// The page: a sample of a store as a map and a list, and any structure of it, read from its files by their ranges.
// All texts that come from the store become text nodes, never markup.

import { Scatter, Viewer, changeShades, hint, legend, offerRepeats, undrawn, written } from "./look.js";
import { said, sampleOf, unit } from "./sample.js";
import { Problem, Store } from "./store.js";

const LISTED = 200; // rows of the list
const WIDE = 100; // numbers of a field that are shown
const PAUSE = 120; // ms; who holds a key down passes structures by, without reading them
const byId = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en-US");
const counted = (n, thing) => `${number(n)} ${thing}${n === 1 ? "" : "s"}`;
const picks = { x: byId("pick-x"), y: byId("pick-y"), color: byId("pick-color") };
const state = { turn: 0, row: undefined, sort: undefined };
let page, store, sample, scatter, viewer;

function say(problem) {
  const box = byId("problem");
  const text = problem instanceof Problem ? problem.message : `This page has a fault: ${problem?.message ?? problem}`;
  if (!box.textContent.includes(text)) box.textContent = [box.textContent, text].filter(Boolean).join("\n");
  box.hidden = false;
}

function made(name, { text, className, ...others } = {}, children = []) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  for (const [key, value] of Object.entries(others)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

async function begin() {
  const answer = await fetch("live.json", { cache: "no-cache" });
  if (!answer.ok) throw new Problem('The page is not whole, live.json can\'t be read: run "zstruct live STORE" again.');
  page = await answer.json();
  byId("name").textContent = document.title = page.name;
  store = await Store.open(new URL(page.store, location.href).href);
  summarize();
  byId("both").hidden = false;
  viewer = new Viewer(byId("viewer"), page.elements);
  listen();
  if (store.attributes.digest !== page.digest)
    say(new Problem(`The store has changed since this page was made: it had ${counted(page.n_structures, "structure")}, and has ${number(store.attributes.n_structures)} now.`));
  try {
    sample = await sampleOf(store);
    beginSample();
  } catch (error) {
    byId("sample").hidden = true;
    say(error);
  }
  showFetched();
  performance.mark("first-picture");
  document.documentElement.dataset.ready = "yes";
  follow();
}

function summarize() {
  const { n_structures, n_atoms, species = {}, digest } = store.attributes;
  const symbols = Object.keys(species);
  const elements = symbols.length > 12 ? `${symbols.length} elements` : symbols.join(" ");
  byId("summary").textContent = `${counted(n_structures, "structure")}, ${counted(n_atoms, "atom")} of ${elements}; content ${String(digest).slice(0, 12)}`;
  byId("number").max = n_structures - 1;
  byId("with-forces").hidden = !store.has("forces");
}

function showFetched() {
  const { bytes, requests } = store.files.fetched;
  const size = bytes < 1e6 ? `${number(Math.ceil(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  byId("fetched").textContent = `Read from the store: ${size} in ${number(requests)} requests.`;
}

function beginSample() {
  const { columns } = sample;
  const places = columns.map((_, k) => k);
  const offer = (select, k, text) => select.append(made("option", { text, value: k }));
  const isFormula = (k) => columns[k].key === "formula";
  for (const k of places.filter((k) => !isFormula(k))) Object.values(picks).forEach((select) => offer(select, k, columns[k].label));
  offer(picks.color, -1, "one colour");
  const first = (...keys) => keys.map((key) => columns.findIndex((column) => column.key === key)).find((k) => k >= 0) ?? -1;
  picks.x.value = first("n_atoms");
  picks.y.value = first("energy_per_atom", "fmax", "volume", "row");
  picks.color.value = first("group", "fmax", "volume");
  byId("told").textContent = `${sample.description} Draw a box, or press + and −, to see more of a part, and double-click or press Escape for all of it.`;
  scatter = new Scatter(byId("points"), byId("marks"), sample, (place) => show(sample.rows[place]), hover);
  for (const select of Object.values(picks)) select.addEventListener("change", redraw);
  byId("filter").addEventListener("input", list);
  byId("list-head").append(made("tr", {}, places.map(heading)));
  byId("listing").hidden = false;
  redraw();
  list();
}

function heading(k) {
  const { label, meaning, all } = sample.columns[k];
  const button = made("button", { text: label, type: "button", title: meaning ?? "" });
  button.addEventListener("click", () => {
    state.sort = { k, down: state.sort?.k === k && !state.sort.down };
    list();
  });
  return made("th", { scope: "col", className: all ? "" : "number" }, [button]);
}

function redraw() {
  scatter.show(Number(picks.x.value), Number(picks.y.value), Number(picks.color.value));
  legend(byId("legend"), scatter.color);
  byId("drawn").textContent = undrawn(sample.n - scatter.drawn, scatter);
}

function hover(place, event) {
  const parts = place < 0 ? [] : sample.columns.filter(({ key }) => key !== "row").map((column) => [column.label, said(column, place, written)]);
  const words = () => `structure ${number(sample.rows[place])}: ${parts.filter(([, text]) => text).map((part) => part.join(" ")).join(", ")}`;
  hint(byId("tip"), place < 0 ? "" : words(), event);
}

function listedPlaces() {
  const text = byId("filter").value.trim();
  const formula = sample.columns.find(({ key }) => key === "formula");
  const fits = formula.all.map((one) => one.includes(text));
  const places = Array.from({ length: sample.n }, (_, k) => k).filter((k) => !text || (formula.codes[k] >= 0 && fits[formula.codes[k]]));
  if (!state.sort) return places;
  const column = sample.columns[state.sort.k], sign = state.sort.down ? -1 : 1;
  const key = column.all ? (k) => column.all[column.codes[k]] : (k) => column.values[k];
  const lacks = (k) => (column.all ? column.codes[k] < 0 : !Number.isFinite(column.values[k]));
  const order = (a, b) => (key(a) < key(b) ? -sign : key(a) > key(b) ? sign : a - b);
  return places.sort((a, b) => lacks(a) - lacks(b) || (lacks(a) ? a - b : order(a, b)));
}

function list() {
  const places = listedPlaces();
  const line = (k) => {
    const cells = sample.columns.map((column) => made("td", { text: said(column, k, written), className: column.all ? "" : "number" }));
    const node = made("tr", { tabindex: "0" }, cells);
    node.dataset.row = sample.rows[k];
    node.addEventListener("click", () => show(sample.rows[k]));
    node.addEventListener("keydown", ({ key }) => key === "Enter" && show(sample.rows[k]));
    return node;
  };
  byId("list").replaceChildren(...places.slice(0, LISTED).map(line));
  const n = number(places.length);
  [...byId("list-head").querySelectorAll("th")].forEach((head, k) => {
    if (state.sort?.k === k) head.setAttribute("aria-sort", state.sort.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
  byId("listed").textContent = places.length > LISTED ? `the first ${LISTED} of ${n}` : n;
  mark();
}

function mark() {
  if (!sample) return;
  scatter.choose(sample.rows.indexOf(state.row));
  for (const line of byId("list").children)
    Number(line.dataset.row) === state.row ? line.setAttribute("aria-current", "true") : line.removeAttribute("aria-current");
}

/** Show a structure, unless another one is asked for meanwhile. */
async function show(row) {
  const n = store.attributes.n_structures;
  if (!Number.isInteger(row) || row < 0 || row >= n) {
    byId("title").textContent = `There are structures from 0 to ${number(n - 1)}.`;
    return;
  }
  const turn = ++state.turn;
  state.row = row;
  byId("number").value = row;
  byId("before").disabled = row === 0;
  byId("next").disabled = row === n - 1;
  history.replaceState(null, "", `#${row}`);
  mark();
  delete document.documentElement.dataset.shown;
  await new Promise((resolve) => setTimeout(resolve, PAUSE));
  if (turn !== state.turn) return;
  byId("title").textContent = `Reading structure ${number(row)} …`;
  try {
    await draw(row, turn);
  } catch (error) {
    if (turn !== state.turn) return;
    byId("title").textContent = `Structure ${number(row)} can't be shown.`;
    byId("details").replaceChildren();
    viewer.set({ numbers: [], positions: [], cell: null, periodic: 0, forces: null });
    say(error);
  }
  showFetched();
  document.documentElement.dataset.shown = row;
}

async function draw(row, turn) {
  const fields = store.over("structure").filter((field) => !["cell", "pbc"].includes(field) && store.said(field).presence_of === undefined);
  const wanted = byId("forces").checked && store.has("forces");
  const [structure, forces, ...values] = await Promise.all([
    store.geometry(row),
    wanted ? store.forces(row) : null,
    ...fields.map((field) => store.value(field, row)),
  ]);
  await store.check();
  if (turn !== state.turn) return;
  const { numbers, positions, cell, pbc } = structure;
  const periodic = pbc.reduce((bits, along, k) => bits | (along << k), 0);
  viewer.arrows = wanted;
  viewer.set({ numbers, positions, cell: cell.every(Number.isFinite) && cell.some(Boolean) ? cell : null, periodic, forces });
  offerRepeats(byId("repeats"), viewer);
  byId("viewer").dataset.structure = row;
  const lacks = wanted && !forces ? "; it has no forces" : "";
  byId("title").textContent = `Structure ${number(row)}: ${counted(numbers.length, "atom")}, ${along(pbc)}${lacks}`;
  const rows = fields.map((field, k) => line(field, values[k])).filter(Boolean);
  byId("details").replaceChildren(...rows);
}

function along(pbc) {
  const vectors = pbc.flatMap((is, k) => (is ? ["abc"[k]] : [])).join("");
  return vectors === "" ? "not periodic" : vectors === "abc" ? "periodic" : `periodic along ${vectors}`;
}

function line(field, value) {
  if (value === undefined) return undefined;
  const { units, long_name: meaning } = store.said(field);
  const more = Array.isArray(value) && value.length > WIDE ? ` … and ${number(value.length - WIDE)} more` : "";
  const text = Array.isArray(value) ? value.slice(0, WIDE).join(" ") + more : value;
  return made("tr", {}, [
    made("th", { scope: "row", text: field, title: meaning ?? "" }),
    made("td", { text: units && units !== "1" ? `${text} ${unit(units)}` : text }),
  ]);
}

function follow() {
  const asked = location.hash.slice(1);
  if (/^\d+$/.test(asked) && Number(asked) !== state.row) show(Number(asked));
}

function listen() {
  byId("go").addEventListener("submit", (event) => {
    event.preventDefault();
    show(byId("number").valueAsNumber);
  });
  byId("before").addEventListener("click", () => show((state.row ?? 1) - 1));
  byId("next").addEventListener("click", () => show((state.row ?? -1) + 1));
  byId("forces").addEventListener("change", () => state.row !== undefined && show(state.row));
  byId("repeats").addEventListener("change", ({ target }) => viewer.repeat(Number(target.value)));
  byId("home").addEventListener("click", () => {
    viewer.home();
    viewer.draw();
  });
  addEventListener("hashchange", follow);
  changeShades(byId("theme"), () => {
    viewer.draw();
    if (sample) scatter.draw(), legend(byId("legend"), scatter.color);
  });
}

if (location.protocol !== "file:")
  begin().catch((error) => {
    byId("summary").textContent = "";
    say(error);
  });
