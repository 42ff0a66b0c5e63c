"""The page, driven in headless Chromium as a person drives it, with servers that are processes of their own.

Most tests share one server and its run, each as a coder of its own, since coders see nothing of each other.
"""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from conftest import picture
from made_run import HOSTILE, HOSTILE_LABELS, LABELS, NAMES, SECRET, Page, Pages, make_run, order, stored
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Request, sync_playwright
from playwright.sync_api import Page as Tab

from hashtag_photos.run import Run

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
MISSING = f"there is no {CHROMIUM}: scripts/get_chromium.sh gets it"
REQUIRED = os.environ.get("HASHTAG_PHOTOS_BROWSER") == "required"  # as .ci/run sets it
pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists() and not REQUIRED, reason=MISSING)
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
BLURRED, CLEAR = "blur(36px) grayscale(1)", "none"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.fail(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", *QUIET])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hostile = tmp_path_factory.mktemp("made") / "run"
    return Path(make_run(hostile, 70, text=lambda number: f"{SECRET} {number} {HOSTILE}").location)


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Run:
    return Run(shutil.copytree(made, tmp_path / "run"))


@pytest.fixture
def pages(run: Run) -> Iterator[Pages]:
    with Pages(run) as pages:
        yield pages


@pytest.fixture(scope="module")
def shared(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, Run]]:
    run = Run(shutil.copytree(made, tmp_path_factory.mktemp("shared") / "run"))
    with Pages(run) as pages:
        yield pages(), run


@pytest.fixture
def page(shared: tuple[Page, Run]) -> Page:
    """A server that several tests ask: what it stores has their coder's name."""
    return shared[0]


@pytest.fixture
def coder(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)[:100]


@pytest.fixture
def said(shared: tuple[Page, Run], coder: str) -> Callable[[], list[dict[str, str]]]:
    """What this test's coder has stored on the shared server."""
    return lambda: [row for row in stored(shared[1]) if row["coder"] == coder]


@pytest.fixture
def pictures(shared: tuple[Page, Run]) -> list[str]:
    return order(shared[1])


@dataclass
class Labelling:
    """A tab in which somebody labels, and what went wrong in it."""

    tab: Tab
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def shown(self) -> str:
        """The picture that is asked, once it is shown and can be answered."""
        self.tab.wait_for_selector("body[aria-busy=false]")
        return str(self.tab.get_attribute("#frame", "data-picture"))

    def look(self) -> None:
        """Hold the space bar for a moment."""
        self.shown()
        self.tab.keyboard.press(" ")

    def press(self, key: str) -> None:
        """Look, press a key, and wait for what comes of it."""
        self.look()
        self.does(lambda: self.tab.keyboard.press(key))

    def does(self, act: Callable[[], object]) -> None:
        """Do something, and wait for what comes of it: another picture, or none."""
        before = self.shown()
        act()
        self.tab.wait_for_function(
            """before => document.body.getAttribute("aria-busy") === "false" &&
            document.querySelector("#frame").dataset.picture !== before""",
            arg=before,
        )

    def filter(self) -> str:
        return str(self.tab.eval_on_selector("#frame img", "image => getComputedStyle(image).filter"))

    def text(self, selector: str) -> str:
        return self.tab.locator(selector).inner_text()

    def name(self, name: str) -> None:
        self.tab.wait_for_selector("#naming[open]")
        self.tab.fill("#name", name)
        self.tab.keyboard.press("Enter")
        self.shown()


@pytest.fixture
def label(browser: Browser) -> Iterator[Callable[..., Labelling]]:
    """Opens the page: label(page, "ann"); without a name it is left open. In the end nothing may have gone wrong."""
    contexts: list[BrowserContext] = []
    opened: list[tuple[Labelling, str]] = []

    def opening(page: Page, coder: str = "", *, clock: bool = False, **options: Any) -> Labelling:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
        contexts.append(context)
        one = Labelling(context.new_page())

        def console(message: ConsoleMessage) -> None:
            one.said.append(message.text)

        def request(request: Request) -> None:
            one.asked.append(request.url)

        one.tab.on("console", console)
        one.tab.on("pageerror", lambda error: one.said.append(str(error)))
        context.on("request", request)
        if clock:
            one.tab.clock.install()
        one.tab.goto(page.url)
        opened.append((one, page.base))
        if coder:
            one.name(coder)
        return one

    yield opening
    for one, base in opened:
        assert one.said == []
        assert not [url for url in one.asked if not url.startswith((f"{base}/", f"blob:{base}/"))]
        assert one.tab.evaluate("window.hacked") is None
    for context in contexts:
        context.close()


