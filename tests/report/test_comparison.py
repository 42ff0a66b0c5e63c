"""The page of two runs beside each other: its numbers, its words, its figures, and the folder it goes to."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_tally import LABELLED, LABELS, TALLY
from typer.testing import CliRunner

from hashtag_photos.cli import app
from hashtag_photos.errors import UsageError
from hashtag_photos.records import Incomplete
from hashtag_photos.report.charts import PALETTE, length
from hashtag_photos.report.comparison import (
    check_folder,
    notes,
    ratio_told,
    render_comparison,
    share_told,
    write_comparison,
)
from hashtag_photos.run import Run
from hashtag_photos.stages.compare import Comparison, Shared, Side, compared
from hashtag_photos.stages.correct import CENSUS
from hashtag_photos.stages.numbers import Number
from hashtag_photos.stages.tally import Tally
from hashtag_photos.stages.timeline import BinTally, Timeline, TimeTally
from hashtag_photos.words import percent

HOSTILE = "<script>alert(1)</script>'\"& \u202egnp.\u202c " + "x" * 10_000
DAYS = [f"2014-04-{day}T00:00:00Z" for day in range(21, 26)]


def moved(tally: Tally, **points: float) -> Tally:
    """A tally whose corrected shares are elsewhere by so many points, class by class."""

    def of(number: Number) -> Number:
        by = points.get(number.label, 0.0) / 100
        if (number.kind, number.measure) != ("corrected", "share") or number.value is None or number.high is None:
            return number
        return replace(number, value=number.value + by, low=number.low + by, high=number.high + by)

    return replace(tally, numbers=tuple(map(of, tally.numbers)))


def timeline(shares: list[float | None]) -> Timeline:
    """Posts of some days; None for a day without any."""
    bins = zip(DAYS, DAYS[1:], shares, strict=False)
    return Timeline(
        unit="day",
        bins=tuple(
            BinTally(start=start, end=end, posts_collected=9, posts=9, attachments=9, had=9, new_pictures=9)
            for start, end, _ in bins
        ),
        rows=tuple(
            TimeTally(
                start=start,
                label=label,
                posts=0 if share is None else 9,
                posts_total=0 if share is None else 20,
                share=share,
                low=0.0 if share is None else share - 0.05,
                high=1.0 if share is None else share + 0.05,
                new_pictures=0,
            )
            for start, share in zip(DAYS, shares, strict=False)
            for label in (*LABELS.class_names, "unsure")
        ),
        timeless=0,
        before=0,
        after=0,
    )


def made(
    a: Tally = LABELLED,
    b: Tally | None = None,
    *,
    names: tuple[str, str] = ("spring", "autumn"),
    over_time: tuple[list[float | None], list[float | None]] | None = ([0.2, 0.3, 0.4, 0.3], [0.5, None, 0.5, 0.4]),
) -> Comparison:
    b = b or moved(LABELLED, conflict_and_force=-20, friendly=15, neither=5)
    sides = (
        Side(name=name, tally=tally, labels=LABELS, weights=None, seed=None, sources=())
        for name, tally in zip(names, (a, b), strict=True)
    )
    return compared(*sides, Shared(images=7, posts=0), over_time and [timeline(each) for each in over_time])


class Tables(HTMLParser):
    """The cells of all tables of a page, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


def read(folder: Path) -> str:
    return (folder / "compare.html").read_text(encoding="utf-8")


