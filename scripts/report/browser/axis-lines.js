// The axes themselves: their titles, ticks and chosen ranges, and texts that fit beside them.

const TICKS_APART = 15; // pixels, at least, between two ticks' texts

const fontOf = (weight, size) => `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;

/** Return `text`, with an ellipsis in its middle if it does not fit: names often differ at their ends. */
function cutText(ink, text, width) {
  if (ink.measureText(text).width <= width) return text;
  const kept = (count) =>
    `${text.slice(0, Math.ceil(count * 0.6))}…${text.slice(text.length - Math.floor(count * 0.4))}`;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (ink.measureText(kept(middle)).width <= width) low = middle;
    else high = middle - 1;
  }
  return kept(low);
}

/** Draw text that can be read on top of lines. */
function drawText(ink, text, x, y, paint) {
  const width = ink.measureText(text).width;
  const left = { left: x, center: x - width / 2, right: x - width }[ink.textAlign];
  ink.fillStyle = colour("--back");
  ink.globalAlpha = 0.8;
  ink.fillRect(left - 2, y - 8, width + 4, 15);
  ink.globalAlpha = 1;
  ink.fillStyle = paint;
  ink.fillText(text, x, y);
}

/** Draw text in a frame of its own, around a place. */
function drawChip(ink, text, x, y) {
  ink.font = fontOf(600, 12);
  ink.textAlign = "center";
  ink.textBaseline = "middle";
  const width = ink.measureText(text).width + 10;
  const left = Math.max(1, Math.min(chart.width - width - 1, x - width / 2));
  ink.fillStyle = colour("--panel");
  ink.strokeStyle = colour("--text");
  ink.lineWidth = 1;
  ink.beginPath();
  ink.roundRect(left, y - 10, width, 20, 5);
  ink.fill();
  ink.stroke();
  ink.fillStyle = colour("--text");
  ink.fillText(text, left + width / 2, y + 1);
}

function drawAxisLines(ink) {
  const apart = chart.axes.length > 1 ? xOf(1) - xOf(0) : chart.width;
  for (const [place, axis] of chart.axes.entries()) {
    const [x, last] = [xOf(place), place > 0 && place === chart.axes.length - 1];
    ink.strokeStyle = colour("--text");
    ink.lineWidth = 1.25;
    ink.beginPath();
    ink.moveTo(x, yOf(1) - 6);
    ink.lineTo(x, yOf(0) + 6);
    ink.stroke();
    drawChosen(ink, axis, x);
    drawTitle(ink, axis, x, apart - 10);
    drawTicks(ink, axis, x, last);
  }
}

function drawTitle(ink, axis, x, room) {
  ink.font = fontOf(600, 13);
  ink.textAlign = "center";
  ink.textBaseline = "middle";
  const text = cutText(ink, axis.name, room);
  const half = ink.measureText(text).width / 2;
  const middle = Math.max(half + 2, Math.min(chart.width - half - 2, x));
  drawText(ink, text, middle, 13, axis.chosen ? colour("--accent") : colour("--text"));
  const goal = axis.field === "metrics" && axis.name === GRID.metric;
  const best = goal && (GRID.goal === "min" ? "lowest is best" : "highest is best");
  const about = [best, axis.kind === "log" && "log"].filter(Boolean).join(", ");
  ink.font = fontOf(400, 11);
  if (about) drawText(ink, cutText(ink, about, room), middle, 29, colour("--muted"));
}

function drawTicks(ink, axis, x, last) {
  ink.font = fontOf(400, 12);
  ink.textAlign = last ? "left" : "right";
  ink.textBaseline = "middle";
  const side = last ? 1 : -1;
  const room = last ? EDGE.right - 14 : Math.max(EDGE.left, LEAST_APART) - 26;
  let before = Infinity;
  const placed = ticksOf(axis).map((value) => [yOf(heightOf(axis, value)), value]);
  for (const [y, value] of placed.sort(([a], [b]) => b - a)) {
    if (before - y < TICKS_APART) continue;
    before = y;
    ink.strokeStyle = colour("--text");
    ink.lineWidth = 1.25;
    ink.beginPath();
    ink.moveTo(x, y);
    ink.lineTo(x + side * 5, y);
    ink.stroke();
    const text = axis.kind === "words" ? value || "(empty)" : numberText(value);
    drawText(ink, cutText(ink, text, room), x + side * 11, y + 1, colour("--text"));
  }
}

/** Return how high a number lies that may be none of the axis. */
const within = (axis, value) =>
  value <= axis.from ? 0 : value >= axis.to ? 1 : heightOf(axis, value);

/** Draw what is chosen on an axis: a range, or a box for each word. */
function drawChosen(ink, axis, x) {
  if (!axis.chosen) return;
  const spans =
    axis.chosen instanceof Set
      ? [...axis.chosen].map((word) => [yOf(heightOf(axis, word)) - 8, yOf(heightOf(axis, word)) + 8])
      : [[yOf(within(axis, axis.chosen.to)), yOf(within(axis, axis.chosen.from))]];
  ink.fillStyle = colour("--accent");
  ink.strokeStyle = colour("--accent");
  ink.lineWidth = 1.5;
  for (const [top, bottom] of spans) {
    const high = Math.max(4, bottom - top);
    ink.globalAlpha = 0.25;
    ink.fillRect(x - HALF, top, 2 * HALF, high);
    ink.globalAlpha = 1;
    ink.strokeRect(x - HALF, top, 2 * HALF, high);
  }
}