def test_sixty_labels_a_reload_a_second_coder_and_a_kill(
    pages: Pages, run: Run, label: Callable[..., Labelling]
) -> None:
    """Nothing is lost, nothing doubled: labels.csv holds exactly what was pressed."""
    page = pages()
    expected: list[tuple[str, str, str]] = []
    keys = "123"

    def press(one: Labelling, coder: str, number: int) -> None:
        key = keys[number * 7 % 3]
        expected.append((one.shown(), NAMES[keys.index(key)], coder))
        one.press(key)

    ann = label(page, "ann")
    for number in range(25):
        press(ann, "ann", number)
    ann.tab.reload()
    ann.shown()
    assert ann.text("#count") == "25 of 70"
    for number in range(25, 40):
        press(ann, "ann", number)

    bob = label(page, "bob")
    assert bob.shown() == order(run)[0]
    assert bob.text("#count") == "0 of 70"
    for number in range(10):
        press(bob, "bob", number + 1)

    page.end(signal.SIGKILL)
    kept = ann.shown()
    ann.look()
    ann.tab.keyboard.press("3")
    ann.tab.wait_for_selector("#alarm:not([hidden])")
    for words in ("does not answer", "“Neither” is not saved yet", "goes on by itself"):
        assert words in ann.text("#alarm")
    for key in (" ", "1", "2", "s", "u"):  # of what is pressed meanwhile nothing counts
        ann.tab.keyboard.press(key)
    assert ann.tab.get_attribute("#frame", "data-picture") == kept
    assert len(stored(run)) == 50
    assert pages(port=page.port).url == page.url
    ann.tab.wait_for_selector("#alarm", state="hidden")
    assert ann.shown() != kept
    expected.append((kept, "neither", "ann"))
    for number in range(41, 60):
        press(ann, "ann", number)
    assert ann.text("#count") == "60 of 70"

    rows = [(row["sha256"], row["label"], row["coder"]) for row in stored(run)]
    assert rows == expected
    assert len(rows) == 70
    assert [sha256 for sha256, _, coder in rows if coder == "ann"] == order(run)[:60]
    complaints = [text for text in ann.said if "ERR_CONNECTION_REFUSED" in text]
    assert complaints
    assert ann.said == complaints, "the browser's own words on a server that is away, and no others"
    ann.said.clear()
    bob.said.clear()


def test_a_picture_is_blurred_and_grey_until_space_is_held(
    page: Page, coder: str, label: Callable[..., Labelling]
) -> None:
    one = label(page, coder)
    assert one.filter() == BLURRED
    one.tab.keyboard.down(" ")
    assert one.filter() == CLEAR
    one.tab.keyboard.down(" ")  # as a held key repeats
    assert one.filter() == CLEAR
    one.tab.keyboard.up(" ")
    assert one.filter() == BLURRED

    one.tab.keyboard.down(" ")
    one.does(lambda: one.tab.keyboard.press("1"))
    assert one.filter() == BLURRED, "a new picture, though the key is still held"
    one.tab.keyboard.down(" ")
    assert one.filter() == BLURRED
    one.tab.keyboard.up(" ")
    one.tab.keyboard.down(" ")
    assert one.filter() == CLEAR
    one.tab.evaluate("window.dispatchEvent(new Event('blur'))")
    assert one.filter() == BLURRED


