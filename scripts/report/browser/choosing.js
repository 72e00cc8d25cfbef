// What a person chooses on the axes of a grid's chart, with the pointer, the keys or the fields.

const choosing = { axis: 0, waiting: 0 }; // the axis that the fields are about

/** Choose on an axis, null for all of it, and show what is left: lines, table and sums. */
function choose(axis, chosen) {
  axis.chosen = chosen;
  view.page = 0;
  cancelAnimationFrame(choosing.waiting);
  choosing.waiting = requestAnimationFrame(() => {
    refresh();
    drawChoosing();
  });
}

function chooseAll() {
  for (const axis of chart.axes) axis.chosen = null;
  choose(chart.axes[0], null);
}

// --- The fields: all that a drag does can be done there --------------------------------------------

function drawChoosing() {
  const form = byId("choosing");
  const axis = chart.axes[choosing.axis];
  const active = document.activeElement?.id;
  const fields = axis.kind === "words" ? [wordChooser(axis)] : numberFields(axis);
  const names = chart.axes.map((one, place) => [String(place), one.name]);
  const chosen = chart.axes.filter((one) => one.chosen);
  fill(
    form,
    metricsOfGrid().length > 1 && labelled("Last axis", metricChoice()),
    labelled(
      "Choose on",
      choice(
        names,
        String(choosing.axis),
        (place) => {
          choosing.axis = Number(place);
          drawChoosing();
        },
        { id: "choose-on" },
      ),
    ),
    ...fields,
    ...chosen.map((one) =>
      button(`${one.name}: ${chosenText(one)} ×`, () => choose(one, null), {
        className: "chosen",
        title: "choose all of it again",
        "aria-label": `${one.name}: ${chosenText(one)}; choose all of it again`,
      }),
    ),
    chosen.length > 1 && button("Choose all", chooseAll),
  );
  if (active && form.contains(byId(active))) byId(active).focus(); // it was drawn anew
}

function metricChoice() {
  const names = metricsOfGrid().map((name) => [name, name || "none"]);
  return choice(names, metricAxis()?.name ?? "", (name) => makeAxes(name), { id: "last-axis" });
}

function numberFields(axis) {
  const field = (end) => {
    const shown = axis.chosen ? axis.chosen[end] : axis[end];
    return make("input", {
      ...{ type: "text", inputMode: "decimal", id: `choose-${end}`, value: String(shown), size: 10 },
      on: {
        change: (event) => {
          const typed = numberOf(event.target.value.trim()) ?? axis[end];
          const { from, to } = { ...(axis.chosen ?? axis), [end]: typed };
          const all = from <= axis.from && to >= axis.to;
          choose(axis, all ? null : { from, to });
        },
      },
    });
  };
  return [labelled("from", field("from")), labelled("to", field("to"))];
}

function wordChooser(axis) {
  const boxes = axis.words.map((word) =>
    checkbox(word || "(empty)", !axis.chosen || axis.chosen.has(word), (checked) => {
      const words = new Set(axis.chosen ?? axis.words);
      if (checked) words.add(word);
      else words.delete(word);
      axis.chosen = words.size === axis.words.length ? null : words;
      view.page = 0;
      refresh(); // and not the fields: the list stays open
    }),
  );
  return make(
    "details",
    { className: "menu", on: { toggle: (event) => event.target.open || drawChoosing() } },
    make("summary", {}, "Values"),
    make("div", { className: "checks" }, ...boxes),
  );
}

// --- The pointer -----------------------------------------------------------------------------------

/** Return where an event is on the chart. */
function placeOf(event) {
  const box = chart.canvas.getBoundingClientRect();
  return [event.clientX - box.x, event.clientY - box.y];
}

/** Return the axis so near to `x` that a drag there chooses on it. */
function axisAt(x) {
  return chart.axes.find((_, place) => Math.abs(xOf(place) - x) <= HALF + 4);
}

function pressed(event) {
  const [x, y] = placeOf(event);
  const axis = axisAt(x);
  if (!axis || event.button !== 0 || event.pointerType === "touch") return; // a finger scrolls the page
  chart.canvas.setPointerCapture(event.pointerId);
  chart.drag = { axis, began: y, ...grip(axis, y) };
  choosing.axis = chart.axes.indexOf(axis);
  event.preventDefault(); // no text is selected
}