def test_every_number_of_the_page_is_one_of_compare_csv(tmp_path: Path) -> None:
    comparison = made()
    write_comparison(comparison, str(tmp_path / "out"))
    with (tmp_path / "out/compare.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expected = set()
    for row in rows:
        shares = [
            f"{100 * float(row[f'{side}_{name}']):.1f}" for side in "ab" for name in ("share", "low_95", "high_95")
        ]
        names = ("difference", "difference_low_95", "difference_high_95")
        apart = [f"{100 * float(row[name]):+.1f}".replace("-0.0", "+0.0") for name in names]
        expected.add((comparison.titles[row["label"]], *shares, *apart))
    found = set()
    for cells in Tables(read(tmp_path / "out")).rows:
        numbers = [re.findall(r"[+−]?\d+\.\d", cell) for cell in cells[1:]]
        if [len(each) for each in numbers] == [3, 3, 3]:  # a row of shares and their difference
            apart = ["+0.0" if each == "0.0" else each.replace("−", "-") for each in numbers[2]]
            found.add((cells[0], *numbers[0], *numbers[1], *apart))
    assert found == expected
    assert len(found) > len(LABELS.classes)


def test_the_answer_is_the_largest_difference_that_is_clear() -> None:
    page = unescape(re.sub(r"<[^>]+>", "", render_comparison(made(), ())))
    shares = made().of("corrected", "pictures")
    most = max((each for each in shares if each.clear), key=lambda each: abs(each.difference.value))
    assert most.label == "conflict_and_force"
    assert "“Conflict and force” has" in page
    assert "20 points" in page
    assert "corrected shares" in page


def test_that_both_are_nearly_the_same_images_stands_at_the_top() -> None:
    few = made(TALLY, TALLY)
    every = replace(few, overlap="both runs have the same 650 images: intervals are too wide")
    for comparison, at_the_top in ((few, False), (every, True)):
        head, _, rest = render_comparison(comparison, ()).partition("What to be careful of</h2>")
        assert ("Both runs have the same 650 images: intervals are too wide." in head) == at_the_top
        assert "the same 650 images" not in rest
    assert every.overlap in notes(every)  # for the terminal


def test_sources_are_told_by_their_titles_without_paths() -> None:
    sources = ("the bundled sample #myHarborPD", "posts of /home/me/secret/x.jsonl as csv")
    comparison = made()
    comparison = replace(comparison, a=replace(comparison.a, sources=sources))
    page = render_comparison(comparison, ())
    assert ["From", "the bundled sample #myHarborPD; posts of x.jsonl as csv", "–"] in Tables(page).rows
    assert "secret" not in page


def test_captions_have_no_names_of_methods(tmp_path: Path) -> None:
    write_comparison(made(), str(tmp_path / "out"))
    for figure in (tmp_path / "out/figures").glob("*.svg"):
        assert "MOVER" not in figure.read_text(encoding="utf-8")


def test_without_a_clear_difference_the_page_says_so() -> None:
    page = render_comparison(made(b=LABELLED), ())
    assert "No class has a clearly larger share of the pictures in spring or in autumn." in page


def test_raw_shares_are_said_to_be_raw() -> None:
    page = render_comparison(made(TALLY, TALLY), ())
    assert "These are raw shares" in page
    assert "These are corrected shares" not in page
    assert "label one with hashtag-photos review" in page


def collected(completely: bool, *incomplete: Incomplete) -> Tally:
    return replace(
        LABELLED, coverage=replace(LABELLED.coverage, collected_completely=completely, incomplete=incomplete)
    )


def test_a_collection_that_is_not_all_is_said_at_once_and_why() -> None:
    part = collected(False, Incomplete(source="mastodon.example", reason="it broke off"))
    page = render_comparison(made(collected(True), part), ())
    assert "The posts of autumn are not all there. A difference" in page
    assert "The collection of autumn is incomplete: mastodon.example: it broke off." in page
    assert "not known" not in page
    assert "all there" not in render_comparison(made(collected(True), collected(True)), ())


def test_where_nobody_knows_whether_it_is_all_nothing_else_is_said() -> None:
    page = render_comparison(made(collected(False), collected(True)), ())
    assert "Whether the posts of spring are all there is not known. A difference" in page
    assert "are not all there" not in page
    assert ["Collected", "not known whether completely", "completely"] in Tables(page).rows


def test_where_an_export_lies_is_nobodys() -> None:
    path = "/home/me/secret/x.jsonl"
    part = collected(False, Incomplete(source=f"posts of {path}", reason=f"{path} ends in the middle of line 7"))
    comparison = made(part, part)
    page = render_comparison(comparison, ())
    assert "posts of x.jsonl: x.jsonl ends in the middle of line 7" in page
    assert "secret" not in page
    assert "secret" not in " ".join((*notes(comparison), *comparison.notes))


def counted(tally: Tally) -> Tally:
    """The same with all pictures labelled by hand."""

    def of(number: Number) -> Number:
        if (number.kind, number.measure) != ("corrected", "share") or number.value is None:
            return number
        return replace(number, method=CENSUS, low=number.value, high=number.value)

    return replace(tally, numbers=tuple(map(of, tally.numbers)))


MOVED = moved(LABELLED, conflict_and_force=-20, friendly=15, neither=5)


def told(a: Tally, b: Tally, folder: Path) -> tuple[str, list[str]]:
    """The page of two runs as text, and what is below its figures."""
    write_comparison(made(a, b), str(folder))
    captions = [
        " ".join(ElementTree.fromstring((folder / f"figures/{name}.svg").read_text(encoding="utf-8")).itertext())
        for name in ("shares", "differences")
    ]
    return unescape(re.sub(r"<[^>]+>", "", read(folder))), captions


def test_of_two_counts_nothing_is_said_to_be_an_estimate(tmp_path: Path) -> None:
    page, captions = told(counted(LABELLED), counted(MOVED), tmp_path / "out")
    assert "as people labelled the pictures, all of them in both runs, so that there are no intervals." in page
    assert "Shares of distinct pictures. The difference is" in page
    assert "Each with what it rests on." in page
    differences = made(counted(LABELLED), counted(MOVED)).differences
    raw = sum(each.kind == "raw" for each in differences)
    assert 0 < raw < len(differences)
    assert f"{len(differences)} differences stand here, {raw} of them with an interval, as the others were" in page
    for each in captions:
        assert "95 %" not in each
        assert "estimated" not in each


def test_without_any_interval_none_is_explained() -> None:
    other = replace(counted(MOVED), model="large", model_key="large-1")  # so that raw shares are not compared
    page = unescape(re.sub(r"<[^>]+>", "", render_comparison(made(counted(LABELLED), other), ())))
    assert "stand here, none of them with an interval" in page
    for words in ("MOVER", "one in twenty", "errors are in the intervals"):
        assert words not in page


def test_of_a_count_and_an_estimate_each_is_said_to_be_what_it_is(tmp_path: Path) -> None:
    page, captions = told(counted(LABELLED), MOVED, tmp_path / "out")
    words = "all of them in “spring”, where there is no interval, and estimated from hand labels in “autumn”"
    assert words in page
    assert words in " ".join(captions[0].split())
    assert "Lines are 95 % intervals" in " ".join(captions[1].split())
    assert words.replace("spring", "x").replace("autumn", "spring").replace("x", "autumn") in render_comparison(
        made(LABELLED, counted(MOVED)), ()
    )


def test_a_ratio_without_an_upper_end_is_told_in_words() -> None:
    def from_nothing(number: Number) -> Number:
        return replace(number, low=0.0) if number.kind == "corrected" else number

    a, b = (replace(tally, numbers=tuple(map(from_nothing, tally.numbers))) for tally in (LABELLED, MOVED))
    ratios = [ratio_told(each) for each in made(a, b).of("corrected", "pictures")]
    assert [each.endswith("(0.00 and more)") for each in ratios] == [True] * len(ratios)


def test_names_from_outside_are_inert(tmp_path: Path) -> None:
    write_comparison(made(names=(HOSTILE, f"{HOSTILE}2")), str(tmp_path / "out"))
    page = read(tmp_path / "out")
    assert "<script>alert" not in page
    assert page.count("<script>") == 1  # our own
    assert "default-src 'none'" in page
    for figure in (tmp_path / "out/figures").glob("*.svg"):
        text = figure.read_text(encoding="utf-8")
        ElementTree.fromstring(text)
        assert "<script" not in text
        assert "\u202e" not in text
        assert len(text) < 200_000


def test_figures_stand_alone_and_have_all_their_numbers_in_tables(tmp_path: Path) -> None:
    comparison = made()
    write_comparison(comparison, str(tmp_path / "out"))
    names = sorted(path.name for path in (tmp_path / "out/figures").iterdir())
    assert names == [f"{name}.{ending}" for name in ("differences", "shares", "time") for ending in ("png", "svg")]
    cells = {cell for row in Tables(read(tmp_path / "out")).rows for cell in row}
    assert "50.0\N{NO-BREAK SPACE}% (45.0 – 55.0) of 20 posts" in cells
    assert "no posts with pictures" in cells


def drawn(folder: Path, name: str) -> list[ElementTree.Element]:
    """The elements of a figure that stands alone."""
    return list(ElementTree.fromstring((folder / f"figures/{name}.svg").read_text(encoding="utf-8")).iter())


def title(comparison: Comparison, name: str, folder: Path) -> str | None:
    write_comparison(comparison, str(folder))
    return next(each.text for each in drawn(folder, name) if each.tag.endswith("title"))


def test_a_gap_is_a_gap(tmp_path: Path) -> None:
    write_comparison(made(over_time=([0.2, 0.3, None, 0.3], [0.2, None, None, None])), str(tmp_path / "out"))
    classes = len(LABELS.classes) + 1  # and the unsure
    marks = [each for each in drawn(tmp_path / "out", "time") if each.get("stroke")]
    bands = [each for each in marks if each.get("fill-opacity") == "0.6"]
    hollow = [each for each in marks if each.get("fill") == "#ffffff"]
    assert (len(bands), len(hollow)) == (classes * 3 + 1, classes + 1)  # and how each run looks


def test_time_is_told_as_in_a_report(tmp_path: Path) -> None:
    comparison = made(names=("spring term", "autumn term"))
    assert title(comparison, "time", tmp_path / "out")
    words = [each.text for each in drawn(tmp_path / "out", "time") if each.tag.endswith(("text", "tspan"))]
    assert {"spring term", "autumn term", "21 Apr", "22 Apr", "2014"} <= set(words)
    assert words.count("22 Apr") == 1  # below the last panel alone
    assert ["22 April 2014", "Friendly"] in [row[:2] for row in Tables(read(tmp_path / "out")).rows]


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ([0.2, 0.3], [0.5, 0.35], "On 1 of the 2 days with {of} “Friendly” is clearly larger in “autumn”."),
        ([0.5, 0.7], [0.2, 0.3], "On the 2 days with {of} “Friendly” is clearly larger in “spring”."),
        ([0.5, None], [0.2, 0.3], "On the day with {of} “Friendly” is clearly larger in “spring”."),
        ([0.5, 0.4], [0.5, 0.4], "On none of the 2 days with {both} is a share clearly larger in {runs}."),
        ([0.5, None], [0.5, 0.4], "On the day with {both}, no share is clearly larger in {runs}."),
        ([0.5, None], [None, 0.4], "No day has posts with {both} “spring” and “autumn”."),
    ],
)
def test_the_figure_over_time_says_what_is_seen(
    a: list[float | None], b: list[float | None], words: str, tmp_path: Path
) -> None:
    both, runs = "pictures of both", "“spring” or in “autumn”"
    words = words.format(both=both, of=f"{both}, the share of", runs=runs)
    assert title(made(over_time=(a, b)), "time", tmp_path / "out") == words


