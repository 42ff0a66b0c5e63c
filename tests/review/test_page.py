"""The page, driven in headless Chromium as a person drives it, with servers that are processes of their own."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from made_run import HOSTILE, HOSTILE_LABELS, LABELS, NAMES, SECRET, Page, Pages, make_run, order, stored
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Request, sync_playwright
from playwright.sync_api import Page as Tab

from hashtag_photos.run import Run

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).exists(), reason=f"there is no {CHROMIUM}: scripts/get_chromium.sh gets it"
)
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
BLURRED, CLEAR = "blur(36px) grayscale(1)", "none"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
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

    def press(self, key: str) -> None:
        """Press a key, and wait for what comes of it."""
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
    ann.tab.keyboard.press("3")
    ann.tab.wait_for_selector("#alarm:not([hidden])")
    for words in ("does not answer", "“Neither” is not saved yet", "goes on by itself"):
        assert words in ann.text("#alarm")
    for key in ("1", "2", "s", "u"):  # of what is pressed meanwhile nothing counts
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


def test_a_picture_is_blurred_and_grey_until_space_is_held(pages: Pages, label: Callable[..., Labelling]) -> None:
    one = label(pages(), "ann")
    assert one.filter() == BLURRED
    one.tab.keyboard.down(" ")
    assert one.filter() == CLEAR
    one.tab.keyboard.down(" ")  # as a held key repeats
    assert one.filter() == CLEAR
    one.tab.keyboard.up(" ")
    assert one.filter() == BLURRED

    one.tab.keyboard.down(" ")
    one.press("1")
    assert one.filter() == BLURRED, "a new picture, though the key is still held"
    one.tab.keyboard.down(" ")
    assert one.filter() == BLURRED
    one.tab.keyboard.up(" ")
    one.tab.keyboard.down(" ")
    assert one.filter() == CLEAR
    one.tab.evaluate("window.dispatchEvent(new Event('blur'))")
    assert one.filter() == BLURRED


def test_no_moment_shows_a_new_picture_clear(pages: Pages, label: Callable[..., Labelling]) -> None:
    """Looked at in every frame that is drawn, with the key held all the time."""
    one = label(pages(), "ann")
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
    one.tab.keyboard.down(" ")
    one.tab.wait_for_function("() => window.clear.size === 1")
    for _ in range(10):
        one.press("2")
    assert one.tab.evaluate("window.clear.size") == 1


@pytest.mark.parametrize("target", ["#look", "#frame"])
def test_a_picture_is_shown_while_a_pointer_is_pressed(
    pages: Pages, label: Callable[..., Labelling], target: str
) -> None:
    one = label(pages(), "ann")
    box = one.tab.locator(target).bounding_box()
    assert box is not None
    one.tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
    one.tab.mouse.down()
    assert one.filter() == CLEAR
    one.tab.mouse.move(5, 5)
    assert one.filter() == CLEAR
    one.tab.mouse.up()
    assert one.filter() == BLURRED


def test_buttons_do_what_keys_do(pages: Pages, run: Run, label: Callable[..., Labelling]) -> None:
    one = label(pages(), "ann", has_touch=True)
    for selector in ("#classes button:nth-child(2)", "#skip", "#undo"):
        one.does(lambda selector=selector: one.tab.tap(selector))
    assert [row["label"] for row in stored(run)] == ["conflict_and_force", "skip", ""]
    labels = one.tab.eval_on_selector_all("#classes button", "all => all.map(each => each.innerText.split(/\\s/)[0])")
    assert labels == ["1", "2", "3"]


def test_a_key_that_repeats_or_is_pressed_twice_labels_one_picture(
    pages: Pages, run: Run, label: Callable[..., Labelling]
) -> None:
    one = label(pages(), "ann")
    first, second, third = order(run)[:3]
    one.tab.route("**/api/answer", lambda route: (one.tab.wait_for_timeout(300), route.continue_()))
    one.tab.keyboard.down("1")
    one.tab.keyboard.down("1")
    one.tab.keyboard.press("2")  # while the answer is on its way
    one.tab.wait_for_selector(f"#frame[data-picture='{second}']")
    assert one.shown() == second
    one.tab.keyboard.down("1")  # still held
    one.tab.keyboard.up("1")
    one.press("3")
    assert one.shown() == third
    assert [(row["sha256"], row["label"]) for row in stored(run)] == [(first, "friendly"), (second, "neither")]


def test_an_answer_that_got_lost_on_its_way_back_is_stored_once(
    pages: Pages, run: Run, label: Callable[..., Labelling]
) -> None:
    one = label(pages(), "ann")
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
    assert [(row["sha256"], row["label"]) for row in stored(run)] == [(order(run)[0], "friendly")]
    assert all("ERR_FAILED" in text for text in one.said)
    one.said.clear()


def test_two_tabs_of_a_coder_don_t_get_into_each_other_s_way(
    pages: Pages, run: Run, label: Callable[..., Labelling]
) -> None:
    page = pages()
    one, other = label(page, "ann"), label(page, "ann")
    one.press("1")
    other.press("1")  # the same picture, the same answer
    one.press("2")
    other.press("3")  # the same picture, another answer
    assert "answered elsewhere" in other.text("#notice")
    assert other.shown() == one.shown() == order(run)[2]
    assert [(row["sha256"], row["label"]) for row in stored(run)] == [
        (order(run)[0], "friendly"),
        (order(run)[1], "conflict_and_force"),
    ]
    assert ["409" in text for text in other.said] == [True]
    other.said.clear()


def test_undo_skip_and_note(pages: Pages, run: Run, label: Callable[..., Labelling]) -> None:
    one = label(pages(), "ann")
    first, second = order(run)[:2]
    assert one.tab.locator("#undo").is_disabled()
    one.tab.keyboard.press("n")
    one.tab.keyboard.type("12s u: two people")  # types, and labels nothing
    one.tab.keyboard.press("Escape")
    assert one.text("#noted") == "Note"
    one.tab.keyboard.press("n")
    one.tab.keyboard.type(f"  {HOSTILE} ")
    one.tab.keyboard.press("Enter")
    assert one.text("#noted") == HOSTILE
    assert stored(run) == []
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
    assert [(row["sha256"], row["label"], row["note"]) for row in stored(run)] == [
        (first, "friendly", HOSTILE),
        (second, "skip", ""),
        (second, "", ""),
        (first, "", ""),
        (first, "neither", HOSTILE),
    ]


def test_a_note_can_be_opened_again_in_the_same_moment(pages: Pages, label: Callable[..., Labelling]) -> None:
    """Before the page is drawn, what was closed still has the focus unless it gives it up."""
    one = label(pages(), "ann")
    one.tab.evaluate(
        """() => {
            for (const key of ["n", "Escape", "n"])
                document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
        }"""
    )
    assert one.tab.locator("#noting").is_visible()


def test_a_note_that_is_still_open_goes_with_a_click(pages: Pages, run: Run, label: Callable[..., Labelling]) -> None:
    one = label(pages(), "ann")
    one.tab.keyboard.press("n")
    one.tab.keyboard.type("unfinished")
    one.does(lambda: one.tab.click("#classes button:nth-child(1)"))
    assert [row["note"] for row in stored(run)] == ["unfinished"]


def test_the_end_says_so_and_can_be_undone(pages: Pages, run: Run, label: Callable[..., Labelling]) -> None:
    page = pages()
    for number, sha256 in enumerate(order(run)[:69]):
        body = {"coder": "ann", "question": LABELS.question_key, "round": 1, "picture": sha256, "rows": 0, "note": ""}
        assert page.ask("POST", "/api/answer", {**body, "label": "skip" if number == 3 else "friendly"})[0] == 200
    one = label(page, "ann")
    one.press("1")
    assert one.tab.locator("#again").is_visible()
    assert one.shown() == order(run)[3]
    one.press("s")
    assert "70 of 70 pictures are labelled, and saved. 1 of them skipped." in one.text("#done")
    one.tab.keyboard.press("1")
    one.press("u")
    assert one.shown() == order(run)[3]
    assert [row["label"] for row in stored(run)][-3:] == ["friendly", "skip", ""]


def test_a_break_is_suggested_after_20_minutes(pages: Pages, run: Run, label: Callable[..., Labelling]) -> None:
    one = label(pages(), "ann", clock=True)
    one.tab.clock.fast_forward("30:00")  # nothing was labelled yet
    assert one.tab.locator("#rest").is_hidden()
    one.press("1")
    one.tab.clock.fast_forward("19:50")
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
    one.tab.clock.fast_forward("20:30")
    one.tab.wait_for_selector("#rest[open]")
    one.tab.keyboard.press("3")
    assert one.tab.locator("#rest").is_hidden()
    assert [row["label"] for row in stored(run)] == ["friendly", "friendly", "conflict_and_force"]
    one.tab.clock.fast_forward("19:00")
    assert one.tab.locator("#rest").is_hidden()


def test_a_break_comes_after_an_answer_and_outlives_a_reload(pages: Pages, label: Callable[..., Labelling]) -> None:
    one = label(pages(), "ann", clock=True)
    one.press("1")
    one.tab.clock.fast_forward("19:58")
    one.tab.keyboard.press("Shift")  # somebody is at it
    one.tab.clock.run_for(3_000)
    assert one.tab.locator("#rest").is_hidden()
    one.press("1")
    assert one.tab.locator("#rest").is_visible()
    one.tab.reload()
    one.tab.wait_for_selector("#rest[open]")


def test_the_shares_and_their_intervals_show_and_shrink(pages: Pages, label: Callable[..., Labelling]) -> None:
    one = label(pages(), "ann")
    one.tab.wait_for_selector("#basis:text('They appear as you label')")
    widths = []
    for _ in range(2):
        for number in range(32):
            one.press("1122333"[number % 7])
        done = one.text("#count").split()[0]
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
    one.tab.keyboard.press("2")
    one.tab.wait_for_selector("#alarm:not([hidden])")
    assert "“Conflict and force” is not saved yet" in one.text("#alarm")
    place.rmdir()
    one.tab.wait_for_selector("#alarm", state="hidden")
    assert one.text("#count") == "1 of 70"
    assert [(row["sha256"], row["label"]) for row in stored(run)] == [(order(run)[0], "conflict_and_force")]
    assert all("503" in text for text in one.said)
    one.said.clear()


def test_an_address_without_its_token_shows_nothing(pages: Pages, run: Run, browser: Browser) -> None:
    page = pages()
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
    pages: Pages, run: Run, browser: Browser, tmp_path: Path
) -> None:
    """Even one that knows the token, on another port of this machine."""
    page = pages()
    body = {"coder": "eve", "question": LABELS.question_key, "round": 1, "picture": order(run)[0], "rows": 0}
    tab = browser.new_page()
    evil = "http://127.0.0.1:9/"
    tab.route(f"{evil}**", lambda route: route.fulfill(content_type="text/html", body="<title>evil</title>"))
    tab.goto(evil)
    outcome = tab.evaluate(
        """async ([base, token, body]) => {
            const results = [];
            const text = JSON.stringify(body);
            const headers = {"Content-Type": "application/json", "X-Review-Token": token};
            for (const [path, options] of [
                ["/api/hello", {headers: {"X-Review-Token": token}}],
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
        [page.base, page.token, {**body, "label": "friendly", "note": ""}],
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
    assert stored(run) == []


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


def test_keys_of_other_keyboards_and_of_the_browser(pages: Pages, run: Run, label: Callable[..., Labelling]) -> None:
    one = label(pages(), "ann")
    one.tab.keyboard.press("Control+1")
    one.tab.keyboard.press("4")
    one.tab.keyboard.press("x")
    one.press("Numpad2")
    azerty = "document.dispatchEvent(new KeyboardEvent('keydown', {key: '&', code: 'Digit1', bubbles: true}))"
    one.does(lambda: one.tab.evaluate(azerty))
    assert [row["label"] for row in stored(run)] == ["conflict_and_force", "friendly"]


def test_settling_shows_texts_answers_and_notes_as_text(
    pages: Pages, run: Run, label: Callable[..., Labelling]
) -> None:
    blind = pages(labels=HOSTILE_LABELS)
    coders = [f"ann {HOSTILE}"[:100], f"bob {HOSTILE}"[:100]]
    disputed = order(run)[2]
    for coder, labels in zip(coders, (("friendly",) * 4, ("friendly", "friendly", "neither", "skip")), strict=True):
        for sha256, said in zip(order(run), labels, strict=False):
            body = {"coder": coder, "question": LABELS.question_key, "round": 1, "picture": sha256, "rows": 0}
            answer = {**body, "label": said, "note": f"note {HOSTILE}"}
            assert blind.ask("POST", "/api/answer", answer)[0] == 200
    first = label(blind, "cleo")
    assert first.tab.locator("#dispute").is_hidden()
    assert SECRET not in first.tab.content()
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
def test_it_fits(pages: Pages, label: Callable[..., Labelling], size: tuple[int, int], scheme: str) -> None:
    """Nothing is wider than the window, what is needed to answer is in it, and it is dark where that is asked for."""
    one = label(pages(), "ann", color_scheme=scheme)
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
    pages: Pages, label: Callable[..., Labelling]
) -> None:
    one = label(pages(), "ann")
    assert one.tab.get_by_role("group", name=LABELS.question).get_by_role("button").count() == 3
    for name in ("1 Friendly", "U Undo", "S Skip", "N Note"):
        role, word = name.split(" ", 1)
        assert one.tab.get_by_role("button", name=word).count() >= 1, role
    assert one.tab.get_by_role("status").first.inner_text() == "0 of 70"
    one.tab.keyboard.press("Tab")
    width = one.tab.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
    assert width >= 2, "who goes by Tab sees where they are"


def test_the_next_picture_is_there_before_it_is_asked(pages: Pages, run: Run, label: Callable[..., Labelling]) -> None:
    one = label(pages(), "ann")
    second = order(run)[1]
    one.tab.wait_for_load_state("networkidle")
    before = sum(f"/api/picture/{second}" in url for url in one.asked)
    one.press("1")
    assert one.shown() == second
    assert before == sum(f"/api/picture/{second}" in url for url in one.asked) == 1