/** Return what a drag from `y` does with what is chosen: moves it, moves one end, or begins anew. */
function grip({ chosen, ...axis }, y) {
  if (!chosen || chosen instanceof Set) return { fixed: y };
  const [top, bottom] = [yOf(within(axis, chosen.to)), yOf(within(axis, chosen.from))];
  if (Math.abs(y - top) <= 6) return { fixed: bottom };
  if (Math.abs(y - bottom) <= 6) return { fixed: top };
  return y > top && y < bottom ? { top, bottom } : { fixed: y };
}

function moved(event) {
  if (event.pointerType === "touch") return;
  const [x, y] = placeOf(event);
  if (!chart.drag) {
    const on = axisAt(x);
    chart.canvas.style.cursor = on ? "ns-resize" : "default";
    showNear(lineAt(x, y));
    return;
  }
  const { axis, began, fixed, top, bottom } = chart.drag;
  if (Math.abs(y - began) < 4) return; // a press, so far
  chart.drag.moved = true;
  const ends = fixed === undefined ? [top + y - began, bottom + y - began] : [fixed, y];
  const [high, low] = [Math.min(...ends), Math.max(...ends)].map(heightAt);
  const slack = axis.kind === "words" ? 0.02 : 0;
  choose(axis, chosenBetween(axis, low - slack, high + slack));
}

function released(event) {
  const { drag, near } = chart;
  chart.drag = null;
  if (event.type !== "pointerup") return;
  if (drag && !drag.moved) choose(drag.axis, null); // a press on an axis: all of it again
  if (event.pointerType === "touch") showNear(lineAt(...placeOf(event)));
  if (!drag && near && near === chart.near) showRun(near); // the second tap of a finger
}

/** Let one trial stand out, and say what it is, unless its row says so; null for none. */
function showNear(run, said = true) {
  if (chart.near === run) return;
  chart.near = run;
  drawLines();
  byId("near").textContent = run && said ? nearText(run) : "\u00a0";
}

function nearText(run) {
  const values = chart.axes
    .filter((axis) => axis.field === "parameters")
    .map((axis) => `${axis.name}=${own(run.parameters, axis.name) ?? NOTHING}`);
  const axis = metricAxis();
  const reached = axis ? `, ${axis.name} ${numberText(own(run.metrics, axis.name))}` : "";
  const best = run.id === GRID.best?.id ? ", the best" : "";
  return `trial ${run.trial ?? NOTHING}${best}: ${run.state}${reached}; ${values.join(" ")}; ${dollars(run.usd)}`;
}

// --- The keys, on the chart; and the table, whose rows stand for lines -----------------------------

function typed(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]; // to the sides a narrow window scrolls
  const runs = view.runs;
  if (step && runs.length) {
    const at = runs.indexOf(chart.near);
    showNear(runs[at < 0 ? 0 : Math.max(0, Math.min(runs.length - 1, at + step))]);
  } else if (event.key === "Home") showNear(runs[0] ?? null);
  else if (event.key === "End") showNear(runs.at(-1) ?? null);
  else if (event.key === "Enter" && chart.near) showRun(chart.near);
  else if (event.key === "Escape") showNear(null);
  else return;
  event.preventDefault();
}

function listenToChart() {
  const { canvas } = chart;
  canvas.addEventListener("pointerdown", pressed);
  canvas.addEventListener("pointermove", moved);
  canvas.addEventListener("pointerup", released);
  canvas.addEventListener("pointercancel", released);
  canvas.addEventListener("pointerleave", (event) => {
    if (!chart.drag && event.pointerType !== "touch") showNear(null);
  });
  canvas.addEventListener("keydown", typed);
  canvas.addEventListener("blur", () => showNear(null));
  const ofRow = (event) => event.target.closest("tr")?.run ?? null;
  for (const kind of ["pointerover", "focusin"])
    byId("table").addEventListener(kind, (event) => showNear(ofRow(event), false));
  for (const kind of ["pointerleave", "focusout"])
    byId("table").addEventListener(kind, () => showNear(null));
}
