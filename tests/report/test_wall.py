import base64
import io
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import picture
from made_pictures import LABELS, MODEL_KEY, Made, Seen, elements, gallery, make_run, page, sha256, tally_of, wall
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, sync_playwright
from playwright.sync_api import Page as Tab

from hashtag_photos.records import Attachment, Post
from hashtag_photos.report import wall as module
from hashtag_photos.report.charts import looks
from hashtag_photos.report.pictures import counted_pictures
from hashtag_photos.report.wall import LARGEST, arranged
from hashtag_photos.run import Run
from hashtag_photos.stages.group import groups_path
from hashtag_photos.tables import GROUPS, posts_table

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
MISSING = f"there is no {CHROMIUM}: scripts/get_chromium.sh gets it"
REQUIRED = os.environ.get("HASHTAG_PHOTOS_BROWSER") == "required"  # as .ci/run sets it
HOSTILE = "<script>window.hacked=1</script><img src=x onerror=window.hacked=2>"


def color(number: int) -> tuple[int, int, int]:
    return (number * 53 % 256, number * 97 % 256, number * 151 % 256)


def made(number: int) -> Made:
    """An image of a color of its own, a post of its own, and one of two kinds of vectors."""
    vector = np.random.default_rng(number).normal((number % 2, 1 - number % 2, 0, 0), 0.05)
    chances = (0.9, 0.06, 0.04) if number % 2 else (0.05, 0.85, 0.1)
    seen = (Seen(number=number, hours=number, url=f"https://social.example/{number}", alt=f"number {number}"),)
    return Made(content=picture(color(number), (60, 40)), chances=chances, seen=seen, vector=vector)


def opened(data: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2])))


def test_alike_vectors_get_cells_near_each_other() -> None:
    random = np.random.default_rng(0)
    of = np.arange(120) % 4
    vectors = np.eye(4, 64)[of] + random.normal(0, 0.05, (120, 64))
    cells = arranged(vectors, 12)
    assert cells is not None
    assert sorted(cells) == list(range(120))
    places = np.stack(np.divmod(cells, 12), axis=1)
    apart = np.linalg.norm(places[:, np.newaxis] - places, axis=2)
    same = of[:, np.newaxis] == of
    assert apart[same].mean() < 0.6 * apart[~same].mean()
    nearest = np.argsort(apart, axis=1)[:, 1:4]
    assert (of[nearest] == of[:, np.newaxis]).mean() > 0.85
    assert (arranged(vectors, 12) == cells).all()


@pytest.mark.parametrize("count", [5, 6, 7, 31])
def test_any_number_fills_the_first_cells(count: int) -> None:
    vectors = np.random.default_rng(1).normal(size=(count, 3))
    cells = arranged(vectors, 4)
    assert cells is not None
    assert sorted(cells) == list(range(count))


def test_vectors_that_are_almost_all_the_same_are_laid_out() -> None:
    vectors = np.ones((40, 8))
    vectors[17] = -1
    cells = arranged(vectors, 8)
    assert cells is not None
    assert sorted(cells) == list(range(40))


@pytest.mark.parametrize("vectors", [np.ones((40, 8)), np.eye(4), np.zeros((30, 0))], ids=["same", "few", "none"])
def test_what_can_t_be_told_apart_is_not_laid_out(vectors: np.ndarray) -> None:
    assert arranged(vectors, 4) is None