def test_a_picture_that_nobody_saw_gets_no_class(
    page: Page,
    coder: str,
    pictures: list[str],
    said: Callable[[], list[dict[str, str]]],
    label: Callable[..., Labelling],
) -> None:
    one = label(page, coder)
    first, second, third = pictures[:3]
    button = one.tab.locator("#classes button").nth(1)

    def refused() -> None:
        for act in (lambda: one.tab.keyboard.press("2"), lambda: button.click(force=True)):
            act()
            assert one.text("#notice").startswith("Hold the space bar first")
            one.tab.evaluate("document.getElementById('notice').hidden = true")
            assert button.get_attribute("aria-disabled") == "true"

    refused()
    one.look()
    one.does(lambda: (one.tab.keyboard.press("1"), one.tab.keyboard.press("1")))  # twice, by mistake
    assert one.shown() == second
    refused()
    one.does(lambda: one.tab.keyboard.press("s"))  # skipping needs no look
    assert one.shown() == third
    refused()
    one.does(lambda: one.tab.keyboard.press("u"))
    assert one.shown() == second
    refused()
    one.tab.mouse.move(400, 300)
    one.tab.mouse.down()
    one.tab.mouse.up()
    assert button.get_attribute("aria-disabled") == "false"
    one.does(button.click)
    assert [(row["sha256"], row["label"]) for row in said()] == [
        (first, "friendly"),
        (second, "skip"),
        (second, ""),
        (second, "conflict_and_force"),
    ]


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_the_whole_picture_is_shown_and_a_long_one_is_scrolled(
    shared: tuple[Page, Run], coder: str, label: Callable[..., Labelling], size: tuple[int, int]
) -> None:
    """Nothing is cut off, whatever its form: each has a frame of another color, of which all four sides show."""
    page, run = shared
    one = label(page, coder)
    one.tab.set_viewport_size({"width": size[0], "height": size[1]})
    forms = {
        "landscape": (600, 400),
        "square": (500, 500),
        "portrait": (400, 600),
        "tall": (300, 3000),
        "wide": (3000, 300),
    }
    shape = """() => {
        const image = document.querySelector("#frame img");
        const [box, stage] = [image.getBoundingClientRect(), document.querySelector("#stage").getBoundingClientRect()];
        return {
            box: [box.left, box.top, box.right, box.bottom].map(Math.round),
            stage: [stage.left, stage.top, stage.right, stage.bottom].map(Math.round),
            fit: getComputedStyle(image).objectFit,
            natural: [image.naturalWidth, image.naturalHeight],
        };
    }"""
    for name, form in forms.items():
        asked = one.shown()
        path = next(Path(run.location).glob(f"images/*/{asked}.jpg"))
        before = path.read_bytes()
        path.write_bytes(picture("teal", form))
        one.tab.reload()
        one.shown()
        path.write_bytes(before)
        rest = one.tab.evaluate(shape)
        assert rest["natural"] == list(form)
        assert rest["box"] == rest["stage"], f"{name}: the box is as large as the stage, and the picture as fits in it"
        assert rest["fit"] == "contain"
        one.tab.keyboard.down(" ")
        seen = one.tab.evaluate(shape)
        if name in ("landscape", "square", "portrait"):
            assert seen == rest
            one.tab.keyboard.press("ArrowDown")
            assert one.tab.evaluate(shape) == rest
        else:
            across, along = (0, 1) if name == "tall" else (1, 0)
            (left, right), (first, last) = ((seen["box"][at], seen["box"][at + 2]) for at in (across, along))
            assert (seen["stage"][across] <= left, right <= seen["stage"][across + 2]) == (True, True)
            scale = (right - left) / min(300, seen["stage"][across + 2] - seen["stage"][across])
            assert scale == pytest.approx(1, abs=0.01), "as large as it is, or as the stage takes it"
            assert first == seen["stage"][along]
            assert last > seen["stage"][along + 2]
            assert one.tab.locator("#long").is_visible()
            for _ in range(30):
                one.tab.keyboard.press("ArrowDown" if name == "tall" else "ArrowRight")
            end = one.tab.evaluate(shape)
            assert end["box"][along + 2] == end["stage"][along + 2], "its other end is reached"
            one.tab.mouse.move((seen["stage"][0] + seen["stage"][2]) / 2, seen["stage"][1] + 100)
            one.tab.mouse.wheel(0, -100_000)
            one.tab.wait_for_function(
                "() => !document.querySelector('#frame').scrollTop && !document.querySelector('#frame').scrollLeft"
            )
        one.tab.keyboard.up(" ")
        assert one.tab.evaluate(shape) == rest
        one.does(lambda: one.tab.keyboard.press("1"))


def test_no_moment_shows_a_new_picture_clear(page: Page, coder: str, label: Callable[..., Labelling]) -> None:
    """Looked at in every frame that is drawn, with the key held while the next picture comes."""
    one = label(page, coder)
    one.tab.evaluate(
        """() => {
            window.clear = new Set();
            const look = () => {
                const image = document.querySelector("#frame img");
                if (image && getComputedStyle(image).filter === "none") window.clear.add(image.src);
                requestAnimationFrame(look);
            };
            look();
        }"""
    )
    for number in range(10):
        one.tab.keyboard.down(" ")
        one.tab.wait_for_function("number => window.clear.size === number", arg=number + 1)
        one.does(lambda: one.tab.keyboard.press("2"))
        one.tab.keyboard.down(" ")
        one.tab.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        assert one.tab.evaluate("window.clear.size") == number + 1
        one.tab.keyboard.up(" ")


@pytest.mark.parametrize("target", ["#look", "#frame"])
def test_a_picture_is_shown_while_a_pointer_is_pressed(
    page: Page, coder: str, label: Callable[..., Labelling], target: str
) -> None:
    one = label(page, coder)
    box = one.tab.locator(target).bounding_box()
    assert box is not None
    one.tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
    one.tab.mouse.down()
    assert one.filter() == CLEAR
    one.tab.mouse.move(5, 5)
    assert one.filter() == CLEAR
    one.tab.mouse.up()
    assert one.filter() == BLURRED


def test_buttons_do_what_keys_do(
    page: Page, coder: str, said: Callable[[], list[dict[str, str]]], label: Callable[..., Labelling]
) -> None:
    one = label(page, coder, has_touch=True)
    one.shown()
    one.tab.tap("#look")
    for selector in ("#classes button:nth-child(2)", "#skip", "#undo"):
        one.does(lambda selector=selector: one.tab.tap(selector))
    assert [row["label"] for row in said()] == ["conflict_and_force", "skip", ""]
    labels = one.tab.eval_on_selector_all("#classes button", "all => all.map(each => each.innerText.split(/\\s/)[0])")
    assert labels == ["1", "2", "3"]


