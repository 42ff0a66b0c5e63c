import io
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from made_tally import LABELLED, TALLY, class_tally, covered, number, part_tally
from PIL import Image

from hashtag_photos.report.charts import (
    NARROW,
    PALETTE,
    WIDE,
    Figure,
    Table,
    cut,
    draw,
    fitted,
    length,
    lines,
    quoted,
)
from hashtag_photos.report.figures import figures
from hashtag_photos.report.marks import ticks
from hashtag_photos.report.phrases import ranges
from hashtag_photos.stages.correct import CENSUS
from hashtag_photos.stages.tally import EngagementOf, GroupTally, Tally
from hashtag_photos.stages.timeline import BinTally, Timeline, TimeTally
from hashtag_photos.words import percent

ALL = ["shares", "time", "sources", "languages", "engagement", "reliability", "confusion", "robustness"]
ALL += ["coverage-reasons", "coverage-days"]
HOSTILE = (
    "W" * 10_000,
    "שלום עולם " * 50,
    "<script>alert(1)</script>&\"'{{ 7*7 }}",
    "\N{RIGHT-TO-LEFT OVERRIDE}evil\x00\x1b[1m\ud800",
    "\N{POLICE OFFICER}\N{ZERO WIDTH JOINER}\N{FEMALE SIGN}" * 100,
    "漢字" * 200,
    "datum.value + signal('x')",
    "",
)
NO_TIME = Timeline(unit="", bins=(), rows=(), timeless=0, before=0, after=0)
#: a tally in which there is nothing to draw but what a test adds
BARE = replace(
    TALLY,
    numbers=(),
    timeline=NO_TIME,
    sources=(),
    languages=(),
    largest=(),
    engagement=replace(TALLY.engagement, classes=(), total=0),
    coverage=replace(TALLY.coverage, reasons=(), days=(), attachments=0, had=0),
    robustness=None,
)


@pytest.fixture(scope="module")
def drawn() -> dict[str, Figure]:
    return {each.name: each for each in figures(LABELLED)}


def only(tally: Tally, name: str) -> Figure:
    """The one figure of this name, which the tally must have."""
    return next(each for each in figures(tally) if each.name == name)


def elements(svg: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter())


def tips(figure: Figure) -> list[str]:
    """What marks of a figure say; the narrow one must say the same."""
    said = [
        sorted(each.text or "" for each in elements(svg) if each.tag == "title") for svg in (figure.wide, figure.narrow)
    ]
    assert said[0] == said[1]
    return said[0]


def words(svg: str) -> list[str]:
    return ["".join(each.itertext()) for each in elements(svg) if each.tag == "text"]


def timeline(unit: str, starts: Sequence[datetime], rows: Sequence[dict[str, float] | None], **facts: Any) -> Timeline:
    """Bins from these starts, the last being where the last bin ends; rows of None are gaps."""
    bins = tuple(
        BinTally(
            start=f"{start:%Y-%m-%dT%H:%M:%SZ}",
            end=f"{end:%Y-%m-%dT%H:%M:%SZ}",
            posts_collected=0 if row is None else 100,
            posts=80 if row else 0,
            attachments=0 if row is None else 90,
            had=0 if row is None else 85,
            new_pictures=0,
        )
        for (start, end), row in zip(pairwise(starts), rows, strict=True)
    )
    shares = [
        TimeTally(
            start=each.start,
            label=label,
            posts=round(80 * share),
            posts_total=80,
            share=share,
            low=max(share - 0.1, 0.0),
            high=min(share + 0.1, 1.0),
            new_pictures=0,
        )
        for each, row in zip(bins, rows, strict=True)
        for label, share in (row or {}).items()
    ]
    return Timeline(unit=unit, bins=bins, rows=tuple(shares), **{"timeless": 0, "before": 0, "after": 0} | facts)


def days(count: int) -> list[datetime]:
    """The starts of so many days, and the end of the last."""
    return [datetime(2014, 4, 22, tzinfo=UTC) + timedelta(days=i) for i in range(count + 1)]


def test_everything_that_there_is_has_a_figure(drawn: dict[str, Figure]) -> None:
    assert list(drawn) == ALL


def test_nothing_to_show_is_no_figure() -> None:
    assert figures(BARE) == ()
    assert figures(replace(BARE, classes=(), images=0)) == ()


