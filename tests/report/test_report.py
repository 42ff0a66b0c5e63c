import base64
import datetime as dt
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from hashtag_photos.labels import find_labels
from hashtag_photos.records import Incomplete
from hashtag_photos.report import Picture, render
from hashtag_photos.stages.summarize import ClassTally, Coverage, CoverageOf, DayTally, SourceTally, Tally
from hashtag_photos.terminal import show

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}"
LABELS = find_labels("friendly-or-force")


def class_tally(label: str, title: str, images: int, share: float) -> ClassTally:
    return ClassTally(
        label=label,
        title=title,
        images=images,
        share=share,
        low=share * 0.8,
        high=share * 1.1,
        posts=images,
        reposts=images // 2,
        photos=images,
    )


def source_tally(source: str, label: str, images: int) -> SourceTally:
    counts = {"images": images, "images_total": 600, "posts": images, "posts_total": 550}
    share = {"share": images / 600, "low": 0.1, "high": 0.9}
    return SourceTally(source=source, label=label, photos=images, photos_total=650, **counts, **share)


def covered(value: str, attachments: int, had: int) -> CoverageOf:
    missing = attachments - had
    return CoverageOf(value=value, attachments=attachments, had=had, missing={"gone": missing} if missing else {})


TALLY = Tally(
    run="mynypd",
    model="tiny",
    model_key="tiny-00000000",
    labels=LABELS.name,
    labels_key=LABELS.key,
    margin=0.1,
    images=1200,
    posts=1100,
    photos=1300,
    classes=(
        class_tally("friendly", "Friendly", 240, 0.2),
        class_tally("conflict_and_force", "Conflict and force", 720, 0.6),
        class_tally("neither", "Neither", 204, 0.17),
        class_tally("unsure", "Unsure", 36, 0.03),
    ),
    sources=(
        *(source_tally("bluesky", label, images) for label, images in (("friendly", 100), ("conflict_and_force", 400))),
        *(source_tally("bluesky", label, images) for label, images in (("neither", 90), ("unsure", 10))),
        *(source_tally("x", label, images) for label, images in (("friendly", 140), ("conflict_and_force", 320))),
        *(source_tally("x", label, images) for label, images in (("neither", 114), ("unsure", 26))),
    ),
    coverage=Coverage(
        posts=1500,
        posts_reposting=400,
        posts_with_wrong_time=5,
        incomplete=(
            Incomplete(source="#dike on x.example", reason="it was asked for 1,500 posts, and there are more"),
        ),
        posts_without_attachments=300,
        posts_without_time=7,
        posts_repeated=2,
        lines_rejected=3,
        collected_completely=False,
        attachments=1400,
        had=1300,
        missing={"gone": 60, "broken": 40},
        images=1201,
        images_not_classified=1,
        reasons=(
            covered("ok", 1300, 1300),
            covered("gone: the server answered 404 Not Found", 60, 0),
            covered("broken", 40, 0),
        ),
        hosts=(
            covered("big.example", 1200, 1180),
            covered("small.example", 120, 40),
            covered("whole.example", 80, 80),
        ),
        days=(
            covered("2014-04-22", 900, 820),
            covered("2014-04-24", 450, 435),
            covered("(no time)", 50, 45),
        ),
    ),
    days=(
        DayTally(day="2014-04-22", label="friendly", posts=5),
        DayTally(day="2014-04-24", label="conflict_and_force", posts=9),
    ),
)


def page(tally: Tally = TALLY, **pictures: list[Picture]) -> str:
    return render(tally, LABELS, {name: pictures.get(name, []) for name in LABELS.class_names})


def text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL))


SAFE_ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "h3", "p", "div", "span", "ul", "li"),
    *("table", "thead", "tbody", "tr", "th", "td", "svg", "g", "line", "rect", "text"),
    *("figure", "figcaption", "label", "input", "img", "dl", "dt", "dd", "strong"),
}