def test_a_key_that_repeats_or_is_pressed_twice_labels_one_picture(
    page: Page,
    coder: str,
    pictures: list[str],
    said: Callable[[], list[dict[str, str]]],
    label: Callable[..., Labelling],
) -> None:
    one = label(page, coder)
    one.look()
    first, second, third = pictures[:3]
    one.tab.route("**/api/answer", lambda route: (one.tab.wait_for_timeout(300), route.continue_()))
    one.tab.keyboard.down("1")
    one.tab.keyboard.down("1")
    one.tab.keyboard.press("2")  # while the answer is on its way
    one.tab.wait_for_selector(f"#frame[data-picture='{second}']")
    assert one.shown() == second
    one.look()
    one.tab.keyboard.down("1")  # still held
    one.tab.keyboard.up("1")
    one.press("3")
    assert one.shown() == third
    assert [(row["sha256"], row["label"]) for row in said()] == [(first, "friendly"), (second, "neither")]


def test_an_answer_that_got_lost_on_its_way_back_is_stored_once(
    page: Page,
    coder: str,
    pictures: list[str],
    said: Callable[[], list[dict[str, str]]],
    label: Callable[..., Labelling],
) -> None:
    one = label(page, coder)
    lost: list[str] = []

    def lose(route: Any) -> None:
        if len(lost) < 2:
            route.fetch()  # it is stored, and the page never hears of it
            lost.append(route.request.post_data)
            route.abort()
        else:
            route.continue_()

    one.tab.route("**/api/answer", lose)
    one.press("1")
    assert len(lost) == 2
    assert [(row["sha256"], row["label"]) for row in said()] == [(pictures[0], "friendly")]
    assert all("ERR_FAILED" in text for text in one.said)
    one.said.clear()


def test_two_tabs_of_a_coder_don_t_get_into_each_other_s_way(
    page: Page,
    coder: str,
    pictures: list[str],
    said: Callable[[], list[dict[str, str]]],
    label: Callable[..., Labelling],
) -> None:
    one, other = label(page, coder), label(page, coder)
    one.press("1")
    other.press("1")  # the same picture, the same answer
    one.press("2")
    other.press("3")  # the same picture, another answer
    assert "answered elsewhere" in other.text("#notice")
    assert other.shown() == one.shown() == pictures[2]
    assert [(row["sha256"], row["label"]) for row in said()] == [
        (pictures[0], "friendly"),
        (pictures[1], "conflict_and_force"),
    ]
    assert ["409" in text for text in other.said] == [True]
    other.said.clear()


def test_undo_skip_and_note(
    page: Page,
    coder: str,
    pictures: list[str],
    said: Callable[[], list[dict[str, str]]],
    label: Callable[..., Labelling],
) -> None:
    one = label(page, coder)
    first, second = pictures[:2]
    assert one.tab.locator("#undo").is_disabled()
    one.tab.keyboard.press("n")
    one.tab.keyboard.type("12s u: two people")  # types, and labels nothing
    one.tab.keyboard.press("Escape")
    assert one.text("#noted") == "Note"
    one.tab.keyboard.press("n")
    one.tab.keyboard.type(f"  {HOSTILE} ")
    one.tab.keyboard.press("Enter")
    assert one.text("#noted") == HOSTILE
    assert said() == []
    one.press("1")
    assert one.text("#noted") == "Note"
    one.press("s")
    one.press("Backspace")
    assert one.shown() == second
    one.tab.reload()
    one.shown()
    one.press("u")
    assert (one.shown(), one.text("#noted")) == (first, HOSTILE)
    one.press("3")
    assert [(row["sha256"], row["label"], row["note"]) for row in said()] == [
        (first, "friendly", HOSTILE),
        (second, "skip", ""),
        (second, "", ""),
        (first, "", ""),
        (first, "neither", HOSTILE),
    ]


def test_a_note_can_be_opened_again_in_the_same_moment(page: Page, coder: str, label: Callable[..., Labelling]) -> None:
    """Before the page is drawn, what was closed still has the focus unless it gives it up."""
    one = label(page, coder)
    one.tab.evaluate(
        """() => {
            for (const key of ["n", "Escape", "n"])
                document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
        }"""
    )
    assert one.tab.locator("#noting").is_visible()


def test_a_note_that_is_still_open_goes_with_a_click(
    page: Page, coder: str, said: Callable[[], list[dict[str, str]]], label: Callable[..., Labelling]
) -> None:
    one = label(page, coder)
    one.look()
    one.tab.keyboard.press("n")
    one.tab.keyboard.type("unfinished")
    one.does(lambda: one.tab.click("#classes button:nth-child(1)"))
    assert [row["note"] for row in said()] == ["unfinished"]


def test_the_end_says_so_and_can_be_undone(
    page: Page,
    coder: str,
    pictures: list[str],
    said: Callable[[], list[dict[str, str]]],
    label: Callable[..., Labelling],
) -> None:
    for number, sha256 in enumerate(pictures[:69]):
        answer(page, coder, sha256, "skip" if number == 3 else "friendly")
    one = label(page, coder)
    one.press("1")
    assert one.tab.locator("#again").is_visible()
    assert one.shown() == pictures[3]
    one.press("s")
    assert "70 of 70 pictures are labelled, and saved. 1 of them skipped." in one.text("#done")
    one.tab.keyboard.press("1")
    one.press("u")
    assert one.shown() == pictures[3]
    assert [row["label"] for row in said()][-3:] == ["friendly", "skip", ""]


