"""What the report does in a browser. Runs in `.venv-browser`, so it imports nothing of ours.

Called by ``python -m tests.browser`` with the folder of the pages and Chromium's program.
"""

from __future__ import annotations

import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from playwright.sync_api import Error, sync_playwright

SECONDS = 2.0
"""Of processor time, in which 10,000 runs are open: a busy machine's clock says nothing."""
SORT_SECONDS = 0.75
"""Of processor time, in which they are sorted and drawn anew."""
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


class Browser:
    """Chromium, and what the pages said and asked for."""

    def __init__(self, chromium: Any, folder: Path) -> None:
        self.chromium, self.folder = chromium, folder
        self.said: list[str] = []

    @contextmanager
    def page(self, name: str, **options: Any) -> Iterator[Any]:
        """Open one of the pages, and demand that it says nothing and asks for nothing."""
        context = self.chromium.new_context(
            **{"viewport": {"width": 1280, "height": 900}, **options}
        )
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: self.said.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.said.append(f"dialog: {dialog.message}"))
        own = (self.folder / f"{name}.html").as_uri()
        page.on("request", lambda request: self._heard(request.url, own))
        page.goto(own)
        page.wait_for_selector("html[data-drawn]", state="attached")
        yield page
        assert self.said == [], self.said
        context.close()

    def _heard(self, url: str, own: str) -> None:
        if url.split("#")[0] != own and not url.startswith("data:"):
            self.said.append(f"request: {url}")


def column(page: Any, title: str) -> list[str]:
    """Return the texts of a column of the table of runs."""
    titles = [text.rstrip("▲▼") for text in page.locator("#table thead th").all_inner_texts()]
    place = titles.index(title) + 1
    found = page.locator(f"#table tbody tr > :nth-child({place})").all_inner_texts()
    return [str(text) for text in found]


def heading(page: Any, title: str) -> Any:
    return page.locator("#table thead th").filter(has=page.get_by_role("button", name=title))


def sorts(browser: Browser) -> None:
    """A heading sorts its column, the other way when pressed again, and says so to all."""
    with browser.page("sample") as page:
        claimed = column(page, "Launched (UTC)")
        assert claimed == sorted(claimed, reverse=True)
        best = heading(page, "accuracy").first
        best.get_by_role("button").click()
        values = [float(text) for text in column(page, "accuracy")]
        assert values == sorted(values, reverse=True)
        assert best.get_attribute("aria-sort") == "descending"
        best.get_by_role("button").click()
        assert [float(text) for text in column(page, "accuracy")] == sorted(values)
        assert best.get_attribute("aria-sort") == "ascending"
        heading(page, "learning-rate").first.get_by_role("button").click()
        sorted_once = page.locator("#table th[aria-sort=descending]")
        assert sorted_once.count() == 1


def filters(browser: Browser) -> None:
    """Words, a job and a state leave the runs that have all of them; the sums follow."""
    with browser.page("sample") as page:
        page.locator("select[aria-label=State]").select_option("failed")
        assert set(column(page, "State")) == {"failed"}
        count = len(column(page, "State"))
        assert page.locator("#shown").inner_text().startswith(f"{count} runs of 30")
        assert page.locator("#months tbody td").first.inner_text() == str(count)
        page.locator("select[aria-label=State]").select_option("")
        page.get_by_label("Find", exact=True).fill("learning-rate=0.001 succeeded")
        assert set(column(page, "State")) == {"succeeded"}
        assert set(column(page, "learning-rate (parameter)")) == {"0.001"}
        page.get_by_label("Find", exact=True).fill("no such run")
        assert page.locator("#table tbody tr").count() == 0
        assert page.locator("#shown").inner_text().startswith("0 runs of 30")


def sums(browser: Browser) -> None:
    """Costs by month and ends by cause are the sums of the runs in the table."""
    with browser.page("sample") as page:
        runs = "JSON.parse(document.getElementById('data').textContent).runs"
        known = page.evaluate(runs)
        cells = [[text.strip() for text in row] for row in rows(page, "#months")]
        assert sum(int(row[1]) for row in cells) == len(known) == 30
        for month, count, usd, *_ in cells:
            mine = [run for run in known if run["claimed"].startswith(month)]
            assert len(mine) == int(count)
            assert abs(sum(run.get("usd") or 0 for run in mine) - dollars(usd)) < 0.01
        ends = {row[0]: int(row[1]) for row in rows(page, "#ends")}
        over = [f"{run['state']}, by {run['by']}" for run in known if run.get("by")]
        assert ends == {name: over.count(name) for name in over}
        page.locator("select[aria-label=State]").select_option("failed")
        assert [row[0] for row in rows(page, "#ends")] == ["failed, by trainer"]