@pytest.mark.parametrize("name", ALL)
def test_on_the_page_a_figure_is_inert_and_has_its_colours_from_the_page(drawn: dict[str, Figure], name: str) -> None:
    figure = drawn[name]
    for svg, width, which in ((figure.wide, WIDE, "wide"), (figure.narrow, NARROW, "narrow")):
        root, *inner = elements(svg)
        assert (root.get("width"), root.get("class"), root.get("aria-hidden")) == (str(width), which, "true")
        assert root.get("viewBox", "").split()[2] == str(width), "something reaches beyond the edge"
        assert {each.tag for each in inner} <= {"g", "path", "line", "rect", "text", "tspan", "title", "circle"}
        for each in inner:
            assert not {"style", "id", "class", "href", "onclick"} & set(each.keys())
            for attribute in ("fill", "stroke"):
                value = each.get(attribute, "none")
                assert value in ("none", "transparent") or value.removeprefix("var(--").removesuffix(")") in PALETTE
            assert float(re.sub("px$", "", each.get("font-size", "11"))) >= 11


@pytest.mark.parametrize("name", ALL)
def test_alone_a_figure_has_its_title_caption_and_colours(drawn: dict[str, Figure], name: str) -> None:
    figure = drawn[name]
    said = " ".join(" ".join(words_of_alone(figure)).split())
    for text in (figure.title, figure.caption):
        assert " ".join(text.split()) in said
    assert "var(" not in figure.svg
    assert PALETTE["paper"][0] not in figure.svg
    assert "#ffffff" in figure.svg
    image = Image.open(io.BytesIO(figure.png))
    assert [round(each) for each in image.info["dpi"]] == [200, 200]
    root = ElementTree.fromstring(figure.svg)
    assert image.size[0] == 2 * int(root.get("width", 0))
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert len(np.unique(np.asarray(image.convert("L")))) > 10  # something is drawn


def words_of_alone(figure: Figure) -> list[str]:
    return ["".join(each.itertext()) for each in elements(figure.svg) if each.tag.endswith("}text")]


def test_the_same_tally_gives_the_same_files(drawn: dict[str, Figure]) -> None:
    again = only(LABELLED, "shares")
    assert (again.svg, again.wide, again.png) == (drawn["shares"].svg, drawn["shares"].wide, drawn["shares"].png)


@pytest.mark.parametrize("name", ALL)
def test_titles_have_numbers_and_tables_are_whole(drawn: dict[str, Figure], name: str) -> None:
    figure = drawn[name]
    assert re.search(r"\d", figure.title)
    assert figure.title.endswith(".")
    assert figure.caption.endswith(".")
    assert "  " not in figure.title + figure.caption
    assert "None" not in figure.title + figure.caption
    assert figure.table.rows
    assert {len(row) for row in figure.table.rows} == {len(figure.table.columns)}
    assert all(row[0] for row in figure.table.rows)


def test_shares_are_told_by_unit_and_kind(drawn: dict[str, Figure]) -> None:
    figure = drawn["shares"]
    shares = [each for each in LABELLED.numbers if each.measure == "share" and each.value is not None]
    assert len(figure.table.rows) == len(shares)
    assert ("Friendly", "1,160 distinct pictures", "corrected", percent(0.123), "10.1 – 15.5") in figure.table.rows
    assert ("Unsure", "54,321 likes, reposts and replies", "raw", percent(0.25), "10.0 – 90.0") in figure.table.rows
    assert figure.title.replace("\N{NO-BREAK SPACE}", " ") == (
        "Of 1,160 distinct pictures, 63 % show “Conflict and force”, 25 % show “Neither” and 12 % show “Friendly”, as"
        " people would label them."
    )
    assert {"pictures, corrected", "pictures, raw", "engagement, raw"} <= set(words(figure.narrow))
    raw = only(replace(BARE, numbers=TALLY.numbers), "shares")
    assert "as the classifier labels them" in raw.title
    assert "corrected" not in " ".join(words(raw.wide))


def test_titles_of_shares_are_true_in_odd_cases() -> None:
    def title(*shares: tuple[str, float], **facts: Any) -> str:
        numbers = tuple(number("raw", "share", label, share, **{"of": 3} | facts) for label, share in shares)
        return only(replace(BARE, numbers=numbers), "shares").title.replace("\N{NO-BREAK SPACE}", " ")

    one = title(("friendly", 0.0), ("neither", 0.0), ("unsure", 1.0))
    assert one == "Of 3 distinct pictures, 100 % are too close to call, as the classifier labels them."
    tie = title(("friendly", 0.5), ("neither", 0.5))
    assert tie.startswith("Of 3 distinct pictures, 50 % show “Friendly” and 50 % show “Neither”,")
    assert "99.8 % show “Friendly” and 0.2 % show" in title(("friendly", 0.998), ("neither", 0.002))
    assert "over 99.9 % show “Friendly” and under 0.1 %" in title(("friendly", 0.99999), ("neither", 0.00001))
    assert "100 % show “Friendly”," in title(("friendly", 1 - 1e-12), ("neither", 0.0))
    single = {"of": 1}
    assert title(("friendly", 1.0), **single) == (
        "The 1 distinct picture shows “Friendly”, as the classifier labels it."
    )
    assert title(("unsure", 1.0), **single).startswith("The 1 distinct picture is too close to call,")