FORCE_LEADS = "“Conflict and force” has the largest share in “spring” (63\xa0%)"


@pytest.mark.parametrize(
    ("b", "shares", "differences"),
    [
        (
            moved(LABELLED, conflict_and_force=-20, friendly=15, neither=5),
            f"{FORCE_LEADS} and in “autumn” (43\xa0%).",
            "In “spring” “Conflict and force” has 20 points (14 to 26) more than in “autumn”; one other share clearly "
            "differs.",
        ),
        (
            moved(LABELLED, friendly=50, neither=-20, conflict_and_force=-25),
            f"{FORCE_LEADS}, “Friendly” in “autumn” (62\xa0%).",
            "In “autumn” “Friendly” has 50 points (46 to 54) more than in “spring”; two other shares clearly differ.",
        ),
        (
            moved(LABELLED, friendly=25.2, conflict_and_force=-25.2),
            f"{FORCE_LEADS}, “Friendly” and “Conflict and force” in “autumn” (38\xa0%).",
            "In “autumn” “Friendly” has 25.2 points (21.3 to 29.1) more than in “spring”; one other share clearly "
            "differs.",
        ),
        (
            moved(LABELLED, conflict_and_force=-10, neither=3),
            f"{FORCE_LEADS} and in “autumn” (53\xa0%).",
            "In “spring” “Conflict and force” has 10 points (4 to 16) more than in “autumn”; no other share clearly "
            "differs.",
        ),
        (
            LABELLED,
            f"{FORCE_LEADS} and in “autumn” (63\xa0%).",
            "No share is clearly larger in “spring” or in “autumn”.",
        ),
    ],
)
def test_figures_say_what_is_seen(b: Tally, shares: str, differences: str, tmp_path: Path) -> None:
    comparison = made(b=b)
    assert title(comparison, "shares", tmp_path / "out") == shares
    assert title(comparison, "differences", tmp_path / "out") == differences