def rows(page: Any, place: str) -> list[list[str]]:
    """Return the texts of a small table's cells."""
    found = page.locator(f"{place} tbody tr").all()
    return [row.locator("th, td").all_inner_texts() for row in found]


def dollars(text: str) -> float:
    return float(text.replace("$", "").replace(",", ""))


def leaves_gaps(browser: Browser) -> None:
    """A value that is no number is a gap in its curve; a step that only another run has is none."""
    with browser.page("gap") as page:
        ink = """(canvas) => {
          const box = canvas.closest("figure").querySelector(".u-over").getBoundingClientRect();
          const own = canvas.getBoundingClientRect(), scale = canvas.width / own.width;
          const [x, y] = [(box.x - own.x) * scale, (box.y - own.y) * scale];
          const [width, height] = [Math.floor(box.width * scale), Math.floor(box.height * scale)];
          const { data } = canvas.getContext("2d").getImageData(x, y, width, height);
          const coloured = (at) => Math.max(...data.slice(at, at + 3)) -
            Math.min(...data.slice(at, at + 3)) > 40 && data[at + 3] > 100;
          return [...Array(width).keys()].map((column) =>
            [...Array(height).keys()].some((row) => coloured(4 * (row * width + column))));
        }"""
        picture(page)
        columns = page.locator("#charts canvas").first.evaluate(ink)
        inked = [at / len(columns) for at, has_ink in enumerate(columns) if has_ink]
        gaps = sorted(after - before for before, after in pairwise(inked))
        assert min(inked) < 0.1
        assert max(inked) > 0.9
        assert gaps[-1] > 0.2 > 0.05 > gaps[-2], gaps[-3:]


def compares(browser: Browser) -> None:
    """The best runs are found and laid over each other, and what differs is shown."""
    with browser.page("sample") as page:
        assert page.locator("#legend li").count() == 6
        heading(page, "accuracy").first.get_by_role("button").click()
        page.get_by_role("button", name="Compare the first 6").click()
        best = column(page, "Run")[:6]
        legend = page.locator("#legend li .link").all_inner_texts()
        assert sorted(legend) == sorted(best)
        heads = page.locator("#differences thead th").all_inner_texts()
        assert sorted(heads[1:]) == sorted(best)
        assert "batch-size" in page.locator("#differences tbody th").all_inner_texts()
        page.locator("#legend .out").first.click()
        assert page.locator("#legend li").count() == 5
        page.get_by_role("button", name="Compare none").click()
        assert "None of the runs" in page.locator("#charts").inner_text()
        for tick in page.locator("#table tbody input").all()[:11]:
            tick.click()
        assert page.locator("#table tbody input:checked").count() == 10
        assert "that is the most" in page.locator("#shown").inner_text()


def draws_and_zooms(browser: Browser) -> None:
    """There is ink in each chart, which a drag and the buttons zoom."""
    with browser.page("sample") as page:
        charts = page.locator("#charts figure")
        assert charts.count() == 4
        inked = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)"
        assert all(canvas.evaluate(inked) for canvas in page.locator("#charts canvas").all())
        whole = picture(page)
        charts.first.scroll_into_view_if_needed()
        box = charts.first.locator(".u-over").bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 40, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + 150, middle, steps=5)
        page.mouse.up()
        zoomed = picture(page)
        assert zoomed != whole
        page.mouse.move(5, 5)
        charts.first.get_by_role("button", name="show all of loss").click()
        assert picture(page) == whole
        charts.first.get_by_role("button", name="zoom into loss").press("Enter")
        assert picture(page) != whole
        for name, value in (("Along", "time"), ("Of", "machineCurves")):
            before = picture(page)
            page.get_by_label(name, exact=True).select_option(value)
            assert picture(page) != before, name
        assert "cpu-percent" in page.locator("#charts").inner_text()
        page.get_by_label("logarithmic").check()
        page.get_by_label("Smooth").fill("0.9")


def picture(page: Any, chart: str = "#charts canvas") -> str:
    """Return the first chart's pixels, once they are drawn."""
    drawn(page)
    return str(page.locator(chart).first.evaluate("(canvas) => canvas.toDataURL()"))