def test_what_was_counted_has_no_interval() -> None:
    numbers = (number("corrected", "share", "friendly", 0.4, low=0.4, high=0.4, method=CENSUS),)
    figure = only(replace(BARE, numbers=numbers), "shares")
    assert figure.title.endswith("as people labelled them.")
    assert "filled, corrected: as people labelled; hollow" in figure.caption
    assert "estimated" not in figure.caption
    assert "What has no interval was counted: people labelled all of it." in figure.caption
    estimated = (*numbers, number("corrected", "share", "friendly", 0.5, unit="engagement"))
    both = only(replace(BARE, numbers=estimated), "shares").caption
    assert "as people would label, estimated from hand labels of a random sample" in both
    assert "What has no interval was counted" in both
    assert "counted: people" not in only(LABELLED, "shares").caption
    assert figure.table.rows[0][-1] == "counted"
    assert "40\N{NO-BREAK SPACE}%" in words(figure.wide)


def test_time_shows_gaps_as_gaps() -> None:
    row = {"friendly": 0.2, "conflict_and_force": 0.7, "neither": 0.1}
    line = timeline("day", days(5), [row, None, {}, {**row, "friendly": 0.8}, row], timeless=7, before=1)
    figure = only(replace(BARE, timeline=line), "time")
    assert figure.title == (
        "“Conflict and force” has the largest share on 2 of 3 days with pictures; on 1 no post was collected."
    )
    said = tips(figure)
    assert [each for each in said if "23 April" in each] == ["23 April 2014: 0 posts, 0 with pictures"]
    assert [each for each in said if "24 April" in each] == ["24 April 2014: 100 posts, 0 with pictures"]
    nbsp = "\N{NO-BREAK SPACE}"
    assert f"22 April 2014, “Friendly”: 20.0{nbsp}% (10.0 – 30.0) of 80 posts with pictures" in said
    assert figure.table.rows[1] == ("23 April 2014", "0", "0", "–", "–", "–", "–")
    assert figure.table.rows[0][:4] == ("22 April 2014", "100", "80", f"20.0{nbsp}% (10.0 – 30.0)")
    assert "Grey ground" in figure.caption
    assert "Blank" in figure.caption
    assert "Not in it: 1 post before the first and 7 posts without a time." in figure.caption


def test_titles_over_time_are_true_of_ties() -> None:
    def title(*rows: dict[str, float] | None) -> str:
        return only(replace(BARE, timeline=timeline("day", days(len(rows)), rows)), "time").title

    tied, first, second = {"friendly": 0.5, "neither": 0.5}, {"friendly": 0.6, "neither": 0.4}, {"neither": 0.9}
    assert title(tied, tied) == "No class leads over time, on 2 days with pictures."
    assert title(first, second) == "“Friendly” and “Neither” each have the largest share on 1 of 2 days with pictures."
    assert title({"unsure": 1.0}, tied, tied).startswith(
        "What is too close to call has the largest share on 1 of 3 days"
    )
    assert title(first, {}) == "“Friendly” has the largest share on the day with pictures."


def test_one_bin_is_no_time() -> None:
    assert figures(replace(BARE, timeline=timeline("day", days(1), [{"friendly": 1.0}]))) == ()


def test_largest_pictures_are_numbered_where_they_were_first_seen() -> None:
    def group(first_seen: str | None) -> GroupTally:
        return GroupTally(picture="a" * 64, images=3, posts=2, photos=3, first_seen=first_seen, label="friendly")

    seen = ["2014-04-23T12:30:00Z", None, "2031-01-01T00:00:00Z", *(["2014-04-24T23:59:00Z"] * 9)]
    row = {"friendly": 1.0}
    tally = replace(BARE, timeline=timeline("day", days(3), [row] * 3), largest=tuple(map(group, seen)))
    figure = only(tally, "time")
    assert "Picture 1, first seen on 23 April 2014, 12:30: 3 images in 2 posts, “Friendly”" in tips(figure)
    together = "Pictures 4–12, first seen from 24 April 2014, 23:59 to 24 April 2014, 23:59"
    assert together in tips(figure)
    for svg in (figure.wide, figure.narrow):
        assert [each for each, _ in numbered(svg)] == ["1", "4–12"]
    assert [row[-1] for row in figure.table.rows] == ["–", "1", "4, 5, 6, 7, 8, 9, 10, 11, 12"]
    assert "2 of 12 have no such time within the figure." in figure.caption


