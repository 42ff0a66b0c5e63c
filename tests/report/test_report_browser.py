"""The report, opened in headless Chromium as a person opens it: a file, by double click, without a network."""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from playwright.sync_api import Browser, Locator, sync_playwright
from playwright.sync_api import Page as Tab

from hashtag_photos.handlabels import BLIND, DRAWN, HandLabel, HandLabels
from hashtag_photos.labels import LabelSet, find_labels
from hashtag_photos.records import Attachment, Photo, PhotoStatus, Post
from hashtag_photos.report import write_report
from hashtag_photos.run import Run
from hashtag_photos.stages.sample import draw_sample
from hashtag_photos.stages.summarize import summarize
from hashtag_photos.stages.tally import Tally
from hashtag_photos.tables import photos_table, posts_table
from make_synthetic_run import START, make

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
MISSING = f"there is no {CHROMIUM}: scripts/get_chromium.sh gets it"
REQUIRED = os.environ.get("HASHTAG_PHOTOS_BROWSER") == "required"  # as .ci/run sets it
AXE = REPOSITORY / "build/axe/axe.min.js"
pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists() and not REQUIRED, reason=MISSING)
PHONE, SMALL, DESK = (390, 844), (360, 640), (1280, 900)

OPEN_ALL = "() => document.querySelectorAll('details').forEach(each => { each.open = true })"

WITH_FOCUS = """() => {
    const at = document.activeElement.closest(".picture")?.getBoundingClientRect();
    return at && [at.left, at.top, at.right, at.bottom];
}"""

SCRIPT = "</style></script><script>window.hacked=1</script><img src=x onerror=window.hacked=2>\"'{{ 7*7 }}<!--"
HOSTILE = (
    SCRIPT,
    "w" * 10_000,
    "\u202eשלום עולם العالم\u2066 right to left",
    "👩‍👩‍👧‍👦🏴‍☠️ e\u0301\u0301\u0301 \x00\x1b[31m emoji",
    "<svg onload=window.hacked=3><style>*{display:none}</style>",
)
ADDRESSES = (
    "javascript:window.hacked=4",
    "https://fine.example/" + "a" * 10_000,
    'https://fine.example/"><script>window.hacked=5</script>',
    "data:text/html,<script>window.hacked=6</script>",
    "https://user:word@fine.example\\@evil.example/",
)


def add_hostile_posts(run: Run) -> None:
    """Posts whose every word is meant ill, each with a picture that the run has, which makes it the most shared one."""
    facts = ("sha256", "size", "format", "width", "height")
    with run.database() as database:
        had = database.execute(
            f"SELECT {', '.join(facts)} FROM photos WHERE status = 'ok' ORDER BY ALL LIMIT 5"
        ).fetchall()
    posts, shown = [], []
    for number in range(120):
        words, address = HOSTILE[number % 5], ADDRESSES[number % 5]
        key = f"{words[:200]} {number}"
        posts.append(
            Post(
                source=f"{words[:300]}",
                id=key,
                url=address,
                author=words,
                text=words,
                language=words[:500],
                likes=number,
                created_at=START - timedelta(hours=number % 24),  # before all others: their links and words are shown
                attachments=(Attachment(url=address, alt=words),),
            )
        )
        shown.append(
            Photo(source=posts[-1].source, post_id=key, position=0, url=address, status=PhotoStatus.OK, attempt=1,
                  fetched_at=datetime(2026, 1, 1, tzinfo=UTC), **dict(zip(facts, had[number % 5], strict=True)))
        )  # fmt: skip
    run.append("posts", posts_table(posts))
    run.append("photos", photos_table(shown))