def drawn(page: Any) -> None:
    """Wait until the page has drawn what is to be drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")


def shows_one_run(browser: Browser) -> None:
    """A run opens in a dialog, with its log, image and receipt; Escape leads back."""
    with browser.page("sample") as page:
        opener = page.locator("#table tbody .link").nth(2)
        name = opener.inner_text()
        opener.focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name=name)
        text = dialog.inner_text()
        for said in (
            "learning-rate",
            "epoch  1: loss",
            f"make results RUN={name}",
            "confusion.png",
        ):
            assert said in text, said
        assert dialog.locator("img").evaluate("(image) => image.naturalWidth") == 96
        dialog.get_by_text("Receipt (run.json)").click()
        assert '"batch-size"' in dialog.inner_text()
        page.keyboard.press("Escape")
        assert not page.locator("#run").evaluate("(dialog) => dialog.open")
        assert page.evaluate("document.activeElement.textContent") == name


NAMELESS = """() => [...document.querySelectorAll(
        "button, input, select, summary, img, canvas[role]")]
    .filter((e) => e.checkVisibility?.() !== false)
    .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.alt))
    .map((e) => e.outerHTML)"""
"""What a person can use, and has no name."""


def keyboard_and_names(browser: Browser) -> None:
    """Each control has a name, can be reached by the keyboard, and shows that it is."""
    for name in ("grid", "sample"):
        with browser.page(name) as page:
            assert page.evaluate(NAMELESS) == []
            ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
            assert len(ids) == len(set(ids))
    with browser.page("sample") as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the runs"
        rings = set()
        for _ in range(12):
            page.keyboard.press("Tab")
            rings.add(page.evaluate("getComputedStyle(document.activeElement).outlineStyle"))
        assert rings == {"solid"}
        heads = page.locator("#table thead th")
        assert all(head.get_attribute("scope") == "col" for head in heads.all())
        assert page.locator("#table tbody th[scope=row]").count() == 30


def dark_and_light(browser: Browser) -> None:
    """The page follows the system's colours, also while it is open, and can be read in both."""
    for scheme, pale in (("light", False), ("dark", True)):
        with browser.page("sample", color_scheme=scheme) as page:
            style = "getComputedStyle(document.body)"
            back, text = page.evaluate(f"[{style}.backgroundColor, {style}.color]")
            assert (light(text) > light(back)) is pale
            assert contrast(text, back) > 7
            for part in ("header p", ".state.succeeded", ".state.failed", ".link"):
                colour = page.locator(part).first.evaluate("(e) => getComputedStyle(e).color")
                assert contrast(colour, back) > 4.5, (scheme, part)
            before = picture(page)
            page.emulate_media(color_scheme="light" if pale else "dark")
            assert picture(page) != before


def light(colour: str) -> float:
    """Return a colour's relative luminance (WCAG 2.2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours (WCAG 2.2)."""
    dark, pale = sorted([light(one), light(other)])
    return (pale + 0.05) / (dark + 0.05)


def phone(browser: Browser) -> None:
    """On a phone nothing is wider than the screen but tables, which scroll by themselves."""
    for name in ("sample", "hostile"):
        with browser.page(name, viewport=PHONE, is_mobile=True, has_touch=True) as page:
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
            assert page.locator("#charts canvas").first.bounding_box()["width"] <= PHONE["width"]
            page.locator("#table tbody .link").first.tap()
            box = page.locator("#run").bounding_box()
            assert box["width"] <= PHONE["width"]
            assert page.locator("#run").evaluate("(e) => e.scrollWidth <= e.clientWidth")


def hostile(browser: Browser) -> None:
    """What a trainer wrote is text wherever it is shown."""
    with browser.page("hostile") as page:
        for opener in page.locator("#table tbody .link").all():
            opener.click()
            for more in page.locator("#run details summary").all():
                more.click()
            assert page.locator("#run :is(script, svg, iframe, a)").count() == 0
            assert page.locator("#run img:not([src^='data:image/'])").count() == 0
            page.keyboard.press("Escape")
        page.locator("#filters summary").click()
        for box in page.locator("#filters .checks input").all():
            box.check()
        page.locator("#axes summary").click()
        for box in page.locator("#axes .checks input").all():
            box.check()
        assert "</script><script>window.pwned = 2</script>" in page.locator("#notes").inner_text()
        assert (
            page.locator("body :is(a, iframe, img)").count() == 1 + page.locator("#run img").count()
        )
        assert page.evaluate("window.pwned") is None
        assert page.evaluate("({}).loss") is None
        assert page.title() == "Runs of parris"