def numbered(svg: str) -> list[tuple[str, float]]:
    """The numbers of first appearances in an <svg> and where their middles are, in pixels from the left."""
    found = [each for each in elements(svg) if each.get("font-size") == "11px" and each.get("text-anchor") == "middle"]
    at = [float(re.findall(r"[-\d.]+", each.get("transform", ""))[0]) for each in found]
    return list(zip(["".join(each.itertext()) for each in found], at, strict=True))


@pytest.mark.parametrize("minutes", [1, 17, 60, 170, 400])
def test_numbers_of_pictures_do_not_run_into_each_other(minutes: int) -> None:
    first = datetime(2014, 4, 22, 1, tzinfo=UTC)
    seen = [f"{first + timedelta(minutes=minutes * (7 * i % 12)):%Y-%m-%dT%H:%M:%SZ}" for i in range(12)]
    groups = (
        GroupTally(picture="a" * 64, images=3, posts=2, photos=3, first_seen=each, label="friendly") for each in seen
    )
    tally = replace(BARE, timeline=timeline("day", days(4), [{"friendly": 1.0}] * 4), largest=tuple(groups))
    figure = only(tally, "time")
    for svg, width in ((figure.wide, WIDE), (figure.narrow, NARROW)):
        found = numbered(svg)
        there = [int(each) for text, _ in found for part in text.split(", ") for each in part.split("–")]
        assert set(there) <= set(range(1, 13))
        ends = [(at - length(text, 11) / 2 - 3, at + length(text, 11) / 2 + 3) for text, at in found]
        assert all(b[0] >= a[1] for a, b in pairwise(ends))
        assert ends[0][0] > -46
        assert ends[-1][1] <= width - 46
        if minutes in (1, 400):  # within two pixels, and 19 or more from each other
            assert len(found) == {1: 1, 400: 12}[minutes]


def test_numbers_in_order() -> None:
    assert ranges([7, 1, 3, 2, 8]) == "1–3, 7, 8"
    assert (ranges([]), ranges([5])) == ("", "5")


def test_the_year_stands_where_time_begins_and_where_it_changes() -> None:
    starts = [f"{datetime(2013, 12, 31, tzinfo=UTC) + timedelta(hours=12 * i):%Y-%m-%dT%H:%M:%SZ}" for i in range(5)]
    assert [text for _, text in ticks(starts, "12 hours", 624)] == [
        "00:00\n31 Dec\n2013",
        "12:00",
        "00:00\n1 Jan\n2014",
        "12:00",
        "00:00\n2 Jan",
    ]
    assert [text for _, text in ticks(starts[::2], "day", 624)] == ["31 Dec\n2013", "1 Jan\n2014", "2 Jan"]


@pytest.mark.parametrize(
    ("unit", "step"),
    [
        ("15 minutes", timedelta(minutes=15)),
        ("hour", timedelta(hours=1)),
        ("3 hours", timedelta(hours=3)),
        ("6 hours", timedelta(hours=6)),
        ("12 hours", timedelta(hours=12)),
        ("day", timedelta(days=1)),
        ("week", timedelta(days=7)),
        ("month", timedelta(days=31)),
        ("quarter", timedelta(days=92)),
        ("year", timedelta(days=366)),
    ],
)
@pytest.mark.parametrize("count", [2, 7, 23, 60])
def test_dates_have_room_and_are_there(unit: str, step: timedelta, count: int) -> None:
    first = datetime(2014, 1, 1, tzinfo=UTC)
    starts = [first + step * i for i in range(count + 1)]
    line = timeline(unit, starts, [{"friendly": 0.6, "neither": 0.4}] * count)
    for inner in (284, 624):
        found = ticks([each.start for each in line.bins], unit, inner)
        assert "\n" in found[0][1] or unit == "year"
        assert all((b[0] - a[0]) * inner / count >= 30 for a, b in pairwise(found))
    if count == 7:
        figure = only(replace(BARE, timeline=line), "time")
        assert len({row[0] for row in figure.table.rows}) == count  # no two bins are called the same
        plural = f"{count} {unit}s" if not unit[0].isdigit() else f"{count} periods of {unit}"
        assert f"of {plural} with pictures" in figure.title


