// One run in full, in a dialog: Escape closes it, and the focus goes back to where it was.

function showRun(run) {
  const dialog = byId("run");
  const facts = [
    ["Job", run.job],
    ["State", run.state],
    ["Why", run.why],
    ["Ended by", run.by],
    ["Started by", run.trigger],
    ["Launched", run.claimed],
    ["Training began", run.began],
    ["Training ended", run.ended],
    ["Took", isNumber(run.seconds) && lasting(run.seconds)],
    ["Cost", isNumber(run.usd) && dollars(run.usd) + (GOING.includes(run.state) ? " so far" : "")],
    ["Machine", [run.machine, run.market].filter(Boolean).join(", ")],
    ["Machines", run.attempts > 1 && String(run.attempts)],
  ].filter(([, value]) => value);
  fill(
    dialog,
    make(
      "div",
      { className: "bar-of-dialog" },
      make("h2", { id: "run-title" }, run.id),
      button("Close", () => dialog.close(), { className: "close" }),
    ),
    make(
      "dl",
      { className: "facts" },
      ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
    ),
    make(
      "div",
      { className: "side" },
      pairs("Parameters", run.parameters),
      pairs("Metrics, the last values", run.metrics),
    ),
    ...picturesOf(run),
    ...listOf("Attempts", run.lines),
    ...listOf("Warnings", run.warnings),
    ...listOf("Not in this report", run.lacking),
    ...textOfLog(run),
    json("Receipt (run.json)", run.receipt),
    json("Outcome (outcome.json)", run.outcome),
    ...listOf("Next, in a terminal", run.next, "commands"),
  );
  dialog.showModal();
  dialog.scrollTop = 0;
  const log = dialog.querySelector("pre.log");
  if (log) log.scrollTop = log.scrollHeight; // its last lines say how it ended
}

function pairs(title, values) {
  const rows = Object.entries(values ?? {}).map(([name, value]) => [name, numberText(value)]);
  return rows.length ? plainTable(title, ["Name", "Value"], rows) : null;
}

function listOf(title, texts, className = "") {
  if (!texts?.length) return [];
  return [
    make("h3", {}, title),
    make("ul", { className }, ...texts.map((text) => make("li", {}, text))),
  ];
}

function picturesOf(run) {
  if (!run.images?.length) return [];
  const figures = run.images.map(({ name, type, base64 }) => {
    const picture = make("img", {
      alt: name,
      src: `data:${type};base64,${base64}`,
      loading: "lazy",
    });
    const large = button(
      "",
      () => large.setAttribute("aria-pressed", String(picture.classList.toggle("large"))),
      {
        className: "picture",
        "aria-label": `${name}, larger or smaller`,
        "aria-pressed": "false",
      },
    );
    large.append(picture);
    return make("figure", {}, large, make("figcaption", {}, name));
  });
  return [
    make("h3", {}, "Images of its output"),
    make("div", { className: "pictures" }, ...figures),
  ];
}

function textOfLog(run) {
  if (!run.log) return [];
  return [
    make("h3", {}, "The end of its log"),
    make("pre", { className: "log", tabIndex: 0, "aria-label": "the end of its log" }, run.log),
  ];
}

function json(title, value) {
  if (!value) return null;
  const text = JSON.stringify(value, null, 2);
  return make(
    "details",
    {},
    make("summary", {}, title),
    make("pre", { tabIndex: 0, "aria-label": title }, text),
  );
}