@pytest.mark.parametrize(
    ("b", "words"),
    [
        (LABELLED, "No share is larger in “spring” or in “autumn”."),
        (
            moved(LABELLED, friendly=1),
            "In “autumn” “Friendly” has 1 point more than in “spring”; no other share differs.",
        ),
        (
            moved(LABELLED, friendly=2, neither=-1, conflict_and_force=-1),
            "In “autumn” “Friendly” has 2 points more than in “spring”; two other shares differ.",
        ),
    ],
)
def test_what_was_counted_has_no_interval_in_a_title(b: Tally, words: str, tmp_path: Path) -> None:
    assert title(made(counted(LABELLED), counted(b)), "differences", tmp_path / "out") == words


def places(svg: str) -> Iterator[tuple[str, float, float]]:
    """The words of a drawing, and from where to where they go."""

    def walk(of: ElementTree.Element, left: float) -> Iterator[tuple[str, float, float]]:
        move = re.match(r"translate\(([-\d.]+)", of.get("transform", ""))
        left += float(move[1]) if move else 0.0
        if of.tag.endswith("text"):
            for words in filter(None, (each.text for each in of.iter())):
                room = length(words, float(of.get("font-size", "12px").removesuffix("px")))
                start = left - {"start": 0.0, "middle": room / 2, "end": room}[of.get("text-anchor", "start")]
                yield words, start, start + room
        else:
            for each in of:
                yield from walk(each, left)

    return walk(ElementTree.fromstring(svg), 0.0)