def work(one: Labelling, minutes: int) -> None:
    """Time passes, and the coder is there: presses something now and then."""
    for _ in range(minutes // 2):
        one.tab.clock.fast_forward("02:00")
        one.tab.keyboard.press("Shift")


def test_a_break_is_suggested_after_20_minutes(
    page: Page, coder: str, said: Callable[[], list[dict[str, str]]], label: Callable[..., Labelling]
) -> None:
    one = label(page, coder, clock=True)
    work(one, 30)  # nothing was labelled yet
    assert one.tab.locator("#rest").is_hidden()
    one.press("1")
    work(one, 18)
    one.tab.clock.fast_forward("01:50")
    assert one.tab.locator("#rest").is_hidden()
    one.press("1")
    one.tab.clock.fast_forward("00:30")
    one.tab.wait_for_selector("#rest[open]")
    assert "20 minutes" in one.text("#rest")
    one.tab.keyboard.down(" ")
    assert one.tab.locator("#rest").is_hidden()
    assert one.filter() == BLURRED, "the key that dismisses it does nothing else"
    one.tab.keyboard.up(" ")
    one.press("2")
    work(one, 20)
    one.tab.clock.fast_forward("00:30")
    one.tab.wait_for_selector("#rest[open]")
    one.tab.keyboard.press("3")
    assert one.tab.locator("#rest").is_hidden()
    assert [row["label"] for row in said()] == ["friendly", "friendly", "conflict_and_force"]
    work(one, 18)
    assert one.tab.locator("#rest").is_hidden()


def test_a_break_comes_after_an_answer_and_outlives_a_reload(
    page: Page, coder: str, label: Callable[..., Labelling]
) -> None:
    one = label(page, coder, clock=True)
    one.press("1")
    work(one, 18)
    one.tab.clock.fast_forward("01:58")
    one.tab.keyboard.press("Shift")  # somebody is at it
    one.tab.clock.run_for(3_000)
    assert one.tab.locator("#rest").is_hidden()
    one.press("1")
    assert one.tab.locator("#rest").is_visible()
    one.tab.reload()
    one.tab.wait_for_selector("#rest[open]")


@pytest.mark.parametrize("back", ["a key", "a reload"])
def test_who_was_away_had_a_break(page: Page, coder: str, label: Callable[..., Labelling], back: str) -> None:
    one = label(page, coder, clock=True)
    one.press("1")
    work(one, 14)
    one.tab.clock.fast_forward("45:00")
    assert one.tab.locator("#rest").is_hidden(), "nobody is there to be told"
    if back == "a reload":
        one.tab.reload()
    one.press("2")
    work(one, 18)
    assert one.tab.locator("#rest").is_hidden()
    work(one, 2)
    one.tab.clock.fast_forward("00:10")
    one.tab.wait_for_selector("#rest[open]")
    assert "20 minutes" in one.text("#rest")


def answer(page: Page, coder: str, picture: str, said: str, note: str = "") -> None:
    """An answer to a picture, without the browser."""
    body = {"coder": coder, "question": LABELS.question_key, "round": 1, "picture": picture, "rows": 0}
    assert page.ask("POST", "/api/answer", {**body, "label": said, "note": note})[0] == 200


def test_the_shares_and_their_intervals_show_and_shrink(
    page: Page, coder: str, pictures: list[str], label: Callable[..., Labelling]
) -> None:
    one = label(page, coder)
    one.tab.wait_for_selector("#basis:text('They appear as you label')")
    widths = []
    for done in (32, 64):
        for number in range(done - 32, done - 1):
            answer(page, coder, pictures[number], NAMES[(0, 0, 1, 1, 2, 2, 2)[number % 7]])
        one.tab.reload()
        one.press("3")
        one.tab.wait_for_selector(f"#basis:text('{done} pictures')")
        assert one.tab.locator("#bars dt").count() == 3
        widths.append(one.tab.eval_on_selector("#share-friendly .range", "range => parseFloat(range.style.width)"))
    assert 0 < widths[1] < widths[0]
    assert "From your answers alone" in one.text("#basis")


def test_an_unreadable_picture_can_only_be_skipped(pages: Pages, run: Run, label: Callable[..., Labelling]) -> None:
    first = order(run)[0]
    next(Path(run.location).glob(f"images/*/{first}.jpg")).write_bytes(b"<html>")
    one = label(pages(), "ann")
    assert "can't be shown: a web page, not a picture. Skip it." in one.text("#unreadable")
    one.tab.keyboard.press("1")
    one.press("s")
    assert one.tab.locator("#unreadable").is_hidden()
    assert [(row["sha256"], row["label"]) for row in stored(run)] == [(first, "skip")]
    assert all("422" in text for text in one.said)
    one.said.clear()


def test_a_full_disk_is_said_and_waited_for(pages: Pages, run: Run, label: Callable[..., Labelling]) -> None:
    one = label(pages(), "ann")
    place = Path(run.location, "labels.csv")
    place.mkdir()  # nothing can be written there
    one.look()
    one.tab.keyboard.press("2")
    one.tab.wait_for_selector("#alarm:not([hidden])")
    assert "“Conflict and force” is not saved yet" in one.text("#alarm")
    place.rmdir()
    one.tab.wait_for_selector("#alarm", state="hidden")
    assert one.text("#count") == "1 of 70"
    assert [(row["sha256"], row["label"]) for row in stored(run)] == [(order(run)[0], "conflict_and_force")]
    assert all("503" in text for text in one.said)
    one.said.clear()


def test_an_address_without_its_token_shows_nothing(page: Page, browser: Browser) -> None:
    tab = browser.new_page()
    tab.goto(page.base)
    tab.wait_for_selector("#alarm:not([hidden])")
    assert "not the whole one" in tab.inner_text("#alarm")
    tab.goto(f"{page.base}/#{'x' * 43}")
    tab.wait_for_selector("#alarm:text('refuses')")
    assert tab.locator("#work").is_hidden()
    assert LABELS.question not in tab.content()
    tab.goto(page.url)  # the same page with the right token
    tab.wait_for_selector("#naming[open]")
    tab.close()


def test_another_site_can_neither_read_nor_post_nor_frame(
    shared: tuple[Page, Run], pictures: list[str], browser: Browser
) -> None:
    """Even one that knows the key, on another port of this machine."""
    page, run = shared
    body = {"coder": "eve", "question": LABELS.question_key, "round": 1, "picture": pictures[0], "rows": 0}
    tab = browser.new_page()
    evil = "http://127.0.0.1:9/"
    tab.route(f"{evil}**", lambda route: route.fulfill(content_type="text/html", body="<title>evil</title>"))
    tab.goto(evil)
    outcome = tab.evaluate(
        """async ([base, key, body]) => {
            const results = [];
            const text = JSON.stringify(body);
            const headers = {"Content-Type": "application/json", "X-Review-Key": key};
            for (const [path, options] of [
                ["/api/hello", {headers: {"X-Review-Key": key}}],
                ["/api/answer", {method: "POST", headers, body: text}],
                ["/api/answer", {method: "POST", headers: {"Content-Type": "text/plain"}, body: text, mode: "no-cors"}],
            ]) {
                try {
                    const answer = await fetch(base + path, options);
                    results.push([answer.type, answer.status]);
                } catch (error) {
                    results.push(["refused", 0]);
                }
            }
            navigator.sendBeacon(base + "/api/answer", text);
            const form = document.createElement("form");
            form.method = "post";
            form.enctype = "text/plain";
            form.action = base + "/api/answer";
            form.target = "sink";
            const sink = document.createElement("iframe");
            sink.name = "sink";
            document.body.append(form, sink);
            form.submit();
            await new Promise((resolve) => sink.addEventListener("load", resolve));
            return results;
        }""",
        [page.base, page.key, {**body, "label": "friendly", "note": ""}],
    )
    assert outcome[:2] == [["refused", 0], ["refused", 0]]
    assert outcome[2] in (["opaque", 0], ["refused", 0])
    framed = tab.evaluate(
        """async (url) => {
            const frame = document.createElement("iframe");
            frame.src = url;
            const loaded = new Promise((resolve) => frame.addEventListener("load", resolve));
            document.body.append(frame);
            await loaded;
            return frame.contentDocument === null;
        }""",
        page.url,
    )
    assert framed
    assert all("naming" not in frame.content() for frame in tab.frames)
    tab.close()
    assert not [row for row in stored(run) if row["coder"] == "eve"]


def test_a_name_is_asked_once_and_known_ones_can_be_picked(
    pages: Pages, run: Run, label: Callable[..., Labelling]
) -> None:
    page = pages()
    ann = label(page, HOSTILE[:90])
    ann.press("1")
    ann.tab.reload()
    ann.shown()
    assert ann.text("#coder") == HOSTILE[:90]
    bob = label(page)
    bob.tab.wait_for_selector("#naming[open]")
    bob.tab.keyboard.press("Escape")
    assert bob.tab.locator("#naming").is_visible(), "without a name nothing goes on"
    bob.tab.click("#names button")
    assert bob.shown() == order(run)[1]
    bob.press("2")
    assert [row["coder"] for row in stored(run)] == [HOSTILE[:90]] * 2
    bob.tab.click("#coder")
    bob.name("bob")
    assert bob.text("#count") == "0 of 70"
    assert bob.tab.locator("#undo").is_disabled()


def test_a_given_name_is_not_asked(pages: Pages, run: Run, label: Callable[..., Labelling]) -> None:
    one = label(pages(coder="ann"))
    one.shown()
    assert one.tab.locator("#naming").is_hidden()
    one.press("1")
    assert [row["coder"] for row in stored(run)] == ["ann"]


def test_keys_of_other_keyboards_and_of_the_browser(
    page: Page, coder: str, said: Callable[[], list[dict[str, str]]], label: Callable[..., Labelling]
) -> None:
    one = label(page, coder)
    event = "([key, code]) => void document.dispatchEvent(new KeyboardEvent('keydown', {key, code, bubbles: true}))"

    def key(key: str, code: str) -> None:
        one.tab.evaluate(event, [key, code])

    one.look()
    one.tab.keyboard.press("Control+1")
    one.tab.keyboard.press("4")
    one.tab.keyboard.press("x")
    for arrow, code in (("End", "Numpad1"), ("ArrowDown", "Numpad2"), ("PageDown", "Numpad3"), ("Insert", "Numpad0")):
        key(arrow, code)  # NumLock is off
    key("\u044f", "KeyZ")  # a letter that means nothing
    key("\xf9", "KeyU")  # a Latin letter is what it is, wherever it stands
    assert one.tab.locator("#noting").is_hidden()
    for pressed, code in (("2", "Numpad2"), ("&", "Digit1"), ("\u0663", "Digit3"), ("\u0661", "Numpad1")):
        one.look()
        one.does(lambda pressed=pressed, code=code: key(pressed, code))
    one.does(lambda: key("\u044b", "KeyS"))  # Cyrillic
    one.does(lambda: key("\u03b8", "KeyU"))  # Greek
    one.shown()
    key("\u0442", "KeyN")
    assert one.tab.locator("#noting").is_visible()
    assert [row["label"] for row in said()] == [
        *("conflict_and_force", "friendly", "neither", "friendly"),
        *("skip", ""),
    ]


def test_an_answer_on_its_way_is_not_followed_by_its_coder_s_next_picture_under_another_name(
    page: Page, coder: str, pictures: list[str], shared: tuple[Page, Run], label: Callable[..., Labelling]
) -> None:
    ann, bob = coder, f"bob {coder}"[:100]
    one = label(page, ann)
    held: list[Any] = []
    one.tab.route("**/api/answer", lambda route: route.continue_() if held else held.append(route))
    one.look()
    one.tab.keyboard.press("2")
    one.tab.wait_for_function("() => document.body.getAttribute('aria-busy') === 'true'")
    one.tab.click("#coder")
    one.name(bob)
    assert (one.shown(), one.text("#count")) == (pictures[0], "0 of 70")
    with one.tab.expect_response("**/api/answer"):
        held[0].continue_()
    one.tab.evaluate("new Promise((done) => setTimeout(done, 50))")
    assert (one.shown(), one.text("#count"), one.text("#coder")) == (pictures[0], "0 of 70", bob)
    one.press("3")
    assert one.shown() == pictures[1]
    rows = [(row["coder"], row["sha256"], row["label"]) for row in stored(shared[1]) if row["coder"] in (ann, bob)]
    assert rows == [(ann, pictures[0], "conflict_and_force"), (bob, pictures[0], "neither")]


def test_another_spelling_of_a_name_is_asked_about(page: Page, coder: str, label: Callable[..., Labelling]) -> None:
    label(page, coder).press("1")
    one = label(page)
    one.tab.wait_for_selector("#naming[open]")
    one.tab.fill("#name", coder.upper())
    one.tab.keyboard.press("Enter")
    one.tab.wait_for_function("() => document.querySelector('#name').validationMessage.includes('is written')")
    assert one.tab.locator("#naming").is_visible()
    assert all("400" in text for text in one.said)
    one.said.clear()
    one.tab.locator("#names button").get_by_text(coder, exact=True).click()
    one.shown()
    assert one.text("#count") == "1 of 70"


def test_who_takes_the_port_while_the_server_is_away_is_sent_nothing(
    pages: Pages, run: Run, label: Callable[..., Labelling]
) -> None:
    """Even one that can ask the true server, on another port, to prove whatever it likes."""
    page = pages()
    one = label(page, "ann")
    one.look()
    one.tab.wait_for_load_state("networkidle")  # or a request that the true server has proved may reach the other one
    page.end(signal.SIGKILL)
    asked: list[tuple[str, str, dict[str, str]]] = []
    with taken(page, asked) as true:
        one.tab.keyboard.press("2")
        one.tab.wait_for_selector("#alarm:text('Another program answers here now, and was sent nothing')")
        assert "“Conflict and force” is not saved yet" in one.text("#alarm")
        elsewhere = pages()  # the command is started anew, and gets another port
        assert (elsewhere.token, elsewhere.port == page.port) == (page.token, False)
        true.append(elsewhere)
        before = len(asked)
        while len(asked) < before + 2:
            one.tab.wait_for_timeout(50)
        elsewhere.end(signal.SIGKILL)
    assert {path.partition("?")[0] for _, path, _ in asked} == {"/api/proof"}
    assert not [name for _, _, headers in asked for name in headers if name.lower().startswith("x-review")]
    assert page.token not in str(asked)
    assert stored(run) == []
    assert pages().url == page.url
    one.tab.wait_for_selector("#alarm", state="hidden")
    one.shown()
    assert [(row["sha256"], row["label"]) for row in stored(run)] == [(order(run)[0], "conflict_and_force")]
    one.said.clear()


@contextmanager
def taken(page: Page, asked: list[tuple[str, str, dict[str, str]]]) -> Iterator[list[Page]]:
    """Somebody else's server at the page's port, who passes questions on to a true one as soon as there is one."""
    true: list[Page] = []

    class Impostor(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.command, self.path, dict(self.headers)))
            status, content = 200, b'{"start": "", "proof": ""}'
            if true:
                status, _, content = true[0].ask("GET", self.path, X_Review_Key=None)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", page.port), Impostor) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield true
        server.shutdown()