def many(browser: Browser) -> None:
    """Ten thousand runs are open in under two seconds, sort at once and turn their pages."""
    with browser.page("many") as page:
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        seconds = processor_time(session)
        print(f"  10,000 runs: {seconds:.2f} s of processor time", flush=True)
        assert seconds < SECONDS
        assert page.locator("#table tbody tr").count() == 50
        first = column(page, "Run")
        page.get_by_role("button", name="Next page").click()
        assert not set(first) & set(column(page, "Run"))
        assert "51 to 100 of 10,000" in page.locator("#pages").inner_text()
        button = heading(page, "Cost").first.get_by_role("button")
        button.hover()
        drawn(page)
        began = processor_time(session)
        button.click()
        drawn(page)
        seconds = processor_time(session) - began
        print(f"  to sort them: {seconds:.2f} s of processor time", flush=True)
        assert seconds < SORT_SECONDS
        costs = [float(text.lstrip("$")) for text in column(page, "Cost")]
        assert costs == sorted(costs, reverse=True)


def processor_time(session: Any) -> float:
    """Return the seconds that the page's own process has worked (CDP, Performance.getMetrics)."""
    measured = session.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in measured if one["name"] == "ProcessTime"))


def little(browser: Browser) -> None:
    """One run, or one that never came to exist, is a page too."""
    for name in ("one", "bare"):
        with browser.page(name) as page:
            assert page.locator("#table tbody tr").count() == 1
            page.locator("#table tbody .link").click()


# --- A page of one grid ---------------------------------------------------------------------------


def names_the_best(browser: Browser) -> None:
    """The best trial is first, with its parameters and the commands that run it again."""
    for name, metric, order in (("grid", "accuracy", max), ("grid-low", "loss", min)):
        with browser.page(name) as page:
            data = page.evaluate("JSON.parse(document.getElementById('data').textContent)")
            known = [run for run in data["runs"] if run["metrics"].get(metric)]
            best = order(known, key=lambda run: run["metrics"][metric])
            said = page.locator("#best").inner_text()
            assert f"trial {best['trial']}, {best['id']}" in said
            for name_of, value in best["parameters"].items():
                assert f"{name_of}={value}" in said
            commands = page.locator("#best .command").all_inner_texts()
            assert commands == [one["command"] for one in data["grid"]["best"]["again"]]
            assert commands[1] == f"make rerun RUN={best['id']} PARAMETERS='epochs=40'"
            assert column(page, "Run")[0] == f"{best['id']}best"
            shown = column(page, metric)
            assert all(float(text) for text in shown[: len(known)])
            assert set(shown[len(known) :]) == {"\u2013", "NaN"}
            head = page.locator("#totals").inner_text()
            assert "Trials over, of 43\n36" in head
            assert "Spent, of $25.00\n$5.82" in head
            page.locator("#best .link").click()
            assert page.locator("#run-title").inner_text() == best["id"]


def draws_the_axes(browser: Browser) -> None:
    """Each parameter has an axis of its kind, the metric the last one, and the trials ink."""
    with browser.page("grid") as page:
        page.get_by_text("Axes", exact=True).click()
        kinds = {row[0]: row[1] for row in rows(page, "#axis-table")}
        assert kinds == {
            "learning-rate": "numbers, logarithmic",
            "batch-size": "numbers",
            "optimizer": "words",
            "augment": "words",
            "dropout": "numbers",
            "accuracy": "numbers",
        }
        key = page.locator("#key").inner_text()
        for said in ("28 trials by accuracy", "4 ended without", "8 without accuracy", "(best)"):
            assert said in key, (said, key)
        assert set(ink_between(page, 4.5, 5)) == {True}
        shown = picture(page, LINES)
        page.get_by_label("Last axis").select_option("loss")
        assert rows(page, "#axis-table")[-1][0] == "loss"
        assert picture(page, LINES) != shown
        page.get_by_label("Last axis").select_option("accuracy")
        assert picture(page, LINES) == shown
    with browser.page("grid-bare") as page:  # lines that end before the last axis
        assert "2 without accuracy" in page.locator("#key").inner_text()
        assert set(ink_between(page, 4, 4.3)) == {True}
        assert set(ink_between(page, 4.5, 5)) == {False}


