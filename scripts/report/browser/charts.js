// Curves of the compared runs, laid over each other: a chart for each metric, drawn by uPlot.

const SHOWN_AT_FIRST = 6;
const HEIGHT = 240;
const axes = { by: "step", log: false, smooth: 0, kind: "curves", metrics: null };
let drawn = []; // the uPlot charts that are in the page

const colours = new Map(); // to ask the page's style is slow

/** Return a colour of the page's style: `--line-0` to `--line-9` are those of the compared runs. */
function colour(name) {
  if (!colours.has(name))
    colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return colours.get(name);
}

const colourOf = (place) => colour(`--line-${place}`);
const dashOf = (place) => (place < 5 ? [] : [6, 4]); // not told apart by colour alone

const comparedRuns = () => [...view.chosen].sort((a, b) => a.place - b.place);

/** Return the names of the curves of some runs, the one that most of them have first. */
function curveNames(runs, kind) {
  const counts = new Map();
  for (const run of runs)
    for (const curve of run[kind] ?? []) counts.set(curve.name, (counts.get(curve.name) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([name]) => name);
}

/** Return `values` smoothed: each is `weight` of what came before and the rest of itself. */
function smoothed(values, weight) {
  let last = null;
  return values.map((value) => {
    if (value === null) return null;
    last = last === null ? value : weight * last + (1 - weight) * value;
    return last;
  });
}

/** Return x and y of a curve as they are drawn; null if it has no such x. */
function points(curve) {
  const x = axes.by === "time" ? curve.seconds : curve.steps;
  if (!x) return null;
  const y = axes.log ? curve.values.map((value) => (value > 0 ? value : null)) : curve.values;
  return [x, axes.smooth ? smoothed(y, axes.smooth) : y];
}

/** Return the series of one metric: of each compared run that has it, its place, curve and points. */
function seriesOf(name, kind) {
  return comparedRuns().flatMap((run, place) => {
    const curve = (run[kind] ?? []).find((one) => one.name === name);
    const drawnAs = curve && points(curve);
    return drawnAs ? [{ run, place, curve, points: drawnAs }] : [];
  });
}

function drawCompared() {
  drawAxes();
  drawLegend();
  drawCharts();
  drawDifferences(comparedRuns());
  byId("shown").textContent = byId("shown").textContent.replace(
    /\d+ compared/,
    `${view.chosen.size} compared`,
  );
}

function drawLegend() {
  const items = comparedRuns().map((run, place) => {
    const line = make("span", {
      className: place < 5 ? "line" : "line dashed",
      "aria-hidden": "true",
    });
    line.style.borderColor = colourOf(place);
    const open = button(run.id, () => showRun(run), { className: "link" });
    const about = differing(comparedRuns(), "parameters")
      .filter((name) => own(run.parameters, name) !== undefined)
      .map((name) => `${name} ${own(run.parameters, name)}`);
    const out = button("×", () => compareOnly(comparedRuns().filter((one) => one !== run)), {
      "aria-label": `do not compare ${run.id}`,
      className: "out",
    });
    return make(
      "li",
      {},
      line,
      open,
      make("span", { className: "about" }, about.slice(0, 3).join(", ")),
      out,
    );
  });
  fill(byId("legend"), ...items);
}

function drawAxes() {
  const redraw = (name) => (value) => {
    axes[name] = value;
    drawCharts();
  };
  const again = (name) => (value) => {
    redraw(name)(value);
    drawAxes();
  };
  const smooth = make("input", {
    ...{ type: "range", min: 0, max: 0.95, step: 0.05, value: axes.smooth },
    on: { input: (event) => redraw("smooth")(Number(event.target.value)) },
  });
  const hasMachine = comparedRuns().some((run) => run.machineCurves?.length);
  byId("axes").addEventListener("submit", (event) => event.preventDefault());
  fill(
    byId("axes"),
    hasMachine &&
      labelled(
        "Of",
        choice(
          [
            ["curves", "the training"],
            ["machineCurves", "the machine"],
          ],
          axes.kind,
          again("kind"),
        ),
      ),
    labelled(
      "Along",
      choice(
        [
          ["step", "steps"],
          ["time", "time since the beginning"],
        ],
        axes.by,
        redraw("by"),
      ),
    ),
    labelled("Smooth", smooth),
    checkbox("logarithmic", axes.log, redraw("log")),
    metricChooser(),
  );
}

/** Return the names of the curves that are drawn. */
function shownNames() {
  const names = curveNames(comparedRuns(), axes.kind);
  return names.filter((name, place) => axes.metrics?.get(name) ?? place < SHOWN_AT_FIRST);
}

function metricChooser() {
  const names = curveNames(comparedRuns(), axes.kind);
  const shown = new Set(shownNames());
  const boxes = names.map((name) =>
    checkbox(name, shown.has(name), (checked) => {
      axes.metrics = (axes.metrics ?? new Map()).set(name, checked);
      drawCharts();
    }),
  );
  return make(
    "details",
    { className: "menu" },
    make("summary", {}, "Metrics"),
    make("div", { className: "checks" }, ...boxes),
  );
}