def test_parts_are_compared_where_there_are_enough_pictures() -> None:
    many_of = {"en": (300, 600), "de": (10, 40), "fr": (1, 1), "(not stated)": (590, 600)}
    languages = tuple(
        replace(part_tally(value, label, images), images_total=total, share=images / total)
        for value, (images, total) in many_of.items()
        for label in ("conflict_and_force", "neither")
    )
    figure = only(replace(BARE, languages=languages), "languages")
    assert figure.title.replace("\N{NO-BREAK SPACE}", " ") == (
        "“Conflict and force”: 50 % of 600 images of posts in “en” and 25 % of 40 images of posts in “de”."
    )
    assert [row[0] for row in figure.table.rows[::2]] == ["en", "de", "fr", "(not stated)"]
    assert any("fr, “Neither”: 100.0" in each and "1 of 1 image" in each for each in tips(figure))
    assert figures(replace(BARE, languages=languages[:2])) == ()


def test_names_that_begin_alike_stay_apart() -> None:
    names = ("mastodon:mastodon.social", "mastodon:mastodon.online", f"jsonl:{'x' * 60}.jsonl", "csv:posts.csv")
    sources = tuple(part_tally(name, label, 60) for name in names for label in ("friendly", "neither"))
    figure = only(replace(BARE, sources=sources), "sources")
    assert {*names[:2], names[3]} <= set(words(figure.wide))
    assert any(re.fullmatch(r"jsonl:x+…x+\.?", each) or each.startswith("jsonl:") for each in words(figure.wide))
    narrow = {each for each in words(figure.narrow) if "mastodon" in each}
    assert len(narrow) == 2
    assert {each[-7:] for each in narrow} == {".social", ".online"}


def test_more_parts_than_can_be_drawn_are_counted() -> None:
    sources = tuple(part_tally(f"source{i:02}", "friendly", 60) for i in range(13))
    figure = only(replace(BARE, sources=sources), "sources")
    assert "The table has 3 more sources." in figure.caption
    assert len(figure.table.rows) == 13
    assert "source09" in words(figure.wide)
    assert "source10" not in words(figure.wide)
    assert "the same share in all 13 sources" in figure.title


def test_more_classes_than_can_be_drawn_are_counted() -> None:
    classes = tuple(class_tally(f"k{i}", f"Class {i}", 500 - i, 0.02) for i in range(30))
    numbers = tuple(number("raw", "share", each.label, 1 / 30) for each in classes)
    figure = only(replace(BARE, classes=classes, numbers=numbers), "shares")
    assert "Class 11" in words(figure.wide)
    assert "Class 12" not in words(figure.wide)
    assert figure.caption.endswith("The table has 18 more classes, of fewer images.")
    assert len(figure.table.rows) == 30


def test_engagement_is_medians() -> None:
    def engagement(*medians: float | None) -> Tally:
        rows = tuple(
            EngagementOf(
                label=label, posts=9, total=99, median=median, p25=0.0, p75=None if median is None else 2 * median
            )
            for label, median in zip(("friendly", "neither", "unsure"), medians, strict=False)
        )
        return replace(BARE, engagement=replace(TALLY.engagement, classes=rows))

    figure = only(engagement(3.0, 12.5, 100.0), "engagement")
    assert figure.title == (
        "Posts that show “Neither” drew a median of 12.5 likes, reposts and replies, those that show “Friendly” 3."
    )
    assert figure.table.rows[0] == ("Friendly", "9", "3", "0", "6", "99")
    assert any("median 12.5, quartiles 0 to 25" in each for each in tips(figure))
    assert "same median" in only(engagement(3.0, 3.0), "engagement").title
    assert only(engagement(None, 0.0), "engagement").title.endswith("a median of 0 likes, reposts and replies.")
    assert figures(engagement(None, None)) == ()
    assert only(engagement(1.0), "engagement").title.endswith("drew a median of 1 like, repost or reply.")

    def single(*medians: float) -> str:
        tally = engagement(*medians)
        rows = tuple(replace(each, posts=1) for each in tally.engagement.classes)
        return only(replace(tally, engagement=replace(tally.engagement, classes=rows)), "engagement").title

    assert single(3.0) == "The one post that shows “Friendly” drew 3 likes, reposts and replies."
    assert single(1.0, 0.0) == (
        "The one post that shows “Friendly” drew 1 like, repost or reply, the one that shows “Neither” 0."
    )


