// Elements and text. All that comes from the data becomes text here, and never markup.

const byId = (id) => document.getElementById(id);

/** Return a new element; `properties` are set on it, children are elements or text. */
function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name === "on")
      for (const [event, heard] of Object.entries(value)) element.addEventListener(event, heard);
    else if (name.includes("-") || name === "role" || name === "for")
      element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const fill = (element, ...children) =>
  element.replaceChildren(...children.filter((child) => child));

const button = (text, click, more) =>
  make("button", { type: "button", on: { click }, ...more }, text);

/** Return a control with its label around it, by which it is also called. */
function labelled(text, control, more) {
  control.setAttribute("aria-label", text); // not the label's whole text: a select's has its options
  return make("label", more, make("span", {}, text), control);
}

/** Return a select of `choices`, each a value and its text. */
function choice(choices, chosen, changed, more) {
  const options = choices.map(([value, text]) =>
    make("option", { value, selected: value === chosen }, text),
  );
  return make(
    "select",
    { on: { change: (event) => changed(event.target.value) }, ...more },
    ...options,
  );
}

const checkbox = (text, checked, changed) =>
  labelled(
    text,
    make("input", {
      type: "checkbox",
      checked,
      on: { change: (event) => changed(event.target.checked) },
    }),
    {
      className: "check",
    },
  );

/** Return a table of text: the first cell of each row is its heading. */
function plainTable(caption, headings, rows) {
  const head = headings.map((text) => make("th", { scope: "col" }, text));
  const body = rows.map(([first, ...rest]) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, first),
      ...rest.map((cell) => make("td", {}, cell)),
    ),
  );
  return make(
    "table",
    {},
    make("caption", {}, caption),
    make("thead", {}, make("tr", {}, ...head)),
    make("tbody", {}, ...body),
  );
}

/** Return a bar for a share of the whole, 0 to 1; the number beside it says the same. */
function bar(share) {
  const inner = make("span", { className: "bar", "aria-hidden": "true" });
  inner.style.width = `${Math.max(0.5, 100 * share)}%`;
  return make("span", { className: "bars" }, inner);
}

// --- Text ------------------------------------------------------------------------------------------

const NOTHING = "–";
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const counted = (number, one, many) =>
  `${number.toLocaleString("en")} ${number === 1 ? one : (many ?? `${one}s`)}`;

/** A run's number as a person reads it: six digits that count. */
function numberText(value) {
  if (value === null) return "NaN"; // what JSON has no word for
  if (!isNumber(value)) return value === undefined ? NOTHING : String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  return String(Number(value.toPrecision(5)));
}

const dollars = (usd) =>
  isNumber(usd) ? `$${usd.toFixed(usd !== 0 && Math.abs(usd) < 1 ? 4 : 2)}` : NOTHING;

/** An ISO 8601 time in UTC, to the minute. */
const moment = (text) => (text ? text.slice(0, 16).replace("T", " ") : NOTHING);

function lasting(seconds) {
  if (!isNumber(seconds)) return NOTHING;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