def test_settling_shows_texts_answers_and_notes_as_text(
    pages: Pages, run: Run, label: Callable[..., Labelling]
) -> None:
    blind = pages(labels=HOSTILE_LABELS)
    coders = [f"ann {HOSTILE}"[:100], f"bob {HOSTILE}"[:100]]
    disputed = order(run)[2]
    for coder, labels in zip(coders, (("friendly",) * 4, ("friendly", "friendly", "neither", "skip")), strict=True):
        for sha256, said in zip(order(run), labels, strict=False):
            answer(blind, coder, sha256, said, f"note {HOSTILE}")
    first = label(blind, "cleo")
    assert first.tab.locator("#dispute").is_hidden()
    assert SECRET not in first.tab.content()
    first.tab.goto("about:blank")  # it may be fetching still
    blind.end()

    one = label(pages(settle=True, labels=HOSTILE_LABELS), "cleo")
    assert (one.shown(), one.text("#count")) == (disputed, "0 of 1")
    assert one.filter() == BLURRED
    assert HOSTILE in one.text("#texts blockquote")
    assert SECRET in one.text("#texts blockquote")
    for selector, words in (("#answers .who", coders[0]), ("#answers .note", f"note {HOSTILE}")):
        assert one.tab.locator(selector).first.inner_text() == words
    said = one.tab.locator("#answers .said").all_inner_texts()
    assert said == [f"{HOSTILE} friendly", f"{HOSTILE} neither"]
    assert one.tab.locator("#work script, #work img[src='x']").count() == 0
    one.press("3")
    assert "All disagreements are settled." in one.text("#done")
    row = stored(run)[-1]
    assert (row["sha256"], row["label"], row["coder"], row["round"]) == (disputed, "neither", "cleo", "2")