def test_reasons_are_counted_and_the_rest_is_one() -> None:
    gone = tuple(covered(f"gone: reason {i}", 20 - i, 0) for i in range(12))
    coverage = replace(BARE.coverage, attachments=1000, reasons=(*gone, covered("not_asked_yet", 5, 0)))
    figure = only(replace(BARE, coverage=coverage), "coverage-reasons")
    lost = sum(each.attachments for each in gone) + 5
    assert figure.title.startswith(f"{lost} of 1,000 attachments (18")
    assert "the most frequent reason is “gone: reason 0” (20)" in figure.title
    assert "5 of them were not asked for yet." in figure.caption
    assert "3 other reasons" in words(figure.narrow)
    assert len(figure.table.rows) == 13
    tied = replace(coverage, reasons=(covered("broken", 4, 0), covered("svg", 4, 0)))
    assert "reason" not in only(replace(BARE, coverage=tied), "coverage-reasons").title


def test_what_is_missing_over_time(drawn: dict[str, Figure]) -> None:
    figure = drawn["coverage-days"]
    assert figure.title == "95 of 1,350 attachments with a time are missing, most of them on 22 April 2014 (80 of 900)."
    assert figure.table.rows[1] == ("23 April 2014", "0", "0", "–")
    assert "24 April 2014: 15 of 450 attachments missing" in tips(figure)
    assert "Not in it: 50 attachments of posts without a time or outside these times (5 missing)." in figure.caption


def by_day(*days: tuple[str, int, int], line: Timeline = NO_TIME) -> Tally:
    """A tally of these attachments, and how many of them were had, by day."""
    whole = {"attachments": sum(each for _, each, _ in days), "had": sum(had for *_, had in days)}
    coverage = replace(BARE.coverage, days=tuple(covered(*each) for each in days), **whole)
    return replace(BARE, coverage=coverage, timeline=line)


def test_titles_of_what_is_missing_are_true_of_one_of_all_and_of_none() -> None:
    def title(*days: tuple[str, int, int]) -> str:
        return only(by_day(*days), "coverage-days").title

    a, b, c = "2014-04-22", "2014-04-25", "2014-04-30"
    assert title((a, 9, 9), (b, 1, 1)) == "None of 10 attachments with a time is missing."
    assert title((a, 9, 8), (b, 1, 1)) == "1 of 10 attachments with a time is missing, on 22 April 2014 (1 of 9)."
    assert title((a, 9, 7), (b, 1, 1)).endswith("with a time are missing, all of them on 22 April 2014 (2 of 9).")
    assert title((a, 9, 8), (b, 1, 0)) == "2 of 10 attachments with a time are missing."
    assert title((a, 9, 7), (b, 9, 8), (c, 2, 1)).endswith("are missing; the most on 22 April 2014, 2 of 9.")


def test_what_is_missing_is_by_day_where_these_are_not_too_many() -> None:
    def rows(last: str, line: Timeline) -> tuple[tuple[str, ...], ...]:
        return only(by_day(("2014-04-22", 90, 85), (last, 90, 85), line=line), "coverage-days").table.rows

    few = timeline("week", days(1), [{}])
    assert len(rows("2014-06-20", few)) == 60
    assert rows("2014-04-24", few)[1:] == (
        ("23 April 2014", "0", "0", "–"),
        ("24 April 2014", "5", "90", "5.6\N{NO-BREAK SPACE}%"),
    )
    hours = [datetime(2014, 4, 22, hour, tzinfo=UTC) for hour in (12, 13, 14)]
    assert [row[0] for row in rows("2014-06-21", timeline("hour", hours, [{}, {}]))] == [
        "22 April 2014, 12:00",
        "22 April 2014, 13:00",
    ]
    assert figures(by_day(("2014-04-22", 90, 85))) == ()


def test_what_is_missing_outside_the_bins_is_not_said_to_be_there() -> None:
    line = timeline("day", days(2), [{}, {}])
    whole = replace(line, bins=tuple(replace(each, had=each.attachments) for each in line.bins))
    figure = only(
        by_day(("2009-01-01", 1, 0), ("2014-04-22", 90, 90), ("2014-04-23", 90, 90), line=whole), "coverage-days"
    )
    assert figure.title == "1 of 181 attachments with a time is missing."
    assert "Not in it: 1 attachment of posts without a time or outside these times (1 missing)." in figure.caption