@dataclass(frozen=True, kw_only=True)
class Made:
    """A run with a labelled sample, its tally, and its page with and without pictures and authors."""

    run: Run
    labels: LabelSet
    tally: Tally
    page: Path
    shared: Path

    @property
    def folder(self) -> Path:
        return self.page.parent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    run = make(folder / "run", 200)
    add_hostile_posts(run)
    labels = find_labels("friendly-or-force")
    run.record_used(
        "samples", labels.question_key, {"seed": "a", "question": labels.question, "classes": list(labels.class_names)}
    )
    frame = draw_sample(run, run.asked["model_key"], labels, 80)
    drawn = sorted(frame.sha256[frame.drawn].tolist())
    said = {"at": datetime(2026, 1, 1, tzinfo=UTC), "question": labels.question_key, "round": BLIND, "sampled": DRAWN}
    HandLabels(run).add(
        *(HandLabel(sha256=sha, label=labels.class_names[int(sha, 16) % 3], coder="ann", **said) for sha in drawn),
        *(HandLabel(sha256=sha, label=labels.class_names[int(sha, 16) % 2], coder="ben", **said) for sha in drawn[:30]),
    )
    run = Run(run.location)
    tally = summarize(run)
    shared = Path(write_report(run, tally, pictures=False, authors=False))
    return Made(run=run, labels=labels, tally=tally, page=Path(write_report(run, tally)), shared=shared)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.fail(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page that is open, what it said on its console, and what it asked for."""

    tab: Tab
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def width(self) -> int:
        return int(self.tab.evaluate("document.documentElement.scrollWidth"))


@contextmanager
def reading(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """Opens pages while this is open: read(path, size=PHONE, scheme="dark"). They say nothing, and ask for themselves
    alone."""
    opened: list[tuple[Opened, Path]] = []

    def open_page(path: Path, size: tuple[int, int] = DESK, scheme: Any = "light", **context: Any) -> Opened:
        width, height = size
        tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, **context)
        page = Opened(tab)
        tab.on("console", lambda message: page.said.append(message.text))
        tab.on("pageerror", lambda error: page.said.append(str(error)))
        tab.on("dialog", lambda dialog: page.said.append(dialog.message))
        tab.on("request", lambda request: page.asked.append(request.url))
        tab.goto(path.as_uri())
        opened.append((page, path))
        return page

    yield open_page
    for page, path in opened:
        page.tab.wait_for_timeout(50)
        page.tab.context.close()
        assert page.said == []
        assert [each for each in page.asked if not each.startswith("data:image/")] == [path.as_uri()]


@pytest.fixture
def read(browser: Browser) -> Iterator[Callable[..., Opened]]:
    with reading(browser) as read:
        yield read


@pytest.mark.parametrize(("size", "scheme"), [(SMALL, "light"), (PHONE, "dark"), (DESK, "light")])
def test_it_opens_quietly_and_fits_its_window(
    made: Made, read: Callable[..., Opened], size: tuple[int, int], scheme: str
) -> None:
    page = read(made.page, size, scheme)
    assert page.tab.locator("h1").inner_text()
    assert page.width() == size[0]
    page.tab.evaluate(OPEN_ALL)
    assert page.width() == size[0], "nor with its tables open"
    assert page.tab.locator(".figure").count() >= 8


@pytest.mark.parametrize("which", ["page", "shared"])
def test_nothing_keeps_people_from_using_it(made: Made, read: Callable[..., Opened], which: str) -> None:
    if not AXE.exists():
        pytest.skip(f"there is no {AXE.relative_to(REPOSITORY)}: scripts/get_axe.sh gets it")
    page = read(getattr(made, which), reduced_motion="reduce")
    page.tab.evaluate(OPEN_ALL)
    page.tab.evaluate(AXE.read_text(encoding="utf-8"))
    found = {}
    for (width, height), scheme, rules in (
        (DESK, "light", {}),
        (DESK, "dark", {"runOnly": ["color-contrast"]}),  # nothing else hangs on the scheme
        (PHONE, "dark", {}),
    ):
        page.tab.set_viewport_size({"width": width, "height": height})
        page.tab.emulate_media(color_scheme=scheme)
        violations = page.tab.evaluate(
            "async options => (await axe.run(document, {resultTypes: ['violations'], ...options})).violations", rules
        )
        found[width, scheme] = [
            (each["id"], each["impact"], each["help"], [node["html"][:200] for node in each["nodes"][:3]])
            for each in violations
            if each["impact"] in ("serious", "critical")
        ]
    assert not any(found.values()), found


def test_what_posts_say_does_nothing(made: Made, read: Callable[..., Opened]) -> None:
    page = read(made.page)
    assert page.tab.evaluate("window.hacked") is None
    assert page.tab.locator("script").count() == 1
    assert page.tab.locator("style").count() == 1
    links = page.tab.eval_on_selector_all("a", "links => links.map(a => [a.getAttribute('href'), a.rel])")
    outside = [(address, rel) for address, rel in links if not address.startswith("#")]
    assert outside
    assert all(address.startswith(("http://", "https://")) for address, _ in outside)
    assert all(set(rel.split()) >= {"noopener", "noreferrer"} for _, rel in outside)
    assert "<script>window.hacked=1</script>" in page.tab.locator("#figure-sources table").text_content(), "as text"
    described = page.tab.eval_on_selector_all(".picture img", "images => images.map(image => image.alt)")
    assert any("<script>window.hacked=1</script>" in each for each in described)


def test_without_pictures_and_authors_there_are_none(made: Made, read: Callable[..., Opened]) -> None:
    page = read(made.shared)
    assert page.tab.locator("img").count() == 0
    links = page.tab.eval_on_selector_all("a", "links => links.map(a => a.getAttribute('href'))")
    assert all(address.startswith("#") for address in links)
    whole, html = made.page.read_text(), made.shared.read_text()
    assert "someone" in whole
    assert "someone" not in html
    assert "data:image" not in html
    assert "alternative text" not in html
    assert len(html) < 1_000_000


def test_pictures_are_seen_one_by_one_or_all_at_once(made: Made, read: Callable[..., Opened]) -> None:
    page = read(made.page)
    sharp, blurred = (page.tab.locator(f".picture .{name}") for name in ("sharp", "blurred"))

    def seen(which: Locator) -> list[bool]:
        return [each.is_visible() for each in which.all()]

    count = sharp.count()
    assert count > 3
    assert (seen(sharp), seen(blurred)) == ([False] * count, [True] * count)
    boxes = page.tab.locator(".picture input")
    boxes.first.focus()
    page.tab.keyboard.press("Space")
    assert boxes.first.is_checked()
    assert seen(sharp) == [True] + [False] * (count - 1)
    page.tab.locator("#reveal-all").focus()
    page.tab.keyboard.press("Space")
    assert (seen(sharp), seen(blurred)) == ([True] * count, [False] * count)
    assert page.tab.locator("#status").inner_text() == "All pictures are shown"


def test_on_paper_there_is_no_picture_and_no_control(made: Made, read: Callable[..., Opened]) -> None:
    page = read(made.page, scheme="dark")
    page.tab.locator("#reveal-all").check()
    page.tab.emulate_media(media="print")
    assert not any(each.is_visible() for each in page.tab.locator("img").all())
    assert not any(each.is_visible() for each in page.tab.locator("input, button, nav").all())
    assert page.tab.locator(".drawing svg").first.is_visible()
    ink = page.tab.evaluate("getComputedStyle(document.body).color")
    assert max(map(int, re.findall(r"\d+", ink)[:3])) < 80, "dark on white, whatever the screen is"


def test_the_keyboard_gets_past_the_head_first(made: Made, read: Callable[..., Opened]) -> None:
    page = read(made.page)
    page.tab.keyboard.press("Tab")
    assert page.tab.evaluate("document.activeElement.textContent") == "Skip to the answer"
    assert page.tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.tab.keyboard.press("Enter")
    assert page.tab.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize("size", [SMALL, DESK])
def test_what_is_jumped_to_stands_below_the_switch(
    made: Made, read: Callable[..., Opened], size: tuple[int, int]
) -> None:
    page = read(made.page, size, reduced_motion="reduce")
    height = page.tab.locator(".reveal").bounding_box()["height"]
    headings = [each for each in page.tab.locator(".contents a").all() if each.get_attribute("href") != "#answer"]
    assert len(headings) > 8
    for link in headings:
        target = link.get_attribute("href")
        link.evaluate("link => link.click()")
        page.tab.wait_for_function(f"location.hash === {target!r}")
        top = page.tab.locator(target).bounding_box()["y"]
        assert height <= top < size[1], target


@pytest.mark.parametrize("size", [SMALL, DESK])
@pytest.mark.parametrize("key", ["Tab", "Shift+Tab"])
def test_a_picture_with_the_focus_is_in_sight(
    made: Made, read: Callable[..., Opened], size: tuple[int, int], key: str
) -> None:
    page = read(made.page, size, reduced_motion="reduce")
    height = page.tab.locator(".reveal").bounding_box()["height"]
    boxes = page.tab.locator(".picture input")
    assert boxes.count() > 20
    boxes.nth(0 if key == "Tab" else 20).focus()
    seen = 0
    while seen < 12:
        page.tab.keyboard.press(key)
        at = page.tab.evaluate(WITH_FOCUS)
        if at:
            seen += 1
            left, top, right, bottom = at
            assert left >= 0, seen
            assert right <= size[0], seen
            assert top >= height, seen
            assert bottom <= size[1], seen


def test_a_share_of_everything_stands_apart_from_its_interval(made: Made, read: Callable[..., Opened]) -> None:
    for size in (SMALL, DESK):
        page = read(made.page, size)
        share = page.tab.locator(".answers .share").first
        share.evaluate("share => { share.textContent = '100\\u00a0%' }")
        interval = page.tab.locator(".answers .interval").first
        interval.evaluate("interval => { interval.textContent = '100 to 100' }")
        ends = """each => {
            const words = document.createRange();
            words.selectNodeContents(each);
            return words.getBoundingClientRect();
        }"""
        assert share.evaluate(ends)["right"] + 6 <= interval.evaluate(ends)["left"]
        assert interval.evaluate(ends)["right"] <= size[0]


def test_a_mark_says_what_it_is_where_the_pointer_is(made: Made, read: Callable[..., Opened]) -> None:
    page = read(made.page, reduced_motion="reduce")
    mark = page.tab.locator("#figure-time .wide [data-tip]").first
    mark.scroll_into_view_if_needed()
    told = mark.get_attribute("data-tip")
    mark.hover(force=True)
    assert page.tab.locator(".tip").inner_text().split() == (told or "").split()
    page.tab.keyboard.press("Escape")
    assert page.tab.locator(".tip").is_hidden()


def test_without_script_it_is_all_there(made: Made, read: Callable[..., Opened]) -> None:
    page = read(made.page, java_script_enabled=False)
    with_script = read(made.page)
    for each in ("h1", "h2", "h3", "table", ".figure svg", "figcaption"):
        assert page.tab.locator(each).count() == with_script.tab.locator(each).count()
    page.tab.locator("#reveal-all").check()
    page.tab.locator("summary").first.click()
    assert page.tab.locator("details[open] table").first.is_visible()


# The numbers on the page are the tally's


def texts(page: Opened, selector: str) -> list[str]:
    return [" ".join(each.replace("\xa0", " ").split()) for each in page.tab.locator(selector).all_inner_texts()]


def per_cent(share: float | str | None, digits: int = 1) -> str:
    return "–" if share in (None, "") else f"{100 * float(share or 0):.{digits}f} %"


def ends(low: float | str, high: float | str) -> str:
    return f"{100 * float(low):.1f} – {100 * float(high):.1f}"


def plain(number: float | str | None) -> str:
    """A count, or a median, which can lie between two."""
    return "–" if number in (None, "") else f"{float(number or 0):,.1f}".removesuffix(".0")


@dataclass(frozen=True)
class Read:
    """A page and the files beside it."""

    page: Opened
    folder: Path

    def rows(self, selector: str) -> list[list[str]]:
        """The cells of a table's body, as they stand there, whether or not they are folded away."""
        found: list[list[str]] = self.page.tab.eval_on_selector_all(
            f"{selector} tbody tr", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
        )
        return [[" ".join(cell.replace("\xa0", " ").split()) for cell in row] for row in found]

    def csv(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name).open(newline="") as file:
            return list(csv.DictReader(file))

    @property
    def tally(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((self.folder / "tally.json").read_text())
        return facts


@pytest.fixture(scope="module")
def held(made: Made, browser: Browser) -> Iterator[Read]:
    with reading(browser) as read:
        yield Read(read(made.page), made.folder)


@pytest.fixture(scope="module")
def titles(made: Made) -> dict[str, str]:
    return {each.label: each.title for each in made.tally.classes}


def test_the_answer_is_that_of_numbers_csv(held: Read, titles: dict[str, str]) -> None:
    expected = [
        f"{titles[each['label']]} {per_cent(each['value'], 0)} {100 * float(each['low']):.0f} to "
        f"{100 * float(each['high']):.0f}"
        for each in held.csv("numbers.csv")
        if (each["kind"], each["measure"], each["unit"]) == ("corrected", "share", "pictures")
    ]
    assert len(expected) == 3
    assert texts(held.page, ".answers li") == expected


def test_the_counts_are_those_of_the_tally(held: Read) -> None:
    tally = held.tally
    *classes, whole = held.rows(".counts")
    assert [row[1:] for row in classes] == [
        [
            f"{each['pictures']:,}",
            f"{each['images']:,}",
            per_cent(each["share"]),
            f"{per_cent(each['low'])} – {per_cent(each['high'])}",
            f"{each['posts']:,}",
            f"{each['reposts']:,}",
        ]
        for each in tally["classes"]
    ]
    assert whole[1:3] == [f"{tally['pictures']:,}", f"{tally['images']:,}"]
    assert whole[5:] == [f"{tally['posts']:,}", f"{tally['engagement']['reposts']:,}"]


def test_figures_of_shares_are_those_of_the_tables(held: Read, titles: dict[str, str]) -> None:
    shares = {
        (titles[each["label"]], f"{int(each['of']):,}", each["kind"], per_cent(each["value"]),
         ends(each["low"], each["high"]))
        for each in held.csv("numbers.csv")
        if each["measure"] == "share" and each["kind"] != "bound"
    }  # fmt: skip
    shown = {(row[0], row[1].split()[0], *row[2:]) for row in held.rows("#figure-shares")}
    assert len(shown) >= 12
    assert shown <= shares
    for name, file in (("sources", "tally-by-source.csv"), ("languages", "tally-by-language.csv")):
        rows = held.rows(f"#figure-{name}")
        parts = [
            [
                titles[each["label"]],
                each["images"],
                each["images_total"],
                per_cent(each["share"]),
                ends(each["low_95"], each["high_95"]),
                each["posts"],
                each["posts_total"],
            ]
            for each in held.csv(file)
        ]
        assert len(rows) >= 8
        assert not Counter(tuple(row[1:]) for row in rows) - Counter(map(tuple, parts))


def test_the_figure_over_time_is_the_timeline(held: Read) -> None:
    time = held.tally["timeline"]
    shown = held.rows("#figure-time")
    assert len(shown) == len(time["bins"]) > 5
    for row, each in zip(shown, time["bins"], strict=True):
        assert row[1:3] == [f"{each['posts_collected']:,}", f"{each['posts']:,}"]
        shares = [
            f"{per_cent(of['share'])} ({ends(of['low'], of['high'])})" if of["share"] is not None else "–"
            for of in time["rows"]
            if of["start"] == each["start"]
        ]
        assert row[3 : 3 + len(shares)] == shares
    days = {each["value"]: each for each in held.csv("coverage.csv") if each["by"] == "day"}
    shown = held.rows("#figure-coverage-days")
    counted = [day for day in days.values() if day["value"] != "(no time)"]
    assert len(shown) >= len(counted) > 1
    missing = [
        [f"{int(each['attachments']) - int(each['had']):,}", f"{int(each['attachments']):,}"] for each in counted
    ]
    assert [row[1:3] for row in shown if row[2] != "0"] == [each for each in missing if each[1] != "0"]


def test_what_was_drawn_missed_and_hung_on_is_in_the_tables(held: Read, titles: dict[str, str]) -> None:
    assert held.rows("#figure-engagement") == [
        [
            titles[each["label"]],
            plain(each["posts"]),
            plain(each["median"]),
            plain(each["p25"]),
            plain(each["p75"]),
            plain(each["total"]),
        ]
        for each in held.csv("engagement.csv")
    ]
    coverage = held.csv("coverage.csv")
    ((whole, *_),) = [[each["attachments"]] for each in coverage if each["by"] == "all"]
    gone = [int(each["attachments"]) for each in coverage if each["by"] == "reason" and each["value"] != "ok"]
    shown = held.rows("#figure-coverage-reasons")
    assert [row[1:] for row in shown] == [[f"{each:,}", per_cent(each / int(whole))] for each in gone][: len(shown)]
    variants = [each for each in held.csv("robustness.csv") if each["kind"] != "all"]
    shown = held.rows("#figure-robustness")
    assert len(shown) == len(variants)
    found = {(row[0], row[3].replace("−", "-"), row[4]) for row in shown}
    signed = {
        (titles[each["label"]], f"{100 * float(each['change']):+.1f}", {"True": "yes", "False": "no"}[each["flagged"]])
        for each in variants
    }
    assert {(*row[:1], re.sub(r"^[+-]0\.0$", "0.0", row[1]), row[2]) for row in signed} == found


def test_what_people_said_is_in_the_figures(held: Read) -> None:
    model = held.tally["agreement"]["model"]
    assert [row[1:-1] for row in held.rows("#figure-confusion")] == [
        [f"{count:,}" for count in counts.values()] for counts in model["counts"].values()
    ]
    assert [row[3:] for row in held.rows("#figure-reliability")] == [
        [per_cent(each["right"]["value"]), ends(each["right"]["low"], each["right"]["high"]), f"{each['n']:,}"]
        for each in model["reliability"]
    ]


def test_the_other_tables_are_those_of_the_tally(held: Read, titles: dict[str, str]) -> None:
    tally = held.tally

    def region(name: str) -> list[list[str]]:
        return held.rows(f'[aria-label="{name}"]')

    shares = {
        (each["kind"], each["label"]): f"{per_cent(each['value'])} ({ends(each['low'], each['high'])})"
        for each in held.csv("numbers.csv")
        if (each["measure"], each["unit"]) == ("share", "pictures") and each["kind"] != "bound"
    }
    assert region("Raw and corrected shares") == [
        [titles[label], shares["raw", label], share] for (kind, label), share in shares.items() if kind == "corrected"
    ]
    agreed = tally["agreement"]
    assert region("Agreement between people") == [
        [title, f"{each['value']:.2f} ({each['low']:.2f} – {each['high']:.2f})".replace("-", "−"),
         str(each["coders"]), f"{each['n']:,}"]
        for title, each in (
            ("Cohen’s kappa", agreed["kappa"]),
            ("Krippendorff’s alpha", agreed["alpha"]),
            ("Gwet’s AC1", agreed["ac1"]),
        )
    ]  # fmt: skip

    def rate(found: dict[str, float] | None, n: int) -> list[str]:
        return [f"{per_cent(found['value'])} ({ends(found['low'], found['high'])})" if found else "–", f"{n:,}"]

    assert region("Recall and precision of the classifier") == [
        [titles[each["label"]], *rate(each["recall"], each["recall_n"]), *rate(each["precision"], each["precision_n"])]
        for each in agreed["model"]["classes"]
    ]
    without = tally["without_text"]
    assert region("Shares with and without pictures of words") == [
        [titles[each["label"]], f"{each['images']:,} ({per_cent(each['share'])})",
         f"{other['images']:,} ({per_cent(other['share'])})", f"{per_cent(other['low'])} – {per_cent(other['high'])}"]
        for each, other in zip(tally["classes"], without["classes"], strict=True)
    ]  # fmt: skip
    hosts = [each for each in tally["coverage"]["hosts_with_most_missing"] if not each["value"].startswith("(")]
    missing = [(each["value"], each["attachments"] - each["had"], each["attachments"]) for each in hosts[:10]]
    assert region("Attachments missing by host") == [
        [host, f"{lost:,}", f"{of:,}", per_cent(lost / of)] for host, lost, of in missing
    ]
    assert missing