@pytest.mark.parametrize("size", [(380, 700), (1280, 800)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits(page: Page, coder: str, label: Callable[..., Labelling], size: tuple[int, int], scheme: str) -> None:
    """Nothing is wider than the window, what is needed to answer is in it, and it is dark where that is asked for."""
    one = label(page, coder, color_scheme=scheme)
    one.tab.set_viewport_size({"width": size[0], "height": size[1]})
    assert one.tab.evaluate("document.documentElement.scrollWidth") <= size[0]
    for selector in ("#question", "#frame img", "#look", "#classes button:last-child"):
        box = one.tab.locator(selector).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size[0]
        assert box["y"] + box["height"] <= size[1]
    paper = one.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, paper.removeprefix("rgb(").removesuffix(")").split(","))) > 3 * 128
    assert light == (scheme == "light")


def test_the_page_says_what_its_parts_are_to_those_who_can_t_see_it(
    page: Page, coder: str, label: Callable[..., Labelling]
) -> None:
    one = label(page, coder)
    assert one.tab.get_by_role("group", name=LABELS.question).get_by_role("button").count() == 3
    for name in ("1 Friendly", "U Undo", "S Skip", "N Note"):
        role, word = name.split(" ", 1)
        assert one.tab.get_by_role("button", name=word).count() >= 1, role
    assert one.tab.get_by_role("status").first.inner_text() == "0 of 70"
    one.tab.keyboard.press("Tab")
    width = one.tab.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
    assert width >= 2, "who goes by Tab sees where they are"
    assert "Enter presses a button; the space bar always shows the picture" in one.text("#pressing")
    while not one.tab.evaluate("document.activeElement.matches('#classes button')"):
        one.tab.keyboard.press("Tab")
    box = one.tab.locator("#pressing").bounding_box()
    assert box is not None
    assert box["width"] > 100, "and is told how to press what they are on"
    one.look()
    one.tab.locator("#classes button").nth(2).focus()
    one.does(lambda: one.tab.keyboard.press("Enter"))
    assert one.text("#count") == "1 of 70"


def test_the_next_picture_is_there_before_it_is_asked(
    page: Page, coder: str, pictures: list[str], label: Callable[..., Labelling]
) -> None:
    one = label(page, coder)
    second = pictures[1]
    one.tab.wait_for_load_state("networkidle")
    before = sum(f"/api/picture/{second}" in url for url in one.asked)
    one.press("1")
    assert one.shown() == second
    assert before == sum(f"/api/picture/{second}" in url for url in one.asked) == 1
