// What is drawn and said alike on both pages: numbers, colours, the key of colours, words beside the pointer.

const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const LISTED = 24; // texts in the key of colours

/** Return a number as it is written for people. */
function written(x, digits = 5) {
  if (!Number.isFinite(x)) return "–";
  const size = Math.abs(x), whole = Number.isInteger(x) && size < 1e15;
  const exponent = !whole && (size >= 1e6 || size < 1e-4);
  const text = whole ? x.toLocaleString("en-US") : exponent ? x.toExponential(Math.max(3, digits - 2)) : String(Number(x.toPrecision(digits)));
  return text.replaceAll("-", "−").replace("+", "");
}

const shades = new Map(); // until the page is dark or light instead: to ask for one makes a browser work out all styles

/** Return the value of a colour of the page. */
function shade(name) {
  if (!shades.has(name)) shades.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return shades.get(name);
}

/** Let a button, and the system, make the page dark or light; what is drawn on a canvas has to be drawn anew. */
function changeShades(button, redraw) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const changed = () => { shades.clear(), redraw(); };
  button.addEventListener("click", () => {
    const root = document.documentElement.dataset, now = root.theme ?? (dark.matches ? "dark" : "light");
    root.theme = now === "dark" ? "light" : "dark";
    changed();
  });
  dark.addEventListener("change", changed);
}

function ramp(share) {
  const at = Math.min(0.9999, Math.max(0, share)) * (RAMP.length - 1), k = Math.floor(at), f = at - k;
  return `rgb(${RAMP[k].map((c, i) => Math.round(c + f * (RAMP[k + 1][i] - c))).join(",")})`;
}

/** Say in a place of the page what the colours of a scale mean. */
function legend(place, scale) {
  place.replaceChildren();
  const entry = (color, words) => {
    const made = document.createElement("span"), dot = document.createElement("i");
    if (color) dot.style.background = color, made.append(dot);
    made.append(words), place.append(made);
  };
  if (scale?.column.texts) {
    const { texts } = scale.column, more = texts.length - LISTED;
    texts.slice(0, LISTED).forEach((text, k) => entry(shade(`--group-${k % 12}`), text));
    if (more > 0) entry(null, `and ${written(more)} more, by the same colours`);
  } else if (scale) {
    const { least, most } = scale, real = (x) => written(scale.log ? 10 ** x : x);
    if (least < most) for (const f of [0, 0.5, 1]) entry(ramp(f), real(least + f * (most - least)));
    else if (least === most) entry(ramp(0.5), real(least));
    if (scale.lacks) entry(shade("--faint"), scale.log ? "none, or not above 0" : "none");
  }
}

/** Say how many structures have no place in the map, and why. */
function undrawn(lost, { x, y }) {
  if (!lost) return "";
  const why = x.log || y.log ? "have no such values, or none above 0 where equal ratios are equal lengths" : "have no such values";
  return `${written(lost)} are not drawn: they ${why}.`;
}

/** Show words beside the pointer, within what they are in; or none. */
function hint(node, words, e) {
  node.hidden = !words;
  if (!words) return;
  const { clientWidth: width, clientHeight: height } = node.parentElement;
  node.textContent = words, node.style.left = node.style.top = "0";
  const { offsetWidth: w, offsetHeight: h } = node, below = e.offsetY + 14;
  node.style.left = `${Math.max(0, Math.min(e.offsetX + 14, width - w))}px`;
  node.style.top = `${below + h <= height ? below : Math.max(0, e.offsetY - 8 - h)}px`;
}

/** Let a choice of repeated cells say how many are drawn, and offer what can be. */
function offerRepeats(select, viewer) {
  for (const option of select.options) option.disabled = !viewer.repeatable(Number(option.value));
  select.value = viewer.repeated, select.disabled = !viewer.repeatable(2);
}

/** Let the canvas have as many dots as its place in the page; whether they are others than before. */
function fit(canvas) {
  const box = canvas.getBoundingClientRect(), dots = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(box.width * dots), Math.round(box.height * dots)];
  if (canvas.width === w && canvas.height === h) return false;
  canvas.width = w, canvas.height = h;
  return true;
}
