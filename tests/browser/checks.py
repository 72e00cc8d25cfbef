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


def picture(page: Any) -> str:
    """Return the first chart's pixels, once they are drawn."""
    drawn(page)
    return str(page.locator("#charts canvas").first.evaluate("(canvas) => canvas.toDataURL()"))


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


def keyboard_and_names(browser: Browser) -> None:
    """Each control has a name, can be reached by the keyboard, and shows that it is."""
    with browser.page("sample") as page:
        nameless = """() => [...document.querySelectorAll("button, input, select, summary, img")]
            .filter((e) => e.checkVisibility?.() !== false)
            .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.alt))
            .map((e) => e.outerHTML)"""
        assert page.evaluate(nameless) == []
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
        doubled = "() => [...document.querySelectorAll('[id]')].map((e) => e.id)"
        ids = page.evaluate(doubled)
        assert len(ids) == len(set(ids))


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
    options = {"viewport": PHONE, "is_mobile": True, "color_scheme": "dark"}
    with browser.page("sample", **options) as page:
        page.screenshot(path=browser.folder / "report-phone-top.png")
        page.evaluate("document.getElementById('curves').scrollIntoView()")
        page.screenshot(path=browser.folder / "report-phone.png")


CHECKS: tuple[Callable[[Browser], None], ...] = (
    *(sorts, filters, sums, compares, draws_and_zooms, leaves_gaps, shows_one_run),
    *(keyboard_and_names, dark_and_light, phone, hostile, many, little, pictures),
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
