// The runs, and which of them are shown in which order. Nothing here touches the page.

const DATA = JSON.parse(document.getElementById("data").textContent);
const RUNS = DATA.runs.map((run, place) => Object.assign(run, { place }));
const COMPARED = 10; // at most: as many as there are colours
const FIRST = 6; // so many at first
const GOING = ["launching", "accepted", "running", "relaunching", "ending", "queued"];

/** Return what an object of the data has of that name: a trainer may call a metric "constructor". */
const own = (object, name) => (object && Object.hasOwn(object, name) ? object[name] : undefined);

/** Return the names in one field of the runs, the one that most runs have first. */
function namesOf(runs, field) {
  const counts = new Map();
  for (const run of runs)
    for (const name of Object.keys(run[field] ?? {})) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([name]) => name);
}

/** Return the names of a field in whose values the runs are not all alike. */
function differing(runs, field) {
  return namesOf(runs, field).filter(
    (name) => new Set(runs.map((run) => own(run[field], name))).size > 1,
  );
}

const METRICS = first(DATA.grid?.metric, namesOf(RUNS, "metrics"));
const PARAMETERS = first(DATA.grid?.parameters, differing(RUNS, "parameters"));
const IN_GRIDS = RUNS.some((run) => run.grid);
const SEVERAL_JOBS = new Set(RUNS.map((run) => run.job)).size > 1;

/** Return `names` with some of them, those of a grid, before the others. */
function first(some, names) {
  return [...new Set([some ?? [], names].flat())];
}

/** The table's columns, the first of which is always shown: a title, the value to sort by, its text, and whether it is shown at first. */
function columnsOf(narrow) {
  const few = (count, wide) => (narrow ? count : wide);
  const fixed = (key, title, shown, text) => ({
    key,
    title,
    shown,
    value: (run) => run[key],
    text,
  });
  const named = (field, name, shown) => {
    const value = (run) => own(run[field], name);
    const both = field === "parameters" && METRICS.includes(name);
    return {
      key: `${field} ${name}`,
      title: both ? `${name} (parameter)` : name,
      shown,
      value,
      text: (run) => numberText(value(run)),
      kind: field,
    };
  };
  const about = [
    fixed("claimed", "Launched (UTC)", !narrow && !DATA.grid, (run) => moment(run.claimed)),
    fixed("seconds", "Took", !narrow, (run) => lasting(run.seconds)),
    fixed("usd", "Cost", true, (run) => dollars(run.usd)),
  ];
  const metrics = METRICS.map((name, place) =>
    named("metrics", name, place < (DATA.grid ? 1 : few(1, 5))),
  );
  const shown = DATA.grid ? few(2, DATA.grid.parameters.length) : few(0, 4);
  const parameters = PARAMETERS.map((name, place) => named("parameters", name, place < shown));
  return [
    fixed("id", "Run", true, (run) => run.id),
    fixed("job", "Job", SEVERAL_JOBS && !narrow, (run) => run.job),
    ...(IN_GRIDS ? [fixed("trial", "Trial", Boolean(DATA.grid), (run) => numberText(run.trial))] : []),
    fixed("state", "State", true, (run) => run.state),
    ...(DATA.grid ? [...metrics, ...parameters, ...about] : [...about, ...metrics, ...parameters]),
    fixed("machine", "Machine", !narrow && !DATA.grid, (run) => run.machine ?? NOTHING),
    fixed("market", "Market", false, (run) => run.market ?? NOTHING),
    fixed("by", "Ended by", false, (run) => run.by ?? NOTHING),
    fixed("trigger", "Started by", false, (run) => run.trigger ?? NOTHING),
    fixed("attempts", "Machines", false, (run) => numberText(run.attempts)),
    fixed("why", "Why", !narrow, (run) => run.why ?? NOTHING),
  ];
}

// --- Filter and order ------------------------------------------------------------------------------

const texts = new Map(); // what a run is found by, made when it is first asked for

function textOf(run) {
  if (!texts.has(run)) {
    const values = ["id", "job", "state", "by", "why", "machine", "market", "trigger", "grid"].map(
      (key) => run[key] ?? "",
    );
    for (const [name, value] of Object.entries(run.parameters ?? {}))
      values.push(`${name}=${value}`);
    texts.set(run, values.join("\n").toLowerCase());
  }
  return texts.get(run);
}

/** Return the runs that have every word of `find`, and the job, grid and state if one is named. */
function filtered({ find, job, grid, state }) {
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  return RUNS.filter(
    (run) =>
      (!job || run.job === job) &&
      (!grid || run.grid === grid) &&
      (!state || run.state === state || (state === "under way" && GOING.includes(run.state))) &&
      words.every((word) => textOf(run).includes(word)),
  );
}

const asNumber = (value) =>
  typeof value === "string" && value.trim() !== "" ? Number(value) : value;

/** Compare two values: numbers by size, also those that are text (parameters), text by its letters. */
function compared(a, b) {
  const [first, second] = [asNumber(a), asNumber(b)];
  if (isNumber(first) && isNumber(second)) return first - second;
  if (isNumber(first) !== isNumber(second)) return isNumber(first) ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Return `runs` in the order of a column; those without a value come last either way. */
function ordered(runs, column, down) {
  const lacks = (value) => value === undefined || value === null || value === "";
  const pairs = runs.map((run) => [column.value(run), run]);
  pairs.sort(([a], [b]) => {
    if (lacks(a) || lacks(b)) return lacks(a) - lacks(b);
    return down ? compared(b, a) : compared(a, b);
  });
  return pairs.map(([, run]) => run);
}

/** Return the runs that are compared at first: the newest ones that have curves. */
const comparedAtFirst = () => RUNS.filter((run) => run.curves?.length).slice(0, FIRST);

/** Return sums by what `nameOf` calls each run, in the order in which they are met. */
function sums(runs, nameOf) {
  const groups = new Map();
  for (const run of runs) {
    const name = nameOf(run);
    const group = groups.get(name) ?? { runs: 0, usd: 0, lost: 0, unpriced: 0 };
    group.runs += 1;
    if (isNumber(run.usd)) group.usd += run.usd;
    else if (run.claimed && !["launch-failed", "skipped"].includes(run.state)) group.unpriced += 1;
    if (isNumber(run.usd) && run.state !== "succeeded" && !GOING.includes(run.state))
      group.lost += run.usd;
    groups.set(name, group);
  }
  return groups;
}