@pytest.mark.parametrize("kind", ["wide", "narrow"])
def test_all_words_of_a_figure_are_within_it(kind: str, tmp_path: Path) -> None:
    names = ("runs-of-the-first-and-longest-season", "runs-of-the-second-and-longest-season")
    write_comparison(made(names=names), str(tmp_path / "out"))
    drawings = re.findall(rf'<svg class="{kind}".*?</svg>', read(tmp_path / "out"))
    assert len(drawings) == 3
    for svg in drawings:
        width = {"wide": 680, "narrow": 340}[kind]
        assert [each for each in places(svg) if each[1] < -1 or each[2] > width + 1] == []
    shares = {words for words, *_ in places(drawings[0])}
    for each in made().of("corrected", "pictures"):
        assert {share_told(of) if kind == "wide" else percent(of.value) for of in (each.a, each.b)} <= shares


def contrast(name: str, mode: int) -> float:
    """Of a colour to the page, by WCAG 2."""

    def luminance(colour: str) -> float:
        parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted(luminance(PALETTE[each][mode]) for each in (name, "paper"))
    return (high + 0.05) / (low + 0.05)


def test_all_that_is_drawn_of_the_runs_has_contrast(tmp_path: Path) -> None:
    write_comparison(made(TALLY, TALLY), str(tmp_path / "out"))  # raw: with the unsure
    found = set()
    for svg in re.findall(r"<svg class=.*?</svg>", read(tmp_path / "out")):
        for each in ElementTree.fromstring(svg).iter():
            fill, stroke = (
                (each.get(name) or "").removeprefix("var(--").removesuffix(")") for name in ("fill", "stroke")
            )
            ground = fill in ("", "none", "paper", "card") and stroke in ("", "rule")  # with the lines of axes
            if ground or each.tag.endswith("g"):
                continue
            found.add((fill, stroke))
            seen = 4.5 if each.tag.endswith("text") else 3.0
            assert all(contrast(stroke or fill, mode) >= seen for mode in (0, 1)), (each.tag, fill, stroke)
    assert {("unsure", "ink"), ("unsure", "quiet"), ("paper", "ink")} <= found


def test_no_line_of_an_axis_crosses_the_name_of_a_class(tmp_path: Path) -> None:
    write_comparison(made(), str(tmp_path / "out"))
    for name in ("shares", "differences"):
        shown = drawn(tmp_path / "out", name)
        lines = [i for i, each in enumerate(shown) if each.tag.endswith("line") and each.get("x2") == "0"]
        grounds = [i for i, each in enumerate(shown) if each.get("fill") == "#ffffff" and len(each.attrib) == 2]
        assert len(grounds) == len(LABELS.classes)
        assert lines
        assert max(lines) < min(grounds)


def test_without_a_time_line_there_is_no_figure_of_it(tmp_path: Path) -> None:
    write_comparison(made(over_time=None), str(tmp_path / "out"))
    assert not (tmp_path / "out/figures/time.svg").exists()
    assert list(csv.DictReader(io.StringIO((tmp_path / "out/timeline.csv").read_text()))) == []


def test_what_is_the_same_is_left_alone_and_what_is_left_over_goes(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_comparison(made(), str(folder))
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}
    write_comparison(made(), str(folder))
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before}
    write_comparison(made(over_time=None), str(folder))
    assert not (folder / "figures/time.svg").exists()


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "timeline.csv").write_text("my own")
    with pytest.raises(UsageError, match=r"holds something else \(timeline.csv\).*--to"):
        write_comparison(made(), str(tmp_path))
    assert (tmp_path / "timeline.csv").read_text() == "my own"
    check_folder(str(tmp_path / "new"))


def test_no_run_no_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Run(tmp_path / "a").ask(model="tiny")
    done = CliRunner().invoke(app, ["compare", "a", "b"])
    assert "there is no run here" in str(done.exception)
    done = CliRunner().invoke(app, ["compare", "a", "a"])
    assert "the same run" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("compare")] == []