LINES = "#lines canvas"
EDGES = 84, 92
"""Pixels beside the first axis and the last one (lines.js)."""


def axis_x(page: Any, place: float, axes: int = 6) -> float:
    """Return where an axis of the grid's chart is in the window, or what lies between two."""
    box = page.locator(LINES).bounding_box()
    return float(box["x"] + EDGES[0] + place * (box["width"] - sum(EDGES)) / (axes - 1))


def ink_between(page: Any, first: float, last: float) -> list[bool]:
    """Return of each column of pixels between two axes whether there is anything drawn."""
    box = page.locator(LINES).bounding_box()
    edge = 12 / (box["width"] - sum(EDGES)) * 5  # ticks
    ends = [axis_x(page, first + edge) - box["x"], axis_x(page, last - edge) - box["x"]]
    columns = """(canvas, [from, to]) => {
      const scale = canvas.width / canvas.getBoundingClientRect().width;
      const [left, width] = [Math.ceil(from * scale), Math.floor((to - from) * scale)];
      const top = Math.ceil(40 * scale);
      const copy = new OffscreenCanvas(canvas.width, canvas.height);
      const context = copy.getContext("2d", { willReadFrequently: true });
      context.drawImage(canvas, 0, 0);
      const ink = context.getImageData(left, top, width, canvas.height - top).data;
      return [...Array(width).keys()].map((x) =>
        [...Array(canvas.height - top).keys()].some((y) => ink[4 * (y * width + x) + 3] > 0));
    }"""
    return [bool(one) for one in page.locator(LINES).evaluate(columns, ends)]


def drag(page: Any, place: int, began: float, ended: float) -> None:
    """Drag along an axis, from and to so many pixels below the chart's top."""
    x, top = axis_x(page, place), page.locator(LINES).bounding_box()["y"]
    page.mouse.move(x, top + began)
    page.mouse.down()
    page.mouse.move(x, top + ended, steps=5)
    page.mouse.up()
    drawn(page)


def chooses_by_dragging(browser: Browser) -> None:
    """A drag along an axis leaves lines and rows of trials within it; a press leaves all again."""
    with browser.page("grid") as page:
        page.locator(LINES).scroll_into_view_if_needed()
        whole = picture(page, LINES)
        drag(page, 0, 120, 240)
        low, high = (float(page.get_by_label(end, exact=True).input_value()) for end in ENDS)
        rates = [float(text) for text in column(page, "learning-rate")]
        assert 0 < len(rates) < 40
        assert all(low <= rate <= high for rate in rates)
        all_rates = page.evaluate(
            "JSON.parse(document.getElementById('data').textContent).runs"
            ".map((run) => Number(run.parameters['learning-rate']))"
        )
        assert len(rates) == sum(low <= rate <= high for rate in all_rates)
        assert page.locator("#shown").inner_text().startswith(f"{len(rates)} trials of 40")
        numbers = re.findall(r"(\d+) (?:trials?|ended|without)", page.locator("#key").inner_text())
        assert sum(map(int, numbers)) == len(rates)
        assert picture(page, LINES) != whole

        drag(page, 0, 180, 200)  # moves it
        moved = float(page.get_by_label("from", exact=True).input_value())
        assert moved < low
        drag(page, 2, 30, 80)  # and words, at the top of their axis
        assert set(column(page, "optimizer")) == {"adam"}
        assert page.locator("#choosing .chosen").all_inner_texts()[1] == "optimizer: adam \u00d7"
        page.mouse.click(axis_x(page, 2), page.locator(LINES).bounding_box()["y"] + 200)
        drawn(page)
        assert len(set(column(page, "optimizer"))) == 3
        page.locator("#choosing .chosen").click()
        drawn(page)
        page.mouse.move(5, 5)
        assert page.locator("#table tbody tr").count() == 40
        assert picture(page, LINES) == whole
        page.get_by_label("Find", exact=True).fill("optimizer=lion")
        assert picture(page, LINES) != whole


ENDS = "from", "to"


