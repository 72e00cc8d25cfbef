// One chart, as uPlot draws it.

/** Let a chart show `factor` times as much of its x axis around the middle; all of it with 0. */
function zoomed(chart, factor) {
  const [x] = chart.data;
  const all = [x[0], x[x.length - 1]];
  const { min, max } = chart.scales.x;
  const [middle, half] = [(min + max) / 2, ((max - min) / 2) * factor];
  const [from, to] = factor
    ? [Math.max(all[0], middle - half), Math.min(all[1], middle + half)]
    : all;
  chart.setScale("x", { min: from, max: to });
}

function plot(figure, name, series) {
  const place = figure.querySelector(".plot");
  // A step that another run has is none of this one's gaps; a value that is no number is.
  const data = uPlot.join(
    series.map((one) => one.points),
    series.map(() => [0, 2]), // of x and y; 2: a null reaches to the values beside it
  );
  const axis = {
    stroke: colour("--muted"),
    grid: { stroke: colour("--grid"), width: 1 },
    ticks: { stroke: colour("--grid") },
  };
  const along =
    axes.by === "time" ? "seconds" : [...new Set(series.map((one) => one.curve.axis))].join(", ");
  let near = null; // the series under the pointer
  const tell = (chart) => {
    const at = chart.cursor.idx;
    const value = near && at !== null ? chart.data[near][at] : null;
    const said = isNumber(value)
      ? `${series[near - 1].run.id}: ${numberText(value)} at ${along} ${numberText(chart.data[0][at])}`
      : "\u00a0";
    figure.querySelector(".at").textContent = said;
  };
  return new uPlot(
    {
      width: Math.max(240, place.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { focus: { prox: 24 }, drag: { x: true, y: false } },
      focus: { alpha: 0.25 },
      scales: { x: { time: false }, y: { distr: axes.log ? 3 : 1 } },
      axes: [
        {
          ...axis,
          label: along,
          labelSize: 20,
          size: 34,
          values: (_, ticks) => ticks.map(numberText),
        },
        {
          ...axis,
          size: 58,
          values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : numberText(tick))),
        },
      ],
      series: [
        {},
        ...series.map((one) => ({
          label: one.run.id,
          stroke: colourOf(one.place),
          dash: dashOf(one.place),
          width: 2,
          points: { show: one.points[0].length === 1 },
        })),
      ],
      hooks: {
        setSeries: [
          (chart, at, changed) => changed.focus !== undefined && ((near = at), tell(chart)),
        ],
        setCursor: [tell],
      },
    },
    data,
    place,
  );
}

/** Draw again when the window's width or its colours have changed. */
function watchWindow() {
  let waiting = 0;
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return; // a phone's bars come and go
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      drawCharts();
      resizeLines();
    }, 150);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    colours.clear();
    drawLegend();
    drawCharts();
    drawGridAgain();
  });
}
