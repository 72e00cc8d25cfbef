// The trials of a grid as lines over its axes, on a canvas: how they look, and which one is under the pointer.

const CHART_HEIGHT = 360;
const LEAST_APART = 104; // pixels between two axes, below which the chart scrolls
const EDGE = { top: 46, bottom: 22, left: 84, right: 92 };
const NEAR = 10; // pixels: so near is under the pointer
const HALF = 8; // pixels to either side of an axis where a range is drawn
const VIRIDIS = [
  [68, 1, 84],
  [72, 40, 120],
  [62, 73, 137],
  [49, 104, 142],
  [38, 130, 142],
  [31, 158, 137],
  [53, 183, 121],
  [110, 206, 88],
  [181, 222, 43],
  [253, 231, 37],
]; // by van der Walt and Smith: even steps, also for the colour-blind and in print

const chart = { axes: [], canvas: null, near: null, drag: null, width: 0 };

const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;

/** Return the colour for how good a trial is, 0 to 1: the best stands out most from the page. */
function shade(good) {
  const at = (isDark() ? 0.28 + 0.72 * good : 0.8 * (1 - good)) * (VIRIDIS.length - 1);
  const [low, share] = [Math.min(Math.floor(at), VIRIDIS.length - 2), at % 1];
  const part = at >= VIRIDIS.length - 1 ? 1 : share;
  const mixed = VIRIDIS[low].map((one, place) => one + (VIRIDIS[low + 1][place] - one) * part);
  return `rgb(${mixed.map(Math.round).join(" ")})`;
}

const metricAxis = () => chart.axes.find((axis) => axis.field === "metrics");
const isLowBest = (axis) => GRID.goal === "min" && axis?.name === GRID.metric;

/** Return how a trial's line is drawn: `scored`, `failed` if it ended without success, else `bare`. */
function kindOf(run) {
  if (run.state !== "succeeded" && !GOING.includes(run.state)) return "failed";
  const axis = metricAxis();
  return run.state === "succeeded" && axis && valueOn(axis, run) !== undefined ? "scored" : "bare";
}

function strokeOf(run, kind) {
  if (kind === "failed") return colour("--bad");
  if (kind === "bare") return colour("--muted");
  const height = heightOf(metricAxis(), valueOn(metricAxis(), run));
  return shade(isLowBest(metricAxis()) ? 1 - height : height);
}

const xOf = (place) =>
  EDGE.left + place * ((chart.width - EDGE.left - EDGE.right) / Math.max(1, chart.axes.length - 1));
const yOf = (height) => CHART_HEIGHT - EDGE.bottom - height * (CHART_HEIGHT - EDGE.top - EDGE.bottom);
const heightAt = (y) => (CHART_HEIGHT - EDGE.bottom - y) / (CHART_HEIGHT - EDGE.top - EDGE.bottom);

/** Return the points of a trial's line in pieces: one that lacks a value has a gap there, or ends before. */
function piecesOf(run) {
  const pieces = [[]];
  for (const [place, axis] of chart.axes.entries()) {
    const value = valueOn(axis, run);
    if (value !== undefined) pieces.at(-1).push([xOf(place), yOf(heightOf(axis, value))]);
    else if (axis.field === "metrics" && pieces.at(-1).length) {
      const [x, y] = pieces.at(-1).at(-1);
      pieces.at(-1).push([x + (xOf(place) - x) * 0.4, y]);
    } else if (pieces.at(-1).length) pieces.push([]);
  }
  return pieces.filter((piece) => piece.length);
}

function strokeLine(ink, run, style) {
  ink.strokeStyle = style.colour;
  ink.globalAlpha = style.alpha ?? 1;
  ink.lineWidth = style.width ?? 1.5;
  ink.setLineDash(style.dash ?? []);
  ink.beginPath();
  const pieces = piecesOf(run);
  for (const [first, ...rest] of pieces) {
    ink.moveTo(...first);
    for (const point of rest) ink.lineTo(...point);
  }
  ink.stroke();
  ink.setLineDash([]);
  const [x, y] = pieces.at(-1)?.at(-1) ?? [];
  if (x !== undefined && style.end) drawEnd(ink, style.end, x, y);
  ink.globalAlpha = 1;
}

