// The table of runs: filters, order, columns and pages. Only one page of rows is ever in the document.

const PAGE = 50;
const narrow = matchMedia("(max-width: 640px)").matches;
const view = {
  filter: { find: "", job: "", grid: "", state: "" },
  columns: columnsOf(narrow),
  sort: GRID ? "" : "claimed", // of a grid the best come first, as they are
  down: true,
  page: 0,
  runs: RUNS, // those that the filter leaves, in order
  chosen: new Set(comparedAtFirst()),
};

function drawFilters() {
  const jobs = [...new Set(RUNS.map((run) => run.job))].sort();
  const grids = [...new Set(RUNS.map((run) => run.grid).filter(Boolean))];
  const states = [...new Set(RUNS.map((run) => run.state))].sort();
  const all = (text, names) => [["", text], ...names.map((name) => [name, name])];
  const set = (name) => (value) => {
    view.filter[name] = value;
    view.page = 0;
    refresh();
  };
  const find = make("input", {
    type: "search",
    id: "find",
    placeholder: "id, parameter=value, reason …",
    on: { input: (event) => set("find")(event.target.value) },
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  fill(
    byId("filters"),
    labelled("Find", find, { className: "wide" }),
    jobs.length > 1 && labelled("Job", choice(all("all jobs", jobs), "", set("job"))),
    !GRID &&
      grids.length > 0 &&
      labelled("Grid", choice(all("all runs", grids), "", set("grid"))),
    labelled(
      "State",
      choice(
        [["", "all states"], ["under way", "under way"], ...states.map((name) => [name, name])],
        "",
        set("state"),
      ),
    ),
    columnChooser(),
    button(`Compare the first ${FIRST}`, compareFirst),
    button("Compare none", () => compareOnly([])),
  );
}

function columnChooser() {
  const boxes = view.columns.slice(1).map((column) =>
    checkbox(column.title, column.shown, (checked) => {
      column.shown = checked;
      drawTable();
    }),
  );
  return make(
    "details",
    { className: "menu" },
    make("summary", {}, "Columns"),
    make("div", { className: "checks" }, ...boxes),
  );
}

/** Find the runs to show again, and draw all that depends on them. */
function refresh() {
  const column = view.columns.find((one) => one.key === view.sort);
  const left = filtered(view.filter).filter((run) => isChosen(chart.axes, run));
  view.runs = column ? ordered(left, column, view.down) : left;
  drawTable();
  drawSums(view.runs);
  drawGridAgain();
}

function drawTable() {
  const columns = view.columns.filter((column) => column.shown);
  const from = view.page * PAGE;
  const rows = view.runs.slice(from, from + PAGE);
  const of = view.runs.length === RUNS.length ? "" : ` of ${RUNS.length.toLocaleString("en")}`;
  byId("shown").textContent =
    `${counted(view.runs.length, GRID ? "trial" : "run")}${of}; ${view.chosen.size} compared`;
  fill(
    byId("table"),
    make("caption", { className: "hidden" }, "Runs; the headings are buttons that sort"),
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        make("th", { scope: "col" }, make("span", { className: "hidden" }, "Compare")),
        ...columns.map(heading),
      ),
    ),
    make("tbody", {}, ...rows.map((run) => Object.assign(rowOf(run, columns), { run }))),
  );
  drawPages(from, rows.length);
}

function heading(column) {
  const sorted = view.sort === column.key;
  const order = sorted ? (view.down ? "descending" : "ascending") : "none";
  const mark = make(
    "span",
    { "aria-hidden": "true", className: "mark" },
    sorted ? (view.down ? "▼" : "▲") : "",
  );
  const sort = button("", () => sortBy(column.key), {
    id: `sort ${column.key}`,
    title: column.kind ?? "",
  });
  sort.append(column.title, mark);
  return make("th", { scope: "col", "aria-sort": order }, sort);
}

function sortBy(key) {
  const up = ["id", "job", "state", "trial", GRID?.goal === "min" && `metrics ${GRID.metric}`];
  view.down = view.sort === key ? !view.down : !up.includes(key);
  view.sort = key;
  view.page = 0;
  refresh();
  byId(`sort ${key}`).focus();
}

function rowOf(run, columns) {
  const tick = make("input", {
    type: "checkbox",
    checked: view.chosen.has(run),
    "aria-label": `compare ${run.id}`,
    on: { change: (event) => compare(run, event.target) },
  });
  const open = button(run.id, () => showRun(run), {
    className: "link",
    title: "all that is here of this run",
  });
  const cells = columns
    .slice(1)
    .map((column) => make("td", { title: column.text(run) }, cellOf(run, column)));
  const best = run.id === GRID?.best?.id ? make("span", { className: "best" }, "best") : null;
  return make("tr", {}, make("td", {}, tick), make("th", { scope: "row" }, open, best), ...cells);
}

function cellOf(run, column) {
  const text = column.text(run);
  return column.key === "state" ? make("span", { className: `state ${run.state}` }, text) : text;
}

function drawPages(from, count) {
  const last = Math.max(0, Math.ceil(view.runs.length / PAGE) - 1);
  const turn = (to, id) => () => {
    view.page = to;
    drawTable();
    byId(byId(id).disabled ? (id === "on" ? "back" : "on") : id).focus();
  };
  const where = count
    ? `${from + 1} to ${from + count} of ${view.runs.length.toLocaleString("en")}`
    : "no run";
  fill(
    byId("pages"),
    last > 0 &&
      button("Previous page", turn(view.page - 1, "back"), {
        id: "back",
        disabled: view.page === 0,
      }),
    make("span", {}, where),
    last > 0 &&
      button("Next page", turn(view.page + 1, "on"), { id: "on", disabled: view.page === last }),
  );
}

// --- Which runs are compared -----------------------------------------------------------------------

function compare(run, tick) {
  if (tick.checked && view.chosen.size >= COMPARED) {
    tick.checked = false;
    byId("shown").textContent =
      `${COMPARED} runs are compared already, and that is the most: take one out first`;
    return;
  }
  if (tick.checked) view.chosen.add(run);
  else view.chosen.delete(run);
  drawCompared();
}

function compareOnly(runs) {
  view.chosen = new Set(runs);
  drawTable();
  drawCompared();
}

/** Compare the first runs of the table as it is filtered and sorted, of those that have curves if any has. */
function compareFirst() {
  const curved = view.runs.filter((run) => run.curves?.length);
  compareOnly((curved.length ? curved : view.runs).slice(0, FIRST));
}
