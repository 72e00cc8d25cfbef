// The charts of the page: each a figure with its buttons, its curves and its values as a table.

function drawCharts() {
  for (const chart of drawn) chart.destroy();
  drawn = [];
  const figures = shownNames().map((name) => [name, seriesOf(name, axes.kind)]);
  const wanted = figures.filter(([, series]) => series.length);
  const none =
    "None of the runs that are compared has curves here. Tick runs in the table; a trainer that writes " +
    "metrics.jsonl into its output folder has some.";
  fill(
    byId("charts"),
    ...(wanted.length
      ? wanted.map(([name, series]) => figureOf(name, series))
      : [make("p", {}, none)]),
  );
  for (const [place, [name, series]] of wanted.entries())
    drawn.push(plot(byId("charts").children[place], name, series));
}

function figureOf(name, series) {
  const chart = () => drawn.find((one) => one.root.closest("figure") === figure);
  const zoom = (factor) => () => zoomed(chart(), factor);
  const buttons = [
    button("+", zoom(0.5), { "aria-label": `zoom into ${name}`, title: "zoom in" }),
    button("−", zoom(2), { "aria-label": `zoom out of ${name}`, title: "zoom out" }),
    button("All", zoom(0), { "aria-label": `show all of ${name}`, title: "show all of it" }),
  ];
  const rows = series.map(({ run, curve }) => {
    const known = curve.values.filter(isNumber);
    const said = [known[0], known.at(-1), Math.min(...known), Math.max(...known)];
    return [
      run.id,
      ...said.map((value) => (known.length ? numberText(value) : NOTHING)),
      String(known.length),
    ];
  });
  const table = plainTable(
    `${name}, by run`,
    ["Run", "First", "Last", "Least", "Most", "Points here"],
    rows,
  );
  const title = make(
    "figcaption",
    {},
    make("strong", {}, name),
    make("span", { className: "zoom" }, ...buttons),
  );
  const values = make(
    "details",
    {},
    make("summary", {}, "Values"),
    make("div", { className: "scroll" }, table),
  );
  const figure = make(
    "figure",
    {},
    title,
    make("div", { className: "plot" }),
    make("p", { className: "at" }, "\u00a0"),
    values,
  );
  return figure;
}
