// What is drawn and said alike on both pages: numbers, colours, the key of colours, words beside the pointer.

const LISTED = 24; // texts in the key of colours

/** Return a number as it is written for people. */
function written(x, digits = 5) {
  if (!Number.isFinite(x)) return "–";
  const size = Math.abs(x), whole = Number.isInteger(x) && size < 1e15;
  const exponent = !whole && (size >= 1e6 || size < 1e-4);
  const plain = () => Number(x.toPrecision(digits)).toLocaleString("en-US", { maximumFractionDigits: 20 });
  const text = whole ? x.toLocaleString("en-US") : exponent ? x.toExponential(Math.max(3, digits - 2)) : plain();
  return text.replace(/\.?0*e\+?/, "e").replaceAll("-", "−");
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

/** Return a colour between those of the smallest and the largest number. */
function ramp(share) {
  const at = 3.9999 * Math.min(1, Math.max(0, share)), k = Math.floor(at), f = at - k;
  const [low, high] = [k, k + 1].map((k) => [1, 3, 5].map((c) => parseInt(shade(`--ramp-${k}`).slice(c, c + 2), 16)));
  return `rgb(${low.map((c, i) => Math.round(c + f * (high[i] - c))).join(",")})`;
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
    const { least, most } = scale, real = (x) => written(scale.log ? 10 ** x : x, 3);
    if (least < most) for (const f of [0, 0.5, 1]) entry(ramp(f), real(least + f * (most - least)));
    else if (least === most) entry(ramp(0.5), real(least));
    if (scale.lacks) entry(shade("--faint"), scale.log ? "none, or not above 0" : "none");
  }
}

/** Say how many structures have no place in the map, and why. */
function undrawn(lost, { x, y }) {
  if (!lost) return "";
  const why = x.log || y.log ? ", or without any above 0 along a logarithmic axis" : "";
  return `Not drawn: ${written(lost)} without these values${why}.`;
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
