"""The report, opened in headless Chromium as a person opens it: a file, by double click, without a network."""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
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
from make_synthetic_run import MODEL, START, make

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
MISSING = f"there is no {CHROMIUM}: scripts/get_chromium.sh gets it"
REQUIRED = os.environ.get("HASHTAG_PHOTOS_BROWSER") == "required"  # as .ci/run sets it
AXE = REPOSITORY / "build/axe/axe.min.js"
pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists() and not REQUIRED, reason=MISSING)
PHONE, SMALL, DESK = (390, 844), (360, 640), (1280, 900)

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
    run = make(folder / "run", 400)
    add_hostile_posts(run)
    labels = find_labels("friendly-or-force")
    run.record_used(
        "samples", labels.question_key, {"seed": "a", "question": labels.question, "classes": list(labels.class_names)}
    )
    frame = draw_sample(run, MODEL, labels, 80)
    drawn = sorted(frame.sha256[frame.drawn].tolist())
    said = {"at": datetime(2026, 1, 1, tzinfo=UTC), "question": labels.question_key, "round": BLIND, "sampled": DRAWN}
    HandLabels(run).add(
        *(HandLabel(sha256=sha, label=labels.class_names[int(sha, 16) % 3], coder="ann", **said) for sha in drawn),
        *(HandLabel(sha256=sha, label=labels.class_names[int(sha, 16) % 2], coder="ben", **said) for sha in drawn[:30]),
    )
    run = Run(run.location)
    tally = summarize(run)
    shared = folder / "shared.html"
    page = Path(write_report(run, tally, pictures=False, authors=False))
    shared.write_bytes(page.read_bytes())
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

    def filter(self, picture: Locator) -> str:
        return str(picture.evaluate("image => getComputedStyle(image).filter"))


@pytest.fixture
def read(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """Opens a page: read(path, size=PHONE, scheme="dark"). It says nothing, and asks for itself alone."""
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


@pytest.mark.parametrize("size", [SMALL, PHONE, DESK])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_quietly_and_fits_its_window(
    made: Made, read: Callable[..., Opened], size: tuple[int, int], scheme: str
) -> None:
    page = read(made.page, size, scheme)
    assert page.tab.locator("h1").inner_text()
    assert page.width() == size[0]
    for each in page.tab.locator("details").all():
        each.evaluate("details => { details.open = true }")
    assert page.width() == size[0], "nor with its tables open"
    assert page.tab.locator(".figure").count() >= 8


@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (DESK, "dark"), (PHONE, "light"), (PHONE, "dark")])
@pytest.mark.parametrize("which", ["page", "shared"])
def test_nothing_keeps_people_from_using_it(
    made: Made, read: Callable[..., Opened], which: str, size: tuple[int, int], scheme: str
) -> None:
    if not AXE.exists():
        pytest.skip(f"there is no {AXE.relative_to(REPOSITORY)}: scripts/get_axe.sh gets it")
    page = read(getattr(made, which), size, scheme)
    page.tab.evaluate("() => document.querySelectorAll('details').forEach(each => { each.open = true })")
    page.tab.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.tab.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    told = [
        (each["id"], each["impact"], each["help"], [node["html"][:200] for node in each["nodes"][:3]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert told == []


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
    pictures = page.tab.locator(".picture img")
    assert pictures.count() > 3
    assert {page.filter(each) == "none" for each in pictures.all()} == {False}
    boxes = page.tab.locator(".picture input")
    boxes.first.focus()
    page.tab.keyboard.press("Space")
    assert boxes.first.is_checked()
    page.tab.wait_for_function("getComputedStyle(document.querySelector('.picture img')).filter === 'none'")
    assert page.filter(pictures.nth(1)) != "none"
    page.tab.locator("#reveal-all").focus()
    page.tab.keyboard.press("Space")
    page.tab.wait_for_function(
        "[...document.querySelectorAll('.picture img')].every(each => getComputedStyle(each).filter === 'none')"
    )
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


@pytest.fixture
def held(made: Made, read: Callable[..., Opened]) -> Read:
    return Read(read(made.page), made.folder)


@pytest.fixture
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
    days = held.rows("#figure-coverage-days")
    assert [row[1:] for row in days] == [
        [
            f"{each['attachments'] - each['had']:,}",
            f"{each['attachments']:,}",
            per_cent((each["attachments"] - each["had"]) / each["attachments"]) if each["attachments"] else "–",
        ]
        for each in time["bins"]
    ]


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
