// The axes of a grid's chart: one for each parameter, the last one for the metric. Nothing here touches the page.

const GRID = DATA.grid ?? null; // what a page of one grid has more than others
const LOG_FROM_FACTOR = 100; // a numeric axis whose values span more than this is logarithmic
const FEW_VALUES = 8; // so many different values have a tick each

/** Return the number that a text of a parameter is; undefined if it is none. */
function numberOf(value) {
  const isText = typeof value === "string" && /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(value);
  const number = isText ? Number(value) : value;
  return isNumber(number) ? number : undefined; // 1e999 is none
}

/**
 * Return an axis for a field's name: `linear` or `log` if all of its values are numbers, else of `words`.
 *
 * `chosen` says what is chosen on it: null for all, `{from, to}` of numbers, or a Set of words.
 */
function axisOf(field, name) {
  const values = RUNS.map((run) => own(run[field], name)).filter((value) => value != null);
  const numbers = values.map(numberOf);
  const axis = { field, name, key: `${field} ${name}`, chosen: null };
  if (field === "parameters" && numbers.includes(undefined)) {
    const trials = [...RUNS].sort((a, b) => (a.trial ?? 0) - (b.trial ?? 0)); // as the grid has them
    const found = new Set(trials.map((run) => own(run[field], name)).filter((word) => word != null));
    const words = [...found];
    return { ...axis, kind: "words", words, places: new Map(words.map((word, place) => [word, place])) };
  }
  const known = [...new Set(numbers.filter(isNumber))].sort((a, b) => a - b);
  const [from, to] = [known[0] ?? 0, known.at(-1) ?? 1];
  const kind = from > 0 && to / from > LOG_FROM_FACTOR ? "log" : "linear";
  return { ...axis, kind, from, to, known: known.length <= FEW_VALUES ? known : null };
}

/** Return the axes of the grid, by the metric that the last one is of; "" for none. */
function axesOfGrid(metric) {
  const axes = GRID.parameters.map((name) => axisOf("parameters", name));
  return metric ? [...axes, axisOf("metrics", metric)] : axes;
}

/** Return what a run has on an axis: a number, a word, or undefined. */
function valueOn(axis, run) {
  const value = own(run[axis.field], axis.name);
  return axis.kind === "words" ? (value ?? undefined) : numberOf(value);
}

/** Return how high on an axis a value lies, 0 to 1; the first word is at the top. */
function heightOf(axis, value) {
  if (axis.kind === "words")
    return axis.words.length < 2 ? 0.5 : 1 - axis.places.get(value) / (axis.words.length - 1);
  if (axis.from === axis.to) return 0.5;
  if (axis.kind === "log") return Math.log(value / axis.from) / Math.log(axis.to / axis.from);
  return (value / 2 - axis.from / 2) / (axis.to / 2 - axis.from / 2); // halves: a difference may be infinite
}

/** Return the number that lies so high on an axis; the ends themselves are not rounded. */
function numberAt(axis, height) {
  if (height <= 0) return axis.from;
  if (height >= 1) return axis.to;
  const value =
    axis.kind === "log"
      ? axis.from * (axis.to / axis.from) ** height
      : axis.from * (1 - height) + axis.to * height;
  return Number(value.toPrecision(4));
}

/** Return what is chosen between two heights: all of it, where that is the whole axis, or has no word. */
function chosenBetween(axis, low, high) {
  if (axis.kind === "words") {
    const words = axis.words.filter((word) => heightOf(axis, word) >= low && heightOf(axis, word) <= high);
    return words.length && words.length < axis.words.length ? new Set(words) : null;
  }
  if (low <= 0 && high >= 1) return null;
  return { from: numberAt(axis, low), to: numberAt(axis, high) };
}

/** Return whether a run has on each axis what is chosen there. */
function isChosen(axes, run) {
  return axes.every((axis) => {
    if (!axis.chosen) return true;
    const value = valueOn(axis, run);
    if (axis.kind === "words") return axis.chosen.has(value);
    return value !== undefined && value >= axis.chosen.from && value <= axis.chosen.to;
  });
}

/** Return what is chosen on an axis in words, such as "0.001 to 0.01"; "" for all. */
function chosenText({ chosen }) {
  if (!chosen) return "";
  if (chosen instanceof Set) return [...chosen].join(", ") || "none";
  return `${numberText(chosen.from)} to ${numberText(chosen.to)}`;
}

/** Return the values that an axis has ticks at. */
function ticksOf(axis) {
  if (axis.kind === "words") return axis.words;
  if (axis.known) return axis.known;
  const ticks = axis.kind === "log" ? powers(axis.from, axis.to) : steps(axis.from, axis.to);
  return ticks.length > 1 ? ticks : [axis.from, axis.to];
}

function powers(from, to) {
  const [first, last] = [Math.floor(Math.log10(from)), Math.ceil(Math.log10(to))];
  const every = Math.max(1, Math.ceil((last - first) / 8));
  const count = Math.floor((last - first) / every) + 1;
  const between = last - first <= 4 ? [1, 2, 5] : [1];
  return Array.from({ length: count }, (_, place) => first + place * every)
    .flatMap((power) => between.map((digit) => Number(`${digit}e${power}`)))
    .filter((tick) => tick >= from && tick <= to);
}

function steps(from, to) {
  const rough = (to - from) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((size) => size * power >= rough) * power;
  const first = Math.ceil(from / step);
  const ticks = Array.from({ length: 7 }, (_, place) => Number(((first + place) * step).toPrecision(12)));
  return ticks.filter((tick, place) => tick <= to && tick !== ticks[place - 1]); // none twice, of large numbers
}

/** Return the metrics that the last axis may be of, the grid's own first. */
function metricsOfGrid() {
  const names = METRICS.filter((name) => name !== GRID.metric);
  return GRID.metric ? [GRID.metric, ...names] : ["", ...names];
}