def elements_of(html: str) -> list[tuple[str, dict[str, str]]]:
    found = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            found.append((tag, {name: value or "" for name, value in attributes}))

    Parser().feed(html)
    return found


def test_every_number_stands_beside_its_denominator() -> None:
    shown = text(page())
    for words in (
        "Of 1,200 distinct pictures, 60 % are classified as “Conflict and force”",
        "Friendly: 240 (20 %, 95 % interval 16 % to 22 %)",
        "Conflict and force 720 60.0 % 48.0 % – 66.0 % 720",
        "1,500 posts, 300 of them without attachments and 400 reposts of others.",
        "Of 1,400 attachments, 1,300 could be had ( 92.9 % )",
        "1,201 distinct images , 1 of which are not classified",
        "3 lines of the sources could not be read",
        "2 posts stand in the source more than once",
        "The posts are not all there. What is counted here is not the whole",
        "#dike on x.example: it was asked for 1,500 posts, and there are more",
        "bluesky 100 (16.7 % ) 400 (66.7 % ) 90 (15.0 % ) 10 (1.7 % ) 600",
        "and 400 reposts of others",
        "5 posts state an impossible or uncertain time",
        "gone: the server answered 404 Not Found 60 4.3 %",
        "small.example 80 120 66.7 % big.example 20 1,200 1.7 %",
        "Of 3 hosts, these miss any attachments: coverage.csv has all.",
        "80 of 900",
        "15 of 450",
        "50 more are of posts without a time, 5 of them missing.",
        "damaged or cut short 40 2.9 %",
        "7 of 1500 posts state no time, or an impossible or uncertain one",
    ):
        assert words.replace(" ", "") in shown.replace(" ", ""), words


def test_sentences_are_apart() -> None:
    assert not re.findall(r"[a-z)][.!?][A-Z0-9]", text(page()).replace("tally-by-source.csv", "").replace(".json", ""))


def test_days_without_posts_are_shown_as_such() -> None:
    html = page()
    assert all(day in html for day in ("2014-04-22", "2014-04-23", "2014-04-24"))


