// The page: what is chosen is shown everywhere, and nothing that comes from data is ever markup.

const byId = (id) => document.getElementById(id);
const picks = { x: byId("pick-x"), y: byId("pick-y"), color: byId("pick-color") };
const keys = about.columns.map((column) => column.key);
let viewer, scatter;

function first(...wanted) {
  return wanted.map((key) => keys.indexOf(key)).find((k) => k >= 0) ?? 0;
}

function option(select, value, words) {
  const made = document.createElement("option");
  made.value = value, made.textContent = words;
  select.append(made);
}

function fill() {
  about.columns.forEach((column, k) => Object.values(picks).forEach((select) => option(select, k, column.label)));
  option(picks.color, -1, "one colour");
  picks.x.value = first("map-0", "referenced", "energy_per_atom", "n_atoms");
  picks.y.value = keys.includes("map-1") ? keys.indexOf("map-1") : first("fmax", "shortest_distance", "n_atoms");
  picks.color.value = keys.includes("group") ? keys.indexOf("group") : keys.includes("map-0") ? first("referenced", "energy_per_atom") : -1;
  for (const select of Object.values(picks)) select.addEventListener("change", redraw);
}

function redraw() {
  scatter.show(Number(picks.x.value), Number(picks.y.value), Number(picks.color.value));
  legend(byId("legend"), scatter.color);
  byId("drawn").textContent = undrawn(about.n - scatter.drawn, scatter);
}

function said(column, k, place) {
  const value = values(k)[place];
  return column.texts ? column.texts[value] : written(value);
}

/** Show a structure of the page, for another one that is not in it if that is said. */
function choose(place, instead = "") {
  const number = array("structure")[place], shown = structure(place);
  scatter.choose(place);
  viewer.set(shown);
  byId("title").textContent = `${instead}${formula(place)}, structure ${written(number)}`;
  byId("number").value = number;
  byId("forces").disabled = !shown.forces;
  offerRepeats(byId("repeats"), viewer);
  const rows = about.columns.map((column, k) => {
    const row = document.createElement("tr");
    for (const words of [column.label, said(column, k, place)]) row.insertCell().textContent = words;
    return row;
  });
  byId("details").replaceChildren(...rows);
  byId("viewer").dataset.structure = number;
  byId("viewer").setAttribute("aria-label", `${byId("title").textContent}; arrow keys turn it, + and − zoom`);
}

function hover(place, e) {
  const [x, y] = [Number(picks.x.value), Number(picks.y.value)];
  const words = () => `${formula(place)}, structure ${written(array("structure")[place])}: ${said(about.columns[x], x, place)}, ${said(about.columns[y], y, place)}`;
  hint(byId("tip"), place < 0 ? "" : words(), e);
}

function step(by) {
  choose((((scatter.chosen + by) % about.n) + about.n) % about.n);
}

/** Show the structure of a number, or the next one that is in the page. */
function goTo(number) {
  const all = array("structure");
  let low = 0, high = about.n - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (all[middle] < number) low = middle + 1;
    else high = middle;
  }
  choose(low, all[low] === number ? "" : `Structure ${written(number)} is not in this page; here is `);
}

function begin() {
  viewer = new Viewer(byId("viewer"), about.elements);
  scatter = new Scatter(byId("points"), byId("marks"), table, choose, hover);
  byId("before").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("number").addEventListener("change", (e) => goTo(Number(e.target.value) || 0));
  byId("forces").addEventListener("change", (e) => { viewer.arrows = e.target.checked; viewer.draw(); });
  byId("repeats").addEventListener("change", (e) => viewer.repeat(Number(e.target.value)));
  byId("home").addEventListener("click", () => { viewer.home(); viewer.draw(); });
  document.addEventListener("click", (e) => {
    const link = e.target.closest?.("[data-show]");
    if (!link) return;
    choose(Number(link.dataset.show));
    byId("viewer").scrollIntoView({ block: "nearest" });
  });
  fill();
  redraw();
  choose(0);
}

if (about.n) begin();
changeShades(byId("theme"), () => { if (about.n) scatter.draw(), viewer.draw(), legend(byId("legend"), scatter.color); });
performance.mark("first-picture");
