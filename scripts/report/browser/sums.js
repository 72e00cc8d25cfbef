// What differs between runs, and what all of them cost and how they ended.

function drawDifferences(runs) {
  const place = byId("differences").querySelector(".scroll");
  if (runs.length < 2) {
    fill(place, make("p", {}, "Compare two runs or more: tick them in the table."));
    return;
  }
  const text = (field, name) => runs.map((run) => numberText(own(run[field], name)));
  const plain = [
    ["machine", (run) => run.machine ?? NOTHING],
    ["market", (run) => run.market ?? NOTHING],
    ["state", (run) => run.state],
    ["took", (run) => lasting(run.seconds)],
    ["cost", (run) => dollars(run.usd)],
  ];
  const rows = [
    ...differing(runs, "parameters").map((name) => [name, ...text("parameters", name)]),
    ...plain.map(([name, read]) => [name, ...runs.map(read)]),
    ...namesOf(runs, "metrics").map((name) => [`last ${name}`, ...text("metrics", name)]),
  ].filter(([, ...cells]) => new Set(cells).size > 1);
  const alike = namesOf(runs, "parameters").length - differing(runs, "parameters").length;
  const said = alike
    ? `${counted(alike, "parameter")} alike in all of them left out`
    : "No parameter is alike in all of them";
  fill(place, plainTable(said, ["Of", ...runs.map((run) => run.id)], rows));
}

function drawTotals() {
  fill(
    byId("totals"),
    ...(GRID ? tilesOfGrid() : tilesOfRuns()).map(([name, value]) =>
      make("div", {}, make("dt", {}, name), make("dd", {}, value)),
    ),
  );
}

function tilesOfGrid() {
  const { trials, ended, underWay, waiting, notBegun, usd, limit, seconds, open } = GRID;
  const over = Object.values(ended).reduce((sum, count) => sum + count, 0);
  const good = own(ended, "succeeded") ?? 0;
  const plain = (number) => number.toLocaleString("en");
  return [
    [`Trials over, of ${plain(trials)}`, plain(over)],
    ["Succeeded", plain(good)],
    ["Other ends", plain(over - good)],
    ["Running", plain(underWay - waiting)],
    ["Waiting", plain(waiting)],
    ["Not begun", plain(notBegun)],
    [isNumber(limit) ? `Spent, of ${dollars(limit)}` : "Spent", dollars(usd)],
    [open ? "Time so far" : "Time", lasting(seconds)],
  ];
}

function tilesOfRuns() {
  const over = RUNS.filter((run) => !GOING.includes(run.state));
  const all = [...sums(RUNS, () => "").values()][0] ?? { usd: 0, lost: 0 };
  const best = RUNS.filter((run) => run.state === "succeeded").length;
  return [
    ["Runs", RUNS.length.toLocaleString("en")],
    ["Succeeded", best.toLocaleString("en")],
    ["Other ends", (over.length - best).toLocaleString("en")],
    ["Under way", (RUNS.length - over.length).toLocaleString("en")],
    ["Cost", dollars(all.usd)],
    ["Spent without success", dollars(all.lost)],
  ];
}

/** Draw the costs by month and the ends by cause, of the runs that the filter leaves. */
function drawSums(runs) {
  const months = [
    ...sums(
      runs.filter((run) => run.claimed),
      (run) => run.claimed.slice(0, 7),
    ),
  ]
    .sort()
    .reverse();
  const most = Math.max(...months.map(([, month]) => month.usd), 0) || 1;
  const unpriced = months.reduce((sum, [, month]) => sum + month.unpriced, 0);
  const lacking = unpriced ? `; without ${counted(unpriced, "run")} of unknown cost` : "";
  fill(
    byId("months"),
    make("h2", {}, "Costs by month"),
    make(
      "div",
      { className: "scroll" },
      plainTable(
        `By the month of the launch (UTC)${lacking}`,
        ["Month", "Runs", "Cost", "Without success", ""],
        months.map(([name, month]) => [
          name,
          String(month.runs),
          dollars(month.usd),
          dollars(month.lost),
          bar(month.usd / most),
        ]),
      ),
    ),
  );
  const over = runs.filter((run) => !GOING.includes(run.state));
  const ends = [...sums(over, (run) => `${run.state}, by ${run.by || "nobody"}`)].sort(
    (a, b) => b[1].runs - a[1].runs,
  );
  fill(
    byId("ends"),
    make("h2", {}, "Ends by cause"),
    make(
      "div",
      { className: "scroll" },
      plainTable(
        "How runs ended, and what ended them",
        ["End", "Runs", "Cost", ""],
        ends.map(([name, end]) => [
          name,
          String(end.runs),
          dollars(end.usd),
          bar(end.runs / over.length),
        ]),
      ),
    ),
  );
}