def test_each_tile_shows_its_picture(tmp_path: Path) -> None:
    images = {each.sha256: number for number in range(23) if (each := made(number))}
    run = make_run(tmp_path / "run", *map(made, range(23)))
    found = wall(run, tally_of(run))
    assert found is not None
    assert found.alike
    assert (found.pictures, found.columns, found.rows) == (23, 6, 4)
    assert {each.picture for each in found.tiles} == set(images)
    sharp, blurred = opened(found.sharp), opened(found.blurred)
    assert sharp.size == (6 * LARGEST, 4 * LARGEST)
    assert blurred.width * found.rows == blurred.height * found.columns
    assert blurred.width < found.columns * 8  # so few pixels a tile that nobody is known by them
    for number, each in enumerate(found.tiles):
        row, column = divmod(number, found.columns)
        for mosaic in (sharp, blurred):
            side = mosaic.width // found.columns
            seen = mosaic.getpixel((column * side + side // 2, row * side + side // 2))
            assert np.abs(np.subtract(seen, color(images[each.picture]))).max() < 40
    labels = [each.label for each in found.tiles]
    steps = [(at, at + 1) for at in range(22) if (at + 1) % 6] + [(at, at + 6) for at in range(17)]
    assert np.mean([labels[one] == labels[other] for one, other in steps]) > 0.75
    assert wall(run, tally_of(run)) == found


def test_few_pictures_stand_in_order(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", *map(made, range(3)))
    found = wall(run, tally_of(run))
    assert found is not None
    assert not found.alike
    assert [each.picture for each in found.tiles] == sorted(made(number).sha256 for number in range(3))
    html = page(tally_of(run), gallery(run, tally_of(run)), found)
    assert "All 3 pictures." in html
    assert "alike are near" not in html


def test_of_many_some_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 12)
    run = make_run(tmp_path / "run", *map(made, range(30)))
    tally = tally_of(run)
    found = wall(run, tally)
    assert found is not None
    assert (len(found.tiles), found.pictures) == (12, 30)
    assert "12 of 30 pictures, drawn at random" in page(tally, gallery(run, tally), found)
    more = counted_pictures(run, tally).drawn(20)
    assert {each.picture for each in found.tiles} < set(more)  # the same draw, only longer
    assert more == sorted(more)


def test_groups_are_drawn_no_more_often_than_others(tmp_path: Path) -> None:
    """A group is named by the smallest of its names, so that those of large groups are small."""
    run = make_run(tmp_path / "run", made(0))
    tally, row = tally_of(run), run.read_table(f"scores/{MODEL_KEY}/{LABELS.key}.parquet")
    assert row is not None
    hashes = [sha256(f"{number}".encode()) for number in range(4_000)]
    groups = [sorted(hashes[at : at + 9]) for at in range(0, 3_600, 9)]  # 400 groups of nine, and 400 of one
    names = sorted(hashes)
    of = {name: group[0] for group in groups for name in group}
    columns = [
        pa.array([row.column(name)[0].as_py()] * 4_000, row.schema.field(name).type) for name in row.column_names[1:]
    ]
    run.write_table(f"scores/{MODEL_KEY}/{LABELS.key}.parquet", pa.table([names, *columns], schema=row.schema))
    run.write_table(groups_path(MODEL_KEY), pa.table([names, [of.get(name, name) for name in names]], schema=GROUPS))
    post = Post(
        source="test", id="all", attachments=tuple(Attachment(url=f"http://a.example/{name}") for name in names)
    )
    run.append("posts", posts_table([post]))
    (photo,) = run.dataset("photos").to_table().to_pylist()
    rows = [photo | {"sha256": name, "post_id": "all", "position": at} for at, name in enumerate(names)]
    run.append("photos", pa.Table.from_pylist(rows, schema=run.dataset("photos").schema))
    drawn = counted_pictures(run, tally).drawn(200)
    first = {group[0] for group in groups}
    assert abs(sum(name in first for name in drawn) - 100) < 25


def test_files_that_are_gone_are_grey_and_told(tmp_path: Path) -> None:
    images = [made(number) for number in range(9)]
    run = make_run(tmp_path / "run", *images)
    gone = images[4]
    (tmp_path / "run/images" / gone.sha256[:2] / f"{gone.sha256}.jpg").unlink()
    tally = tally_of(run)
    found = wall(run, tally)
    assert found is not None
    assert found.gone == {gone.sha256}
    at = [each.picture for each in found.tiles].index(gone.sha256)
    row, column = divmod(at, found.columns)
    pixel = opened(found.sharp).getpixel((column * LARGEST + LARGEST // 2, row * LARGEST + LARGEST // 2))
    assert np.abs(np.subtract(pixel, (138, 138, 138))).max() < 6
    html = page(tally, gallery(run, tally), found)
    assert "1 of them is grey: its file is gone from the run’s folder, or damaged." in html
    assert html.count("(its file is gone or damaged)") == 1


def test_without_authors_nothing_is_there_that_posts_say(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", *map(made, range(6)))
    found = wall(run, tally_of(run), authors=False)
    assert found is not None
    assert not any(each.links or each.described for each in found.tiles)


def test_without_pictures_that_count_there_is_none(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", made(0))
    tally = tally_of(run)
    scores = run.read_table(f"scores/{MODEL_KEY}/{LABELS.key}.parquet")
    assert scores is not None
    run.write_table(f"scores/{MODEL_KEY}/{LABELS.key}.parquet", scores.slice(0, 0))
    assert wall(run, tally) is None


# In a browser


@pytest.fixture(scope="module")
def made_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wall")
    images = [made(number) for number in range(23)]
    images[7] = replace(images[7], seen=[Seen(number=7, url="javascript:window.hacked=3", alt=HOSTILE)])
    run: Run = make_run(folder / "run", *images)
    tally = tally_of(run)
    html = page(tally, gallery(run, tally), wall(run, tally))
    assert [tag for tag, _ in elements(html)].count("script") == 1  # ours
    path = folder / "page.html"
    path.write_text(html)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        if REQUIRED:
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Browser, made_page: Path) -> Iterator[Tab]:
    context: BrowserContext = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    wrong: list[str] = []
    tab.on("console", lambda message: wrong.append(message.text))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.goto(made_page.as_uri())
    yield tab
    assert not wrong
    assert tab.evaluate("window.hacked") is None
    context.close()


def focused(tab: Tab) -> int:
    return int(tab.evaluate("[...document.querySelectorAll('.tile')].indexOf(document.activeElement)"))


def test_tiles_are_walked_through_by_keys(tab: Tab) -> None:
    tab.locator(".wall-scroll").focus()
    tab.keyboard.press("Tab")
    assert focused(tab) == 0
    for key, there in (
        ("ArrowLeft", 0),
        ("ArrowRight", 1),
        ("ArrowDown", 7),
        ("ArrowDown", 13),
        ("End", 17),
        ("ArrowRight", 17),
        ("ArrowDown", 17),  # the last row is shorter
        ("Control+End", 22),
        ("ArrowRight", 22),
        ("Home", 18),
        ("ArrowUp", 12),
        ("Control+Home", 0),
        ("ArrowUp", 0),
    ):
        tab.keyboard.press(key)
        assert focused(tab) == there, key
    assert tab.locator(".tile[tabindex='0']").count() == 1
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Show it"


def test_a_tile_is_blurred_until_it_is_asked_for(tab: Tab) -> None:
    tab.locator("#wall").scroll_into_view_if_needed()
    hole = tab.locator("#wall-shown rect")
    tile = tab.locator(".tile").nth(8)
    assert tile.get_attribute("aria-label").endswith(", blurred")
    tile.focus()
    assert hole.count() == 0
    tab.keyboard.press("Space")
    assert hole.evaluate_all("all => all.map(each => ['x', 'y'].map(key => each.getAttribute(key)))") == [["2", "1"]]
    assert tile.get_attribute("aria-label").endswith(", shown")
    assert tab.locator("#status").inner_text() == "Picture 9 is shown"
    assert tab.locator(".wall-large use").get_attribute("href") == "#wall-sharp"
    tab.keyboard.press("Enter")
    assert tab.locator("#status").inner_text() == "Picture 9 is blurred again"
    assert hole.count() == 0
    assert tab.locator(".wall-large use").get_attribute("href") == "#wall-blurred"
    tile.click()
    assert hole.count() == 1
    tab.get_by_role("button", name="Blur it").click()
    assert hole.count() == 0


def test_the_switch_shows_all_and_takes_it_back(tab: Tab) -> None:
    clip = "getComputedStyle(document.querySelector('.wall-sharp')).clipPath"
    sharp, blurred = (tab.locator(f".picture .{name}").first for name in ("sharp", "blurred"))
    tile = tab.locator(".tile").nth(3)
    tile.focus()
    assert (tab.evaluate(clip) != "none", sharp.is_visible(), blurred.is_visible()) == (True, False, True)
    tab.locator("#reveal-all").check()
    assert (tab.evaluate(clip), sharp.is_visible(), blurred.is_visible()) == ("none", True, False)
    assert tile.get_attribute("aria-label").endswith(", shown")
    tab.locator("#reveal-all").uncheck()
    assert (tab.evaluate(clip) != "none", sharp.is_visible(), blurred.is_visible()) == (True, False, True)
    assert tile.get_attribute("aria-label").endswith(", blurred")


def test_what_a_tile_is_stands_beside_it(tab: Tab) -> None:
    places = tab.locator(".wall-list li").evaluate_all("all => all.map(each => each.textContent)")
    assert len(places) == 23
    at = next(at for at, words in enumerate(places) if "“number 5”" in words)
    tab.locator(".tile").nth(at).focus()
    said = " ".join(tab.locator(".wall-what").inner_text().split())
    assert said == (
        "Friendly: “number 5” Friendly 90.0 %, Force 6.0 %, Neither 4.0 % "
        "· in 1 post, first 2014-04-22 on social.example"
    )
    assert tab.locator(".wall-what a").get_attribute("href") == "https://social.example/5"
    hostile = next(at for at, words in enumerate(places) if HOSTILE in words)
    tab.locator(".tile").nth(hostile).focus()
    assert HOSTILE in tab.locator(".wall-what").inner_text()
    assert tab.locator(".wall-what a, .wall-what script, .wall-what img").count() == 0


def test_on_a_phone_the_chosen_tile_is_not_covered(browser: Browser, made_page: Path) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 560})
    tab = context.new_page()
    tab.goto(made_page.as_uri())
    for number in range(0, 23, 4):
        tab.locator(".tile").nth(number).focus()
        covered = tab.evaluate(
            """() => { const tile = document.activeElement.getBoundingClientRect();
            return tile.bottom > document.querySelector('.wall-panel').getBoundingClientRect().top + 1; }"""
        )
        assert not covered, number
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    context.close()


def test_without_script_the_list_says_what_the_tiles_are(browser: Browser, made_page: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(made_page.as_uri())
    assert tab.locator(".without-script").is_visible()
    assert not tab.locator(".with-script").is_visible()
    assert tab.locator(".tile[tabindex]").count() == 0
    tab.locator(".wall-list summary").click()
    assert tab.get_by_text("“number 5”").is_visible()
    tab.locator("#reveal-all").check()
    assert tab.locator(".wall-sharp").evaluate("each => getComputedStyle(each).clipPath") == "none"
    context.close()


def test_without_style_no_picture_is_sharp_and_no_mark_is_large(browser: Browser, made_page: Path) -> None:
    """As in a browser's view for reading, or in a mail."""
    bare = made_page.with_name("bare.html")
    bare.write_text(re.sub(r"<style>.*?</style>", "", made_page.read_text(), flags=re.DOTALL))
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(bare.as_uri())
    assert tab.locator(".picture .sharp").count() == tab.locator(".picture .blurred").count() > 5
    assert not any(each.is_visible() for each in tab.locator(".picture .sharp").all())
    assert tab.locator(".picture .blurred").first.is_visible()
    assert max(each["width"] for mark in tab.locator(".mark").all() if (each := mark.bounding_box())) < 20
    context.close()


@pytest.mark.parametrize("width", [1280, 1440])
def test_five_images_of_a_picture_have_room_beside_each_other(browser: Browser, tmp_path: Path, width: int) -> None:
    first = made(0)
    run = make_run(tmp_path / "run", first, *(replace(made(number), of=first.content) for number in range(1, 7)))
    path = tmp_path / "page.html"
    path.write_text(page(tally_of(run), gallery(run, tally_of(run))))
    context = browser.new_context(viewport={"width": width, "height": 900})
    tab = context.new_page()
    tab.goto(path.as_uri())
    strip = tab.locator(".groups .pictures")
    assert strip.locator("li").count() == 5
    assert strip.evaluate("each => each.scrollWidth - each.clientWidth") == 0
    context.close()


def test_classes_beyond_the_colours_share_a_look_and_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", *map(made, range(6)))
    tally = tally_of(run)
    more = [replace(tally.classes[2], label=f"more{number}", title=f"More {number}", pictures=0) for number in range(4)]
    by_label = {each.label: each for each in tally.classes}
    classes = (by_label["neither"], *more, by_label["friendly"], by_label["force"], by_label["unsure"])
    tally = replace(tally, classes=(*classes[:6], replace(more[0], label="late", pictures=1), *classes[6:]))
    html = page(tally, gallery(run, tally), wall(run, tally))
    tiles = [
        facts["class"] for tag, facts in elements(html) if tag == "g" and facts.get("class", "").startswith("tile")
    ]
    assert sorted(tiles) == ["tile c5"] * 3 + ["tile other"] * 3
    assert "Other classes, which each tile names: <bdi>More 0</bdi>, \n<bdi>Force</bdi></li>" in html
    assert {facts["href"] for tag, facts in elements(html) if tag == "use"} >= {"#mark-c5", "#mark-other"}
    drawn = looks(tally.classes)
    assert drawn["force"] == drawn["late"]
    assert len(set(drawn.values())) == 6 + 1 + 1, "in figures, too: six, one for all others, and the unsure"


def test_printed_no_picture_is_there(tab: Tab) -> None:
    tab.emulate_media(media="print")
    for name in ("#wall", ".picture img"):
        assert not tab.locator(name).first.is_visible()