def test_people_against_the_classifier(drawn: dict[str, Figure]) -> None:
    matrix, curve = drawn["confusion"], drawn["reliability"]
    assert matrix.title.startswith("People and the classifier agree on 80 of 303 pictures (26")
    assert matrix.table.rows[0] == ("Friendly", "71", "72", "73", "74", "290")
    assert "People say “Friendly”, the classifier says “Unsure”: 74 of 290 pictures" in tips(matrix)
    assert "97\N{NO-BREAK SPACE}% sure" in curve.title
    assert "81\N{NO-BREAK SPACE}% of the pictures" in curve.title
    assert "16.1 points off" in curve.title
    assert curve.caption.endswith("It rests on 298 pictures. Fitted temperature: 2.50.")


def test_other_wordings(drawn: dict[str, Figure]) -> None:
    figure = drawn["robustness"]
    assert figure.title == "Other wordings of the prompts move “Friendly” by up to 7.5 points, out of its interval."
    row = ("Friendly", "without “a police officer hugging a person”", "12.5\N{NO-BREAK SPACE}%", "−7.5", "yes")
    assert row in figure.table.rows
    calm = tuple(replace(each, flagged=False) for each in LABELLED.robustness or ())
    assert "leave each class within its interval" in only(replace(BARE, robustness=calm), "robustness").title
    still = tuple(replace(each, change=0.0) for each in calm)
    assert "no share by as much as 0.1 points" in only(replace(BARE, robustness=still), "robustness").title


def test_hostile_names_stay_names_and_within_the_figure() -> None:
    labels = [f"k{i}" for i in range(len(HOSTILE))]
    classes = tuple(class_tally(label, name, 50, 0.1) for label, name in zip(labels, HOSTILE, strict=True))
    rows = [dict.fromkeys(labels, 0.1)] * 3
    model = LABELLED.agreement.model if LABELLED.agreement else None
    assert LABELLED.agreement
    assert model
    tally = replace(
        LABELLED,
        classes=classes,
        numbers=tuple(number(kind, "share", label, 0.2) for label in labels for kind in ("raw", "corrected")),
        timeline=timeline("day", days(3), rows),
        sources=tuple(part_tally(name, label, 10) for name in HOSTILE for label in labels),
        languages=tuple(part_tally(name, label, 10) for name in HOSTILE for label in labels),
        engagement=replace(
            TALLY.engagement,
            classes=tuple(
                EngagementOf(label=label, posts=10**6, total=10**12, median=10.0**i, p25=0.0, p75=10.0 ** (i + 1))
                for i, label in enumerate(labels)
            ),
        ),
        coverage=replace(TALLY.coverage, reasons=tuple(covered(f"gone: {name}", 10, 0) for name in HOSTILE)),
        agreement=replace(
            LABELLED.agreement,
            model=replace(model, n=64, counts={label: dict.fromkeys(labels, 1) for label in labels}),
        ),
        robustness=tuple(
            replace(each, label=label, variant=HOSTILE[2])
            for each in TALLY.robustness or ()
            if each.label == "friendly"
            for label in labels
        ),
    )
    found = figures(tally)
    assert [each.name for each in found] == ALL
    for figure in found:
        for svg, width in ((figure.wide, WIDE), (figure.narrow, NARROW)):
            root, *inner = elements(svg)
            assert root.get("viewBox", "").split()[2] == str(width)
            assert {each.tag for each in inner} <= {"g", "path", "line", "rect", "text", "tspan", "title", "circle"}
        assert len(figure.title) < 400
        assert all(len(cell) <= 80 for row in figure.table.rows for cell in row)
        assert not re.search("[\x00-\x08\x1b\u202e\ud800]", figure.title + figure.svg + str(figure.table.rows))


def test_text_is_cut_to_what_fits() -> None:
    assert (cut("a\n b\tc", 60), cut("x" * 9, 5), cut("\x00", 60)) == ("a b c", "xxxx…", "(no name)")
    assert quoted("Friendly") == "“Friendly”"
    assert quoted("שלום") == "\N{FIRST STRONG ISOLATE}“שלום”\N{POP DIRECTIONAL ISOLATE}"
    assert fitted("short", 60) == "short"
    assert re.fullmatch("W+…W+", fitted("W" * 99, 60))
    assert length(fitted("W" * 99, 60)) <= 60
    assert fitted("the first and the last", 60) == "the fi…last"
    assert fitted("W" * 99, 1) == "…"
    text = "a sentence of a few words, and " + "W" * 90
    broken = lines(text, 12, 200)
    assert "".join(broken).replace(" ", "") == text.replace(" ", "")
    assert len(broken) > 4