def test_nothing_from_outside_is_markup_and_nothing_runs_or_loads() -> None:
    hostile = replace(
        TALLY,
        run=HOSTILE,
        model=HOSTILE,
        classes=tuple(replace(each, title=HOSTILE) for each in TALLY.classes),
        coverage=replace(
            TALLY.coverage,
            missing={HOSTILE: 1},
            incomplete=(Incomplete(source=HOSTILE, reason=HOSTILE),),
            reasons=(covered(HOSTILE, 9, 0), covered(f"gone: {HOSTILE}", 9, 0)),
            hosts=(covered(HOSTILE, 9, 0), covered(f"{HOSTILE}.example", 9, 0)),
        ),
        sources=tuple(replace(each, source=HOSTILE + each.source) for each in TALLY.sources),
    )
    picture = Picture(data="data:image/jpeg;base64,AAAA", width=4, height=3, alt=HOSTILE, probability=0.5)
    html = page(hostile, friendly=[picture])
    assert "{{ 7*7 }}" in html, "not a template either"
    elements = elements_of(html)
    assert {name for name, _ in elements} <= SAFE_ELEMENTS
    for _, attributes in elements:
        assert not any(name.startswith("on") or name in ("style", "href") for name in attributes)
        assert attributes.get("src", "data:").startswith("data:")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', html)
    (style,) = re.findall(r"<style>(.*?)</style>", html, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.replace("&#39;", "'") == f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"


def test_pictures_are_blurred_until_they_are_asked_for() -> None:
    picture = Picture(data="data:image/jpeg;base64,AAAA", width=4, height=3, alt="a", probability=0.5)
    html = page(friendly=[picture])
    assert re.search(r'<label><input type="checkbox" aria-label="[^"]+"><img src="data:image/jpeg', html)
    assert re.search(r"\.pictures img \{[^}]*filter: blur\(", html)
    assert re.search(r":checked \+ img \{[^}]*filter: none", html)


def test_a_run_without_any_picture_has_a_page_too() -> None:
    empty = replace(
        TALLY,
        images=0,
        posts=0,
        photos=0,
        days=(),
        classes=tuple(
            replace(each, images=0, posts=0, photos=0, share=None, low=0.0, high=1.0) for each in TALLY.classes
        ),
        coverage=replace(
            TALLY.coverage,
            had=0,
            attachments=0,
            images=0,
            missing={},
            images_not_classified=0,
            reasons=(),
            hosts=(),
            days=(),
        ),
    )
    assert "No picture could be classified" in text(page(empty))
    assert "What could not be had" not in text(page(empty))


@pytest.mark.parametrize("count", [45, 400])
def test_a_long_time_is_said_to_be_in_the_file(count: int) -> None:
    last = "2014-06-06" if count == 45 else "2015-05-27"
    assert "are in tally.json" in page(replace(TALLY, days=(TALLY.days[0], replace(TALLY.days[1], day=last))))


def with_coverage(**changes: tuple[CoverageOf, ...]) -> str:
    return text(page(replace(TALLY, coverage=replace(TALLY.coverage, **changes))))


def test_of_many_hosts_those_that_miss_most_are_shown_and_how_many_there_are() -> None:
    hosts = tuple(covered(f"h{number}.example", 2000, number) for number in range(1001, 2001))
    shown = with_coverage(hosts=hosts)
    assert "h1010.example" in shown
    assert "h1011.example" not in shown
    assert "The hosts with the most attachments missing, of 999 that miss any and 1,000 in all" in shown


def test_one_host_is_said_to_have_all() -> None:
    assert "All attachments are on this host." in with_coverage(hosts=(covered("a.example", 1400, 1300),))


def test_days_that_are_too_many_to_be_drawn_are_a_table_of_those_that_miss_most() -> None:
    days = (covered("2014-04-22", 900, 890), covered("2015-04-22", 450, 360), covered("(no time)", 50, 50))
    shown = with_coverage(days=days)
    assert "2015-04-22 90 450 20.0 % 2014-04-22 10 900 1.1 %" in shown
    assert "The days with the most attachments missing: coverage.csv has all." in shown


def test_posts_without_any_time_have_no_days() -> None:
    assert "By day" not in with_coverage(days=(covered("(no time)", 1400, 1300),))


@pytest.mark.parametrize("count", [2, 11, 12, 45])
def test_each_day_has_its_bar_and_says_what_it_misses(count: int) -> None:
    last = dt.date(2014, 4, 22) + dt.timedelta(days=count - 1)
    days = (covered("2014-04-22", 900, 820), covered(last.isoformat(), 450, 435))
    html = page(replace(TALLY, coverage=replace(TALLY.coverage, days=days)))
    assert "2014-04-22: 80 of 900 attachments missing" in html
    assert f"{last}: 15 of 450 attachments missing" in html
    assert html.count('class="missing" x=') == 2
    assert ("(the counts are in coverage.csv)" in html) == (count >= 8)


def test_the_terminal_names_the_hosts_that_miss_most(capsys: pytest.CaptureFixture[str]) -> None:
    hosts = (*TALLY.coverage.hosts, covered("third.example", 9000, 8988), covered("fourth.example", 9, 8))
    show(replace(TALLY, coverage=replace(TALLY.coverage, hosts=hosts)))
    assert (
        "\nmissing    100: 60 gone, 40 damaged or cut short\n"
        "           small.example 80 of 120, big.example 20 of 1,200, third.example 12 of 9,000\n"
    ) in capsys.readouterr().out


@pytest.mark.parametrize("changes", [{"missing": {}}, {"hosts": TALLY.coverage.hosts[:1]}])
def test_the_terminal_names_no_host_where_there_is_nothing_to_tell(
    capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    show(replace(TALLY, coverage=replace(TALLY.coverage, **changes)))
    assert ".example 20 of" not in capsys.readouterr().out
