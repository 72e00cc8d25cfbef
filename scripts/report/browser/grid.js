// What a page of one grid has before its table: how it stands, its best trial, and its chart.

function drawGrid() {
  if (!GRID) return;
  byId("grid").hidden = false;
  byId("runs-title").textContent = "Trials";
  drawBest();
  const canvas = make("canvas", { tabIndex: 0, role: "application" });
  chart.canvas = canvas;
  fill(byId("lines").querySelector(".scroll"), canvas);
  byId("choosing").addEventListener("submit", (event) => event.preventDefault());
  makeAxes(GRID.metric ?? "");
  listenToChart();
}

/** Make the axes, the last one of a metric, or of none with ""; what was chosen on others stays. */
function makeAxes(metric) {
  const before = new Map(chart.axes.map((axis) => [axis.key, axis.chosen]));
  chart.axes = axesOfGrid(metric);
  for (const axis of chart.axes) axis.chosen = before.get(axis.key) ?? null;
  choosing.axis = Math.min(choosing.axis, chart.axes.length - 1);
  const names = chart.axes.map((axis) => axis.name).join(", ");
  chart.canvas.setAttribute(
    "aria-label",
    `Trials as lines over ${counted(chart.axes.length, "axis", "axes")}: ${names}. ` +
      "The keys up and down go from trial to trial, Enter opens one; the table below has all of them.",
  );
  resizeLines();
  refresh();
  drawChoosing();
}

/** Give the chart the room that there is, or what its axes need, and draw it. */
function resizeLines() {
  if (!GRID) return;
  const least = EDGE.left + EDGE.right + LEAST_APART * (chart.axes.length - 1);
  chart.width = Math.max(least, byId("lines").clientWidth - 2); // of its frame
  drawLines();
}

/** Draw what depends on which trials the filters leave. */
function drawGridAgain() {
  if (!GRID || !chart.canvas) return;
  if (chart.near && !view.runs.includes(chart.near)) showNear(null);
  drawLines();
  drawKey();
  drawAxisTable();
}

// --- The best trial --------------------------------------------------------------------------------

function drawBest() {
  const { best, metric, open } = GRID;
  const none = metric
    ? `No trial that succeeded has told a number as ${metric}${open ? " yet" : ""}.`
    : "The grid names no metric, so none of its trials is the best one.";
  if (!best) {
    fill(byId("best"), make("p", {}, none));
    return;
  }
  const run = RUNS.find((one) => one.id === best.id);
  const name = run ? button(best.id, () => showRun(run), { className: "link" }) : best.id;
  const values = Object.entries(best.parameters).map(([key, value]) => `${key}=${value}`);
  fill(
    byId("best"),
    make(
      "p",
      { className: "reached" },
      make("span", {}, `${metric} `),
      make("strong", {}, numberText(best.value)),
      make("span", {}, open ? ", so far: " : ": "),
      make("span", {}, `trial ${best.trial}, `),
      name,
    ),
    make("p", { className: "values" }, ...values.map((text) => make("code", {}, text))),
    ...best.again.map(({ command, does }) =>
      make(
        "p",
        { className: "again" },
        make("code", { className: "command", tabIndex: 0 }, command),
        make("span", {}, ` ${does}`),
      ),
    ),
  );
}

// --- The chart's key, and its axes as a table ------------------------------------------------------

function drawKey() {
  const axis = metricAxis();
  const kinds = view.runs.map(kindOf);
  const count = (kind) => kinds.filter((one) => one === kind).length;
  const line = (className, text) =>
    make("li", {}, make("span", { className: `line ${className}`, "aria-hidden": "true" }), text);
  const bare = axis ? `${count("bare")} without ${axis.name}, or under way` : `${count("bare")} others`;
  fill(
    byId("key"),
    axis && count("scored") > 0 && make("li", {}, ...scale(axis, count("scored"))),
    count("failed") > 0 && line("dashed failed", `${count("failed")} ended without success`),
    count("bare") > 0 && line("bare", bare),
  );
}

/** Return the key of the colours: their ends, and how many trials have one. */
function scale(axis, count) {
  const bar = make("span", { className: "scale", "aria-hidden": "true" });
  const low = isLowBest(axis);
  const shades = [0, 0.25, 0.5, 0.75, 1].map((height) => shade(low ? 1 - height : height));
  bar.style.background = `linear-gradient(to right, ${shades.join(", ")})`;
  const best = (here) => (axis.name === GRID.metric && here ? " (best)" : "");
  const end = (value, here) => make("span", {}, `${numberText(value)}${best(here)}`);
  return [
    `${counted(count, "trial")} by ${axis.name}: `,
    end(axis.from, low),
    bar,
    end(axis.to, !low),
  ];
}

function drawAxisTable() {
  const rows = chart.axes.map((axis) => [
    axis.name,
    { linear: "numbers", log: "numbers, logarithmic", words: "words" }[axis.kind],
    axis.kind === "words" ? axis.words.join(", ") : `${numberText(axis.from)} to ${numberText(axis.to)}`,
    chosenText(axis) || "all",
  ]);
  const table = byId("axis-table");
  fill(table, plainTable("The axes of the chart", ["Axis", "Of", "Values", "Chosen"], rows));
}
