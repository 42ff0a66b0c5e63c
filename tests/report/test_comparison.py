"""The page of two runs beside each other: its numbers, its words, its figures, and the folder it goes to."""

import csv
import io
import re
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
from hashtag_photos.report.comparison import check_folder, render_comparison, write_comparison
from hashtag_photos.run import Run
from hashtag_photos.stages.compare import Comparison, Shared, Side, compared
from hashtag_photos.stages.numbers import Number
from hashtag_photos.stages.tally import Tally
from hashtag_photos.stages.timeline import BinTally, Timeline, TimeTally

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
        Side(name=name, tally=tally, labels=LABELS, weights=None, seed=None)
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


def test_without_a_clear_difference_the_page_says_so() -> None:
    page = render_comparison(made(b=LABELLED), ())
    assert "No class has a clearly larger share of the pictures in spring or in autumn." in page


def test_raw_shares_are_said_to_be_raw() -> None:
    page = render_comparison(made(TALLY, TALLY), ())
    assert "These are raw shares" in page
    assert "These are corrected shares" not in page
    assert "label one with hashtag-photos review" in page


def test_a_collection_that_is_not_all_is_said_at_once() -> None:
    whole = replace(LABELLED, coverage=replace(LABELLED.coverage, collected_completely=True, incomplete=()))
    part = replace(LABELLED, coverage=replace(LABELLED.coverage, collected_completely=False))
    assert "The posts of autumn are not all there" in render_comparison(made(whole, part), ())
    assert "are not all there" not in render_comparison(made(whole, whole), ())


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
    title = ElementTree.fromstring((tmp_path / "out/figures/differences.svg").read_text(encoding="utf-8"))[0].text
    assert title == "“Conflict and force”: 20 points less in “autumn” than in “spring”"


def dashed_lines(folder: Path) -> int:
    root = ElementTree.fromstring((folder / "figures/time.svg").read_text(encoding="utf-8"))
    return sum(each.get("stroke-dasharray") is not None and "L" in (each.get("d") or "") for each in root.iter())


def test_a_gap_is_a_gap(tmp_path: Path) -> None:
    whole: list[float | None] = [0.2, 0.3, 0.4, 0.3]
    write_comparison(made(over_time=(whole, whole)), str(tmp_path / "whole"))
    write_comparison(made(over_time=(whole, [0.2, None, 0.4, 0.3])), str(tmp_path / "broken"))
    write_comparison(made(over_time=(whole, [0.2, None, 0.4, None])), str(tmp_path / "single"))
    assert dashed_lines(tmp_path / "whole") == len(LABELS.classes)
    assert dashed_lines(tmp_path / "broken") == len(LABELS.classes)  # the first day stands alone
    assert dashed_lines(tmp_path / "single") == 0  # and here nothing is next to anything


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