def test_a_colour_without_a_name_is_an_error() -> None:
    spec = {"data": {"values": [{"x": 1}]}, "mark": {"type": "point", "stroke": "#123456"}, "encoding": {}}
    with pytest.raises(ValueError, match="#123456"):
        draw(name="x", title="X.", caption="", spec=lambda _: spec, table=Table(columns=(), rows=()))


# How people without one kind of cones see linear RGB: Machado, Oliveira and Fernandes 2009, severity 1.
SIGHT = {
    "all cones": np.eye(3),
    "no red": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "no green": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "no blue": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def lab(colour: str, sight: Any) -> Any:
    """CIELAB (D65) of a colour as it is seen."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.clip(sight @ np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4), 0, 1)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = to_xyz @ linear / np.array([0.95047, 1, 1.08883])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_classes_can_be_told_apart_by_everybody_and_in_grey(mode: int) -> None:
    own = [PALETTE[name][mode] for name in ("c0", "c1", "c2", "c3", "c4", "c5", "unsure")]
    for sight in SIGHT.values():
        assert min(float(np.linalg.norm(lab(a, sight) - lab(b, sight))) for a, b in combinations(own, 2)) > 19.5
    grey = sorted(float(lab(each, SIGHT["all cones"])[0]) for each in own)
    assert min(b - a for a, b in pairwise(grey)) > 7.5


def contrast(a: Any, b: Any) -> float:
    """Of two colours as shares of red, green and blue (WCAG 2.2)."""

    def luminance(rgb: Any) -> float:
        return float(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])

    darker, lighter = sorted((luminance(a), luminance(b)))
    return (lighter + 0.05) / (darker + 0.05)


def rgb(name: str, mode: int) -> Any:
    return np.array([int(PALETTE[name][mode][i : i + 2], 16) for i in (1, 3, 5)]) / 255


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), [("ink", "paper"), ("quiet", "paper"), ("ink", "card"), ("quiet", "card")])
def test_text_has_enough_contrast(mode: int, text: str, ground: str) -> None:
    assert contrast(rgb(text, mode), rgb(ground, mode)) >= 4.5  # 1.4.3


def painted(element: ElementTree.Element, what: str, mode: int) -> Any:
    """The colour in which the fill or the stroke of an element is seen on paper; None if it has none."""
    value = element.get(what, "none")
    opaque = float(element.get("opacity", "1")) * float(element.get(f"{what}-opacity", "1"))
    if not value.startswith("var(") or not opaque:
        return None
    return opaque * rgb(value.removeprefix("var(--").removesuffix(")"), mode) + (1 - opaque) * rgb("paper", mode)


def is_ground(element: ElementTree.Element, name: str) -> bool:
    """Paper, lines of a grid, and what is told beside it too: the ground of gaps by no bar, shades by numbers."""
    look = (element.get("fill", "none"), element.get("stroke", "none"))
    grounds = [("var(--paper)", "none"), ("none", "var(--rule)"), ("transparent", "var(--rule)")]
    return name == "confusion" or look in (*grounds, *([("var(--rule)", "none")] if name == "time" else []))


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", ALL)
def test_what_is_drawn_has_enough_contrast_or_an_outline_that_has(
    drawn: dict[str, Figure], name: str, mode: int
) -> None:
    paper = rgb("paper", mode)
    least = 9.9
    for each in elements(drawn[name].wide):
        colours = [found for what in ("fill", "stroke") if (found := painted(each, what, mode)) is not None]
        if each.tag == "text":
            assert contrast(painted(each, "fill", mode), paper) >= 4.5
        elif colours and not is_ground(each, name):
            least = min(least, max(contrast(colour, paper) for colour in colours))
    assert least >= 3  # 1.4.11


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_numbers_can_be_read_on_the_darkest_shade(drawn: dict[str, Figure], mode: int) -> None:
    certain = replace(LABELLED, agreement=sure_of_all())
    figure = only(certain, "confusion")
    shades = [painted(each, "fill", mode) for each in elements(figure.wide) if each.get("fill") == "var(--c0)"]
    numbers = [
        painted(each, "fill", mode)
        for each in elements(figure.wide)
        if each.tag == "text" and re.match(r"\d", "".join(each.itertext()))
    ]
    assert len(numbers) == 2 * len(shades)
    assert min(contrast(number, shade) for number in numbers for shade in shades) >= 4.5


def sure_of_all() -> Any:
    """Of the labelled tally, a classifier that says what people say."""
    own = LABELLED.agreement
    assert own
    assert own.model
    return replace(own, model=replace(own.model, counts={each: {each: 9} for each in own.model.counts}))
