// The page: what is chosen is shown everywhere, and nothing that comes from data is ever markup.

const byId = (id) => document.getElementById(id);
const viewer = new Viewer(byId("viewer"));
const scatter = new Scatter(byId("points"), byId("marks"), choose, hover);
const picks = { x: byId("pick-x"), y: byId("pick-y"), color: byId("pick-color") };
const keys = about.columns.map((column) => column.key);

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
  legend();
  const lost = about.n - scatter.drawn;
  byId("drawn").textContent = lost ? `${lost.toLocaleString("en-US")} without these values are not drawn.` : "";
}

function legend() {
  const place = byId("legend"), scale = scatter.color;
  place.replaceChildren();
  if (!scale) return;
  const entry = (color, words) => {
    const made = document.createElement("span"), dot = document.createElement("i");
    dot.style.background = color;
    made.append(dot, words);
    place.append(made);
  };
  if (scale.column.texts) scale.column.texts.forEach((text, k) => entry(shade(`--group-${k % 12}`), text));
  else {
    const real = (x) => written(scale.log ? 10 ** x : x);
    entry(ramp(0), real(scale.low)), entry(ramp(0.5), real((scale.low + scale.high) / 2)), entry(ramp(1), real(scale.high));
  }
}

function said(column, k, place) {
  const value = values(k)[place];
  return column.texts ? column.texts[value] : written(value);
}

/** Show a structure of the page. */
function choose(place) {
  const number = array("structure")[place], shown = structure(place);
  scatter.choose(place);
  viewer.set(shown);
  byId("title").textContent = `${formula(place)}, structure ${number.toLocaleString("en-US")}`;
  byId("number").value = number;
  byId("forces").disabled = !shown.forces;
  byId("repeats").disabled = !(shown.cell && shown.periodic);
  const rows = about.columns.map((column, k) => {
    const row = document.createElement("tr");
    for (const words of [column.label, said(column, k, place)]) row.insertCell().textContent = words;
    return row;
  });
  byId("details").replaceChildren(...rows);
  byId("viewer").dataset.structure = number;
  byId("viewer").setAttribute("aria-label", byId("title").textContent);
}

function hover(place, e) {
  const tip = byId("tip");
  tip.hidden = place < 0;
  if (place < 0) return;
  const [x, y] = [Number(picks.x.value), Number(picks.y.value)];
  tip.textContent = `${formula(place)}, structure ${array("structure")[place]}: ${said(about.columns[x], x, place)}, ${said(about.columns[y], y, place)}`;
  tip.style.left = `${Math.min(e.offsetX + 14, byId("marks").clientWidth - 180)}px`, tip.style.top = `${e.offsetY + 14}px`;
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
  choose(low);
}

function dress(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  shades.clear();
  scatter.draw(), viewer.draw(), legend();
}

byId("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  dress(now === "dark" ? "light" : "dark");
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dress());
byId("before").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("number").addEventListener("change", (e) => goTo(Number(e.target.value) || 0));
byId("forces").addEventListener("change", (e) => { viewer.arrows = e.target.checked; viewer.draw(); });
byId("repeats").addEventListener("change", (e) => { viewer.repeats = Number(e.target.value); viewer.build(); viewer.draw(); });
byId("home").addEventListener("click", () => { viewer.home(); viewer.draw(); });
document.addEventListener("click", (e) => {
  const link = e.target.closest?.("[data-show]");
  if (!link) return;
  choose(Number(link.dataset.show));
  byId("look").scrollIntoView({ block: "nearest" });
});
new ResizeObserver(() => { scatter.draw(); viewer.measure(); viewer.draw(); }).observe(byId("look"));

viewer.measure();
fill();
redraw();
choose(0);
performance.mark("first-picture");