/** Draw how a line ends: a cross of one that failed, a ring of one without a value, a dot of the best. */
function drawEnd(ink, end, x, y) {
  ink.beginPath();
  if (end === "cross") {
    for (const down of [4, -4]) {
      ink.moveTo(x - 4, y - down);
      ink.lineTo(x + 4, y + down);
    }
  } else ink.arc(x, y, end === "dot" ? 5 : 3, 0, 2 * Math.PI);
  if (end === "dot") {
    ink.fillStyle = ink.strokeStyle;
    ink.fill();
    ink.strokeStyle = colour("--back");
  }
  ink.stroke();
}

/** Draw the whole chart: what is filtered out faintly, the others the best one last, then the axes. */
function drawLines() {
  const { canvas } = chart;
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(chart.width * ratio);
  canvas.height = Math.round(CHART_HEIGHT * ratio);
  canvas.style.width = `${chart.width}px`;
  canvas.style.height = `${CHART_HEIGHT}px`;
  const ink = canvas.getContext("2d");
  ink.setTransform(ratio, 0, 0, ratio, 0, 0);
  ink.lineJoin = "round";
  const shown = new Set(view.runs);
  const crowd = (count, most) => Math.max(0.12, Math.min(most, 9 / Math.sqrt(Math.max(1, count))));
  const faint = chart.near ? 0.3 : 1; // while one is under the pointer
  for (const run of RUNS)
    if (!shown.has(run))
      strokeLine(ink, run, { colour: colour("--edge"), alpha: crowd(RUNS.length, 0.5) * 0.7, width: 1 });
  const alpha = crowd(shown.size, 0.85) * faint;
  const lines = [...shown].map((run) => [run, kindOf(run)]);
  const ends = { failed: "cross", bare: metricAxis() ? "ring" : "" };
  for (const kind of ["failed", "bare"])
    for (const [run] of lines.filter(([, one]) => one === kind))
      strokeLine(ink, run, {
        colour: strokeOf(run, kind),
        alpha: alpha * (kind === "bare" ? 0.7 : 0.8),
        width: 1.25,
        dash: kind === "failed" ? [5, 4] : [],
        end: ends[kind],
      });
  const scored = lines.filter(([, kind]) => kind === "scored").map(([run]) => run);
  const [axis, sign] = [metricAxis(), isLowBest(metricAxis()) ? -1 : 1];
  scored.sort((a, b) => sign * (valueOn(axis, a) - valueOn(axis, b)));
  for (const run of scored) strokeLine(ink, run, { colour: strokeOf(run, "scored"), alpha, width: 1.75 });
  const best = scored.find((run) => run.id === GRID.best?.id);
  if (best && axis.name === GRID.metric)
    strokeLine(ink, best, { colour: shade(1), alpha: faint, width: 3, end: "dot" });
  drawAxisLines(ink);
  if (chart.near) drawNear(ink, chart.near);
}

/** Draw the trial under the pointer over all others, with its value on each axis. */
function drawNear(ink, run) {
  const kind = kindOf(run);
  strokeLine(ink, run, { colour: colour("--back"), width: 7, alpha: 0.8 });
  strokeLine(ink, run, {
    colour: strokeOf(run, kind),
    width: 3,
    dash: kind === "failed" ? [5, 4] : [],
    end: { scored: "dot", failed: "cross", bare: "ring" }[kind],
  });
  for (const [place, one] of chart.axes.entries()) {
    const value = valueOn(one, run);
    if (value === undefined) continue;
    const text = cutText(ink, one.kind === "words" ? value : numberText(value), LEAST_APART - 12);
    drawChip(ink, text, xOf(place), yOf(heightOf(one, value)));
  }
}

/** Return the trial whose line is under a place of the chart; null if none is near. */
function lineAt(x, y) {
  let [best, least] = [null, NEAR];
  for (const run of view.runs)
    for (const piece of piecesOf(run))
      for (const [place, point] of piece.entries()) {
        const distance = distanceTo(x, y, piece[place - 1] ?? point, point);
        if (distance < least) [best, least] = [run, distance];
      }
  return best;
}

function distanceTo(x, y, [fromX, fromY], [toX, toY]) {
  const [dx, dy] = [toX - fromX, toY - fromY];
  const along = dx || dy ? ((x - fromX) * dx + (y - fromY) * dy) / (dx * dx + dy * dy) : 0;
  const share = Math.max(0, Math.min(1, along));
  return Math.hypot(x - fromX - share * dx, y - fromY - share * dy);
}