def chooses_by_the_keyboard(browser: Browser) -> None:
    """The fields do what a drag does; up and down go from line to line, and Enter opens one."""
    with browser.page("grid") as page:
        page.get_by_label("Choose on").select_option("dropout")
        page.get_by_label("from", exact=True).fill("0.3")
        page.keyboard.press("Enter")
        drawn(page)
        assert min(float(text) for text in column(page, "dropout")) >= 0.3
        count = len(column(page, "dropout"))
        page.get_by_label("from", exact=True).fill("nonsense")
        page.keyboard.press("Tab")
        drawn(page)
        assert len(column(page, "dropout")) == 40 > count
        page.get_by_label("Choose on").select_option("optimizer")
        page.locator("#choosing summary").press("Enter")
        page.locator("#choosing").get_by_label("sgd").press("Space")
        page.locator("#choosing").get_by_label("lion").press("Space")
        assert set(column(page, "optimizer")) == {"adam"}
        page.locator("#choosing summary").press("Enter")
        drawn(page)
        page.get_by_role("button", name="optimizer: adam; choose all of it again").press("Enter")
        drawn(page)
        assert len(set(column(page, "optimizer"))) == 3

        before = picture(page, LINES)
        page.locator(LINES).focus()
        page.keyboard.press("ArrowDown")
        near = page.locator("#near").inner_text()
        assert near.startswith("trial 1, the best: succeeded, accuracy 0.98813; learning-rate=")
        assert picture(page, LINES) != before
        page.keyboard.press("ArrowDown")
        second = column(page, "Trial")[1]
        assert page.locator("#near").inner_text().startswith(f"trial {second}: succeeded")
        page.keyboard.press("Enter")
        assert page.locator("#run-title").inner_text() == column(page, "Run")[1]
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        assert page.locator("#near").inner_text().strip() == ""
        assert picture(page, LINES) == before


def points_at_lines(browser: Browser) -> None:
    """The line under the pointer stands out, and opens; so does that of the row under it."""
    with browser.page("grid") as page:
        page.locator(LINES).scroll_into_view_if_needed()
        before, top = picture(page, LINES), page.locator(LINES).bounding_box()["y"]
        page.mouse.move(axis_x(page, 1.5), top + 47)  # the line between both axes' highest values
        near = page.locator("#near").inner_text()
        assert "batch-size=128 optimizer=adam" in near
        assert picture(page, LINES) != before
        page.mouse.down()
        page.mouse.up()
        number = re.findall(r"trial (\d+)", near)[0]
        assert page.locator("#run-title").inner_text().endswith(f"{int(number):x}")
        page.keyboard.press("Escape")
        page.mouse.move(5, 5)
        drawn(page)
        page.locator("#table tbody tr").nth(3).hover()
        assert picture(page, LINES) != before


def grids_of_all_sizes(browser: Browser) -> None:
    """One trial, a thousand, and a grid without a metric are pages too."""
    with browser.page("grid-one") as page:
        assert column(page, "Trial") == ["1"]
        assert set(ink_between(page, 0, 1)) == {True}
    with browser.page("grid-plain") as page:
        assert "names no metric" in page.locator("#best").inner_text()
        assert page.locator("#key .scale").count() == 0
        page.get_by_label("Last axis").select_option("loss")
        assert "14 trials by loss" in page.locator("#key").inner_text()
        assert "best" not in page.locator("#key").inner_text()
    with browser.page("grid-many") as page:
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        seconds = processor_time(session)
        print(f"  1,000 trials: {seconds:.2f} s of processor time", flush=True)
        assert seconds < SECONDS
        began = processor_time(session)
        page.locator(LINES).scroll_into_view_if_needed()
        drag(page, 0, 100, 200)
        seconds = processor_time(session) - began
        print(f"  to choose some of them: {seconds:.2f} s of processor time", flush=True)
        assert seconds < SECONDS
        assert page.locator("#key .scale").count() == 1


def hostile_grid(browser: Browser) -> None:
    """What is hostile in a grid's names, values and commands is text, on the chart too."""
    with browser.page("grid-hostile") as page:
        assert "<script>window.pwned = 1</script>=" in page.locator("#best").inner_text()
        for name in ("__proto__", "constructor", "optimizer"):
            page.get_by_label("Choose on").select_option(label=name)
        page.locator(LINES).focus()
        for _ in range(5):
            page.keyboard.press("ArrowDown")
        assert page.locator("#grid :is(script, a, img, svg, iframe)").count() == 0
        assert page.evaluate("window.pwned") is None
        assert page.evaluate("({}).polluted") is None


def grid_on_a_phone(browser: Browser) -> None:
    """Only chart and tables scroll to the side; a tap says which line it is, a second one opens."""
    with browser.page("grid", viewport=PHONE, is_mobile=True, has_touch=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.locator(LINES).scroll_into_view_if_needed()
        top = page.locator(LINES).bounding_box()["y"]
        page.touchscreen.tap(axis_x(page, 1.5), top + 47)
        drawn(page)
        assert "batch-size=128 optimizer=adam" in page.locator("#near").inner_text()
        assert page.locator("#run").get_attribute("open") is None
        page.touchscreen.tap(axis_x(page, 1.5), top + 47)
        drawn(page)
        assert page.locator("#run").get_attribute("open") is not None
    with browser.page("grid", color_scheme="dark") as page:
        dark = picture(page, LINES)
        page.emulate_media(color_scheme="light")
        assert picture(page, LINES) != dark


def grids_among_runs(browser: Browser) -> None:
    """On a page of runs the trials of one grid can be had alone."""
    with browser.page("mixed") as page:
        assert page.locator("#grid").is_hidden()
        assert page.locator("#table tbody tr").count() == 40
        page.locator("select[aria-label=Grid]").select_option(index=1)
        assert page.locator("#table tbody tr").count() == 10
        assert page.locator("#shown").inner_text().startswith("10 runs of 40")
    with browser.page("sample") as page:
        assert page.locator("select[aria-label=Grid]").count() == 0


def pictures(browser: Browser) -> None:
    """Write what the pages of the documentation show."""
    with browser.page("sample", viewport={"width": 1280, "height": 1180}) as page:
        page.get_by_label("Find", exact=True).fill("batch-size=64 digits")
        heading(page, "accuracy").first.get_by_role("button").click()
        page.get_by_role("button", name="Compare the first 6").click()
        page.screenshot(path=browser.folder / "report.png")
        page.screenshot(path=browser.folder / "report-whole.png", full_page=True)
        page.locator("#table tbody .link").first.click()
        page.screenshot(path=browser.folder / "report-run.png")
    with browser.page("grid", viewport={"width": 1280, "height": 900}) as page:
        page.locator("#best").evaluate("(e) => e.previousElementSibling.scrollIntoView()")
        drag(page, 0, 120, 230)
        page.mouse.move(axis_x(page, 1.5), page.locator(LINES).bounding_box()["y"] + 47)
        page.screenshot(path=browser.folder / "report-grid.png")
    options = {"viewport": PHONE, "is_mobile": True, "color_scheme": "dark"}
    with browser.page("sample", **options) as page:
        page.screenshot(path=browser.folder / "report-phone-top.png")
        page.evaluate("document.getElementById('curves').scrollIntoView()")
        page.screenshot(path=browser.folder / "report-phone.png")


CHECKS: tuple[Callable[[Browser], None], ...] = (
    *(sorts, filters, sums, compares, draws_and_zooms, leaves_gaps, shows_one_run),
    *(keyboard_and_names, dark_and_light, phone, hostile, many, little),
    *(names_the_best, draws_the_axes, chooses_by_dragging, chooses_by_the_keyboard),
    *(points_at_lines, grids_of_all_sizes, hostile_grid, grid_on_a_phone, grids_among_runs),
    pictures,
)


def main(argv: list[str]) -> int:
    """Run the checks on the pages in a folder: 0 all passed, 1 one failed.

    Args:
        argv: the folder, Chromium's program, what of its environment is its own, ``NAME=value``
            each, and the checks to run; all by default.
    """
    folder, program, *more = argv
    own = dict(each.split("=", 1) for each in more if "=" in each)
    named = [each for each in more if "=" not in each]
    checks = [check for check in CHECKS if check.__name__ in named or not named]
    failed = 0
    with sync_playwright() as playwright:
        # Chromium's own sandbox wants a user other than root; the pages are ours.
        chromium = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"], env={**os.environ, **own}
        )
        for check in checks:
            word, began = "passed", time.monotonic()
            try:
                check(Browser(chromium, Path(folder)))
            except (AssertionError, Error, LookupError, TypeError, ValueError):
                word, failed = "FAILED", failed + 1
                traceback.print_exc()
            print(f"{check.__name__:20} {word} {time.monotonic() - began:5.1f} s", flush=True)
        chromium.close()
    print(f"pictures are in {folder}\n{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
