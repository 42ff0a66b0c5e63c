"""The page of a tally, as text and as markup, and what the terminal says of the same tally."""

import base64
import hashlib
import re
from dataclasses import replace
from functools import cache
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import command
from made_tally import (
    AGREEMENT,
    CORRECTED,
    LABELLED,
    LABELS,
    NO_RUN,
    RAW,
    REVIEWED,
    TALLY,
    covered,
)

from hashtag_photos.records import Incomplete
from hashtag_photos.report import page_of, write_report
from hashtag_photos.report.charts import Figure
from hashtag_photos.report.figures import figures
from hashtag_photos.report.prose import headline
from hashtag_photos.run import Run
from hashtag_photos.stages.coverage import CoverageOf
from hashtag_photos.stages.summarize import summarize
from hashtag_photos.stages.tally import Engagement, Tally
from hashtag_photos.terminal import show
from make_synthetic_run import make

NOWHERE = Run("/nowhere/at-all")  # what is on the page is of the tally
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}"


@cache
def drawn() -> tuple[Figure, ...]:
    return figures(LABELLED)


def page(tally: Tally = TALLY, **parts: Any) -> str:
    given = {
        "headline": headline(NO_RUN, tally, LABELS),
        "figures": (),
        "methods": "# Methods",
        "gallery": None,
        "wall": None,
    }
    return page_of(tally, LABELS, **given | parts)


def text(html: str) -> str:
    without = re.sub(r"<(style|script)>.*?</\1>|<nav.*?</nav>|<[^>]+>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", without)


def plain(html: str) -> str:
    """The words of a page, without what typography puts between them."""
    shown = unescape(text(html)).replace("\xa0", " ").replace("’", "'")
    return re.sub(r" (?=[).,:;])", "", shown)


SAFE_ELEMENTS = {
    *("html", "head", "meta", "title", "style", "script", "body", "header", "main", "nav", "section", "footer", "h1"),
    *("h2", "h3", "p", "div", "span", "ul", "ol", "li", "a", "table", "thead", "tbody", "tr", "th", "td", "svg", "g"),
    *("line", "rect", "text", "path", "figure", "figcaption", "label", "input", "img", "dl", "dt", "dd", "strong"),
    *("code", "pre", "details", "summary", "defs", "clippath", "tspan"),
}


def elements_of(html: str) -> list[tuple[str, dict[str, str]]]:
    found = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            found.append((tag, {name: value or "" for name, value in attributes}))

    Parser().feed(html)
    return found


def test_every_number_stands_beside_its_denominator() -> None:
    shown = plain(page())
    for words in (
        "Conflict and force 710 720 60.0 % 48.0 % – 66.0 % 720 360",
        "All 1,160 1,200 1,100 400",
        "1,500 posts, 300 of them without attachments and 400 reposts of others.",
        "Of 1,400 attachments, 1,300 could be had (92.9 %)",
        "1,201 distinct images, 1 of which is not classified",
        "3 lines of the sources are left out: not to be read as a post, or a known post with other contents",
        "Posts that came more than once are counted once, which leaves out 2 repeats.",
        "The posts are not all there (#dike on x.example: it was asked for 1,500 posts, and there are more).",
        "small.example 80 120 66.7 % big.example 20 1,200 1.7 %",
        "Of 3 hosts, these miss any attachments. coverage.csv has all.",
        "7 of 1,500 posts state no time that can be used, 5 of them an impossible or uncertain one.",
        "Which pictures are made of words is a guess of the same model: it takes 180 of the 1,200 images for pictures "
        "of words (“Screenshot or text”, “Poster”, “Meme”).",
        "Friendly hangs on the wording 230 240 20.0 % 16.0 % – 22.0 %",
        f"Templates {'; '.join(LABELS.templates)}",
        "Class Of all 1,200 Of 1,000 without words 95 % interval Friendly 240 (20.0 %) 230 (23.0 %) 10.0 % – 90.0 %",
        "12 of the 1,000 are too close to call as to their kind and count as without words.",
        "20 more images were not asked for their kind and are left out.",
        "with each template alone, and with each prompt left out, over the same 1,200 images.",
        "Vectors were computed in bf16 on cuda. Among 64 images computed in fp32 as well, no label differs, and "
        "no probability by more than 0.4 points. That is what was seen among those images and not a bound; to be safe, "
        "take labels with a margin within 1.6 of the 10 points at which a picture becomes unsure for open: 17 of the "
        "1,200 images.",
    ):
        assert words in shown, words


def test_the_answer_comes_first_with_its_kind_and_what_is_missing() -> None:
    said = headline(NO_RUN, LABELLED, LABELS)
    shown = plain(page(LABELLED))
    first = shown.partition("How many of each")[0]
    told = (said.about, said.sentence, said.kind, "Friendly 12 % 10 to 16", said.missing)
    places = [first.index(plain(words)) for words in told]
    assert places == sorted(places)
    assert 'class="caution"' not in page(LABELLED)


def test_what_a_reader_must_know_stands_below_the_answer() -> None:
    said = replace(headline(NOWHERE, TALLY, LABELS), about=f"About {HOSTILE}.", caution=f"Careful {HOSTILE}.")
    html = page(headline=said)
    first = text(html).partition("How many of each")[0]
    told = ("About <script>", plain(said.sentence), "Careful <script>", plain(said.kind))
    places = [plain(first).index(words) for words in told]
    assert places == sorted(places)
    assert html.count("<script") == 1


def test_sentences_are_apart() -> None:
    assert not re.findall(r"[a-z)][.!?][A-Z0-9]", text(page()))


def test_class_names_are_underlined_in_their_colours_and_nothing_else_is() -> None:
    said = replace(
        headline(NO_RUN, TALLY, LABELS), sentence="60 % (48 to 66) show “Conflict and force”, “Friendly” not “Force”"
    )
    html = page(headline=said)
    (title,) = re.findall(r"<h1>(.*?)</h1>", html, flags=re.DOTALL)
    assert title == (
        '60 % <span class="range">(48 to 66)</span> show <span class="named c1">“Conflict and force”</span>, '
        '<span class="named c0">“Friendly”</span> not “Force”'
    )


def test_every_figure_is_on_the_page_once_numbered_in_order_with_its_numbers() -> None:
    html = page(LABELLED, figures=drawn())
    assert {f"figure-{each.name}" for each in drawn()} == set(re.findall(r'<figure class="figure" id="([^"]+)"', html))
    assert re.findall(r'<span class="number">Figure (\d+)</span>', html) == [str(i + 1) for i in range(len(drawn()))]
    shown = plain(html)
    for each in drawn():
        assert plain(each.title) in shown.replace("&amp;", "&")
        for row in each.table.rows:
            assert plain(" ".join(row)) in shown.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")


def test_the_contents_lead_to_headings_that_are_there() -> None:
    for html in (page(), page(LABELLED, figures=drawn()), page(nothing())):
        links = [each["href"] for name, each in elements_of(html) if name == "a" and each["href"].startswith("#")]
        ids = [each["id"] for _, each in elements_of(html) if "id" in each]
        assert {link[1:] for link in links} <= set(ids)
        assert len(ids) == len(set(ids))
        assert len(links) > 3


def test_headings_are_in_order() -> None:
    levels = [int(name[1]) for name, _ in elements_of(page(LABELLED, figures=drawn())) if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(next_one <= level + 1 for level, next_one in pairwise(levels))


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
        sources=tuple(replace(each, value=HOSTILE + each.value) for each in TALLY.sources),
        languages=tuple(replace(each, value=HOSTILE + each.value) for each in TALLY.languages),
        precision=HOSTILE,
        devices=(HOSTILE, HOSTILE),
        without_text=replace(TALLY.without_text, text_kinds=(HOSTILE,)),
        robustness=tuple(replace(each, variant=HOSTILE) for each in TALLY.robustness),
    )
    html = page(hostile, figures=figures(hostile), methods=HOSTILE)
    assert "{{ 7*7 }}" in html, "not a template either"
    elements = elements_of(html)
    assert {name for name, _ in elements} <= SAFE_ELEMENTS
    assert [name for name, _ in elements].count("script") == 1
    for _, attributes in elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith("#")


TURNING = "\u202ed\u2066e\u200f\u061c\u00ad"


def test_no_name_turns_or_hides_the_words_after_it() -> None:
    family = "👩\u200d👧 می\u200cخواهم שלום"
    turning = replace(
        TALLY,
        run=TURNING + family,
        classes=tuple(replace(each, title=TURNING + each.title) for each in TALLY.classes),
        coverage=replace(TALLY.coverage, hosts=(covered(f"{TURNING}.example", 9, 0),)),
        sources=tuple(replace(each, value=TURNING + each.value) for each in TALLY.sources),
    )
    html = page(turning, figures=figures(turning), headline=headline(NO_RUN, turning, LABELS))
    assert not set(unescape(html)) & set(TURNING) - set("de")
    assert f"de{family}" in html
    assert '<span class="named c1">“deConflict and force”</span>' in html


def test_the_policy_allows_the_page_its_own_style_and_script_and_nothing_else() -> None:
    html = page()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', html)

    def digest(element: str) -> str:
        (own,) = re.findall(f"<{element}>(.*?)</{element}>", html, flags=re.DOTALL)
        return base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()

    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest('style')}'; "
        f"script-src 'sha256-{digest('script')}'; base-uri 'none'; form-action 'none'"
    )


def test_a_page_that_is_shared_says_what_it_was_made_without() -> None:
    shown = plain(page(pictures=False, authors=False))
    assert "This copy of the report was made without pictures." in shown
    assert "It was made without authors: no picture links to its post" in shown
    assert "Show all pictures" not in shown
    whole = plain(page())
    assert "was made without" not in whole
    assert "Show all pictures" in whole


@pytest.mark.parametrize("without", ["pictures", "authors"])
def test_a_page_that_is_shared_speaks_of_no_file_beside_it(without: str) -> None:
    html = page(LABELLED, **{without: False})
    assert not re.search(r"[\w-]+\.(?:csv|json|md)\b", text(html))
    assert 'href="#files"' not in html
    assert "Files" not in text(html)
    assert 'href="#files"' in page(LABELLED)


def test_without_authors_no_host_is_named(made: Run) -> None:
    shown = page(LABELLED, authors=False)
    assert "Attachments are missing on 2 of 3 hosts, which are not named here." in plain(shown)
    assert all(each.value not in shown for each in TALLY.coverage.hosts)
    assert "small.example" in page(LABELLED, pictures=False)
    tally = summarize(made)
    hosts = {each.value for each in tally.coverage.hosts}
    assert len(hosts) > 1
    shared = Path(write_report(made, tally, authors=False))
    assert shared.name == "report-to-share.html"
    assert not any(host in shared.read_text() for host in hosts)
    shared.unlink()


def test_without_authors_nothing_is_told_by_source_since_that_can_be_a_person() -> None:
    sources = tuple(replace(each, value=f"zoe-{each.value}.blog.example") for each in TALLY.sources)
    of_people = replace(TALLY, sources=sources)
    drawn = figures(of_people)
    assert "zoe-x.blog.example" in page(of_people, figures=drawn, pictures=False)
    html = page(of_people, figures=drawn, authors=False)
    assert "zoe" not in html
    assert 'id="figure-languages"' in html
    assert "no share is given by source, and the hosts of pictures are not named here." in plain(html)
    numbers = re.findall(r'<span class="number">Figure (\d+)</span>', html)
    assert numbers == [str(number) for number in range(1, len(drawn))]


def nothing() -> Tally:
    """A run of which no picture could be had."""
    return replace(
        TALLY,
        pictures=0,
        images=0,
        posts=0,
        photos=0,
        numbers=(),
        largest=(),
        sources=(),
        languages=(),
        timeline=replace(TALLY.timeline, unit="", bins=(), rows=(), before=0, after=0),
        engagement=Engagement(posts=0, weighing=0, reposts=0, unstated=0, total=0, classes=()),
        classes=tuple(
            replace(
                each, pictures=0, images=0, posts=0, photos=0, share=None, low=0.0, high=1.0, sensitive_to_prompts=False
            )
            for each in TALLY.classes
        ),
        without_text=replace(
            TALLY.without_text,
            images=0,
            text=0,
            classes=tuple(
                replace(each, images=0, images_total=0, share=None, low=0.0, high=1.0)
                for each in TALLY.without_text.classes
            ),
        ),
        robustness=tuple(
            replace(each, images=0, images_total=0, share=None, change=None, flagged=False) for each in TALLY.robustness
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


def test_a_run_without_any_picture_has_a_page_too(capsys: pytest.CaptureFixture[str]) -> None:
    empty = nothing()
    assert plain(headline(NO_RUN, empty, LABELS).sentence) in plain(page(empty))
    assert "Which hosts miss most" not in text(page(empty))
    assert 'id="when"' not in page(empty)
    for robustness in (empty.robustness, (), None):
        classes = tuple(replace(each, sensitive_to_prompts=None) for each in empty.classes)
        none = replace(empty, classes=classes, robustness=robustness, check=None)
        shown = text(page(none, figures=figures(none)))
        show(none)
        shown += capsys.readouterr().out
        for words in ("pictures of words", "worded", "wording", "no words", "Run that stage again", "No class moves"):
            assert words not in shown


def test_what_can_not_be_drawn_over_time_is_said() -> None:
    assert "No post states a time, so nothing can be said of when." in plain(page(nothing_dated()))
    one = replace(TALLY, timeline=replace(TALLY.timeline, bins=TALLY.timeline.bins[:1], rows=()))
    assert "are of the same 15 minutes or have no picture that was classified" in plain(page(one, figures=figures(one)))
    assert "to draw over time" not in plain(page(figures=figures(TALLY)))


def nothing_dated() -> Tally:
    return replace(TALLY, timeline=replace(TALLY.timeline, unit="", bins=(), rows=(), before=0, after=0))


def with_coverage(**changes: tuple[CoverageOf, ...]) -> str:
    return plain(page(replace(TALLY, coverage=replace(TALLY.coverage, **changes))))


def test_of_many_hosts_those_that_miss_most_are_shown_and_how_many_there_are() -> None:
    hosts = tuple(covered(f"h{number}.example", 2000, number) for number in range(1001, 2001))
    shown = with_coverage(hosts=hosts)
    assert "h1010.example" in shown
    assert "h1011.example" not in shown
    assert "The hosts with the most attachments missing, of 999 that miss any and 1,000 in all" in shown


def test_one_host_is_said_to_have_all() -> None:
    assert "There is no other host. coverage.csv has all." in with_coverage(hosts=(covered("a.example", 1400, 1300),))


def test_what_has_no_host_is_not_told_as_one() -> None:
    nowhere = (covered("(a local file)", 500, 400), covered("(no host)", 9, 0))
    assert "Which hosts miss most" not in with_coverage(hosts=nowhere)
    shown = with_coverage(hosts=(covered("a.example", 1400, 1300), *nowhere))
    assert "a.example 100 1,400 7.1 % There is no other host." in shown
    assert "(no host)" not in shown


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"posts_without_attachments": 0}, "1,500 posts, 400 of them reposts of others. Of 1,400 attachments"),
        ({"posts_without_attachments": 0, "posts_reposting": 0}, "1,500 posts. Of 1,400 attachments"),
        ({"posts_without_attachments": 0, "posts_reposting": 1}, "1,500 posts, 1 of them a repost of others. Of"),
        ({"posts_without_attachments": 1500, "posts_reposting": 0}, "1,500 posts, all without attachments. "),
        ({"posts": 1, "posts_without_attachments": 1, "posts_reposting": 0}, "1 post, without attachments. "),
        ({"posts_without_time": 1500}, "No post states a time that can be used, 5 of them an impossible or"),
        ({"posts_without_time": 1500, "posts_with_wrong_time": 0}, "No post states a time that can be used. "),
        ({"posts": 1, "posts_without_time": 1, "posts_with_wrong_time": 0}, "No post states a time that can be used."),
        ({"posts_without_time": 0, "posts_with_wrong_time": 0}, "(rejected.csv lists them). "),
    ],
)
def test_all_none_and_one_of_the_posts_are_said_as_such(counts: dict[str, int], said: str) -> None:
    shown = plain(page(replace(TALLY, coverage=replace(TALLY.coverage, **counts)))).partition("What could be had ")[2]
    assert said in shown
    assert not re.search(r"\b0 of|\b1 of 1 |\.\.", shown.partition("Which hosts")[0])


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


def test_classes_that_move_are_named_and_marked_in_words() -> None:
    assert plain(page()).count("hangs on the wording") == 1
    assert "“Friendly” moves by more than its 95 % interval: that share hangs on the choice of words." in plain(page())
    both = [replace(each, sensitive_to_prompts=each.label != "unsure") for each in TALLY.classes]
    shown = plain(page(replace(TALLY, classes=tuple(both))))
    assert (
        "“Friendly”, “Conflict and force” and “Neither” move by more than their 95 % interval: those shares hang"
        in shown
    )
    assert shown.count("hangs on the wording") == 3
    none = [replace(each, sensitive_to_prompts=False) for each in TALLY.classes]
    shown = plain(page(replace(TALLY, classes=tuple(none))))
    assert "No class moves by more than its 95 % interval." in shown
    assert "hangs on" not in shown


def test_wordings_that_were_not_computed_are_said_to_be() -> None:
    classes = tuple(replace(each, sensitive_to_prompts=None) for each in TALLY.classes)
    shown = text(page(replace(TALLY, classes=classes, robustness=None)))
    assert "This was not computed: the pictures were scored before it was part of the classify stage." in shown
    assert "No class moves" not in shown


def of_kinds(*kinds: str) -> Tally:
    classes = tuple(replace(each, sensitive_to_prompts=False if len(kinds) > 1 else None) for each in TALLY.classes)
    return replace(TALLY, classes=classes, robustness=tuple(each for each in TALLY.robustness if each.kind in kinds))


def test_where_there_is_one_wording_nothing_is_said_to_stay(capsys: pytest.CaptureFixture[str]) -> None:
    for tally in (of_kinds("all"), of_kinds()):
        shown = text(page(tally))
        assert (
            "There is no other wording to compare: the label set has one template, and one prompt per class." in shown
        )
        assert "No class moves" not in shown
        show(tally)
        assert (
            "\nwording    no other wording to compare: there is one template, and one prompt per class\n"
        ) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "said", "unsaid"),
    [
        ("template", "with each template alone", "prompt left out"),
        ("without_prompt", "with each prompt left out", "template alone"),
    ],
)
def test_only_what_was_compared_is_said_to_be(kind: str, said: str, unsaid: str) -> None:
    shown = plain(page(of_kinds("all", kind)))
    assert f"The shares were counted again {said}, over the same 1,200 images." in shown
    assert unsaid not in shown
    assert "No class moves by more than its 95 % interval." in shown


@pytest.mark.parametrize(
    ("images", "why"),
    [
        (200, "200 images (a draw from all, since there are many)"),
        (1300, "1,300 images (some of them no longer count, such as placeholders known since)"),
    ],
)
def test_why_other_images_were_compared_is_said(images: int, why: str) -> None:
    other = tuple(replace(each, images_total=images) for each in TALLY.robustness)
    shown = text(page(replace(TALLY, robustness=other)))
    assert f"left out, over {why}: what changes there is added to the share as published." in shown


def test_one_is_not_many(capsys: pytest.CaptureFixture[str]) -> None:
    ones = {"posts": 1, "attachments": 1, "had": 1, "images": 1, "posts_repeated": 1, "lines_rejected": 1}
    reposts = {"posts_reposting": 1, "posts_with_wrong_time": 1, "posts_without_time": 1, "images_not_classified": 1}
    tally = replace(
        TALLY,
        images=1,
        posts=1,
        coverage=replace(TALLY.coverage, **ones, **reposts),
        check=replace(TALLY.check, images=1),
        without_text=replace(TALLY.without_text, images=1, text=1, unsure=1, unknown=1),
        robustness=tuple(replace(each, images_total=1) for each in TALLY.robustness),
    )
    show(tally)
    shown = text(page(tally)) + capsys.readouterr().out
    assert not re.search(r"\b1 (?:\w+ )?(?:posts|reposts|pictures|attachments|images|lines|labels)\b", shown)
    assert not re.search(r"\b1 (?:state|stand|are|more are)\b", shown)
    assert "for a picture of words" in shown


def test_a_margin_of_nothing_has_no_unsure_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    tally = replace(TALLY, margin=0.0)
    assert "take labels with a margin within 1.6 points of a tie for open" in text(page(tally))
    show(tally)
    assert "margin within 1.6 points of a tie\n" in capsys.readouterr().out


def test_no_split_by_kind_where_there_is_none() -> None:
    assert "pictures of words" not in text(page(replace(TALLY, without_text=None)))


@pytest.mark.parametrize(
    ("precision", "devices", "check", "sentence"),
    [
        ("fp32", ("cpu",), None, "Vectors were computed in fp32 on cpu."),
        ("fp32", ("cpu", "cuda"), None, "in fp32 on cpu and cuda, which can differ in the last digits."),
        (None, ("cpu", "cuda"), None, "Vectors were computed on cpu and cuda, which can differ in the last digits."),
        ("bf16", ("cuda",), None, "No image was computed in fp32 as well, so what that changes is not known."),
        ("bf16", ("cuda",), {"labels_differing": 1}, "1 label differs, and"),
        ("bf16", ("cuda",), {"labels_differing": 2}, "2 labels differ, and"),
        ("bf16", ("cuda",), {"largest_change": 0.00121}, "no probability by more than 0.13 points."),
    ],
)
def test_the_precision_of_vectors_is_told(
    precision: str | None, devices: tuple[str, ...], check: dict[str, Any] | None, sentence: str
) -> None:
    told = replace(TALLY.check, **check) if check else None
    shown = text(page(replace(TALLY, precision=precision, devices=devices, check=told)))
    assert sentence in shown.replace(" .", ".")


def test_the_terminal_tells_what_the_shares_hang_on(capsys: pytest.CaptureFixture[str]) -> None:
    show(TALLY)
    shown = capsys.readouterr().out.replace("\xa0", " ")
    assert (
        "\nwording    * friendly moves by up to 7.5 points with the wording of prompts: see robustness.csv\n"
        "no words   friendly 23.0 %, conflict_and_force 71.0 %, neither 3.0 %, unsure 3.0 % of 1,000 images the model "
        "does not take for pictures of words\n"
        "precision  vectors in bf16 on cuda\n"
        "           among 64 images in fp32 as well, 0 labels came out otherwise: what was seen, not a bound\n"
        "           to be safe, take 17 of 1,200 labels for open: margin within 1.6 of the 10 points at which a "
        "picture becomes unsure\n"
        "coverage   "
    ) in shown
    assert re.search(r"│ friendly \* +│ +240 │", shown)
    assert re.search(r"│ neither +│ +204 │", shown)
    assert all(len(line) < 150 for line in shown.splitlines())


def test_the_terminal_tells_what_to_know_before_all_else(capsys: pytest.CaptureFixture[str]) -> None:
    show(TALLY, caution="Nothing of it is so.")
    assert "\nCAREFUL    Nothing of it is so.\n" in capsys.readouterr().out
    show(TALLY)
    assert "CAREFUL" not in capsys.readouterr().out


def test_the_terminal_names_all_classes_that_move(capsys: pytest.CaptureFixture[str]) -> None:
    show(replace(TALLY, classes=tuple(replace(each, sensitive_to_prompts=True) for each in TALLY.classes)))
    assert (
        "\nwording    * friendly moves by up to 7.5 points, conflict_and_force by up to 5.8 points, neither by up to "
        "1.5 points, unsure by up to 0.2 points with the wording of prompts: see robustness.csv\n"
    ) in capsys.readouterr().out


def test_the_terminal_tells_nothing_of_what_is_not_so(capsys: pytest.CaptureFixture[str]) -> None:
    classes = tuple(replace(each, sensitive_to_prompts=False) for each in TALLY.classes)
    show(replace(TALLY, classes=classes, without_text=None, precision="fp32", devices=("cpu",), check=None))
    shown = capsys.readouterr().out
    assert not any(word in shown for word in ("wording", "no words", "precision"))
    show(replace(TALLY, precision=None, devices=("cpu", "cuda"), check=None))
    assert "\nprecision  vectors on cpu and cuda, which can differ in the last digits\n" in capsys.readouterr().out


# What people said


# What people said


def test_corrected_shares_stand_beside_the_raw_ones_with_their_kind() -> None:
    shown = plain(page(LABELLED))
    assert "2 people labelled 300 of 320 pictures that were drawn at random." in shown
    assert "Friendly 20.0 % (10.0 – 90.0) 12.3 % (10.1 – 15.5)" in shown
    assert "Conflict and force 20.0 % (10.0 – 90.0) 62.7 % (58.0 – 67.0)" in shown
    assert "The corrected ones rest on 300 labelled pictures" in shown
    assert "no share is corrected" not in shown
    assert "type hashtag-photos review RUN --settle." in shown
    assert "in engagement: no post states any engagement." in shown


def test_without_labels_nothing_is_said_to_be_corrected() -> None:
    shown = plain(page())
    assert "no sample was labelled, so no share is corrected for its errors" in shown
    assert "How far people agree" not in shown
    assert "Estimated from" not in shown
    refused = replace(REVIEWED, labelled=3, refused={"pictures": "too few labels & so on"}, notes=())
    shown = page(replace(TALLY, review=refused))
    assert "in pictures: too few labels &amp; so on." in shown
    assert "No corrected share at all:" in shown


CENSUS = tuple(
    replace(each, method="census", low=each.value, high=each.value, probability=None)
    if each.kind == "corrected" and each.value is not None
    else each
    for each in CORRECTED
)


def test_what_was_counted_has_no_interval(capsys: pytest.CaptureFixture[str]) -> None:
    counted = replace(LABELLED, numbers=RAW + CENSUS)
    shown = plain(page(counted))
    assert "Friendly 20.0 % (10.0 – 90.0) 12.3 %" in shown
    assert "12.3 % (" not in shown
    assert "Friendly 12 % counted" in shown
    assert "All of it was counted." in shown
    assert "These are all there are, so their shares are counted and have no interval." in shown
    assert "Estimated from" not in shown
    show(counted)
    told = capsys.readouterr().out.replace("\xa0", " ")
    assert re.search(r"│ friendly +│ +20\.0 % \(10\.0 – 90\.0\) │ +12\.3 % │", told)
    assert "all labelled by hand" in told
    assert "\nmore       conflict_and_force outnumbers friendly: 5.1 to 1\n" in told


def test_sentences_to_quote_name_their_kind_and_are_the_surest_there_are() -> None:
    quotes = plain(page()).partition("Numbers to quote, as sentences")[2].partition("Raw: as the classifier says")[0]
    assert "raw share Sentence: raw share of friendly in pictures." in quotes
    assert "bound share Sentence: bound share of friendly in photos." in quotes
    quotes = (
        plain(page(LABELLED)).partition("Numbers to quote, as sentences")[2].partition("Raw: as the classifier says")[0]
    )
    assert "corrected share Sentence: corrected share of friendly in pictures." in quotes
    assert "corrected difference Sentence" in quotes
    assert "corrected ratio Sentence" in quotes
    assert quotes.count("bound share Sentence") == 1
    assert "raw share" not in quotes


def test_posts_without_engagement_are_counted() -> None:
    shown = plain(page(LABELLED))
    assert (
        "stated by 690 of 1,100 posts with pictures; 400 reposts of others weigh nothing there, nor do 10 posts that "
        "state none." in shown
    )
    own = replace(TALLY, engagement=replace(TALLY.engagement, reposts=0))
    assert "stated by 690 of 1,100 posts with pictures; 10 posts state none." in plain(page(own))
    none = replace(TALLY, engagement=Engagement(posts=1, weighing=0, reposts=0, unstated=1, total=0, classes=()))
    assert "Of 1 post with pictures, none states any likes, reposts or replies of its own, so nothing" in plain(
        page(none)
    )


def test_near_duplicates_that_were_looked_for_and_not_found_are_said_to_be() -> None:
    assert "1,200 images are 1,160 distinct pictures" in plain(page())
    alone = plain(page(replace(TALLY, largest=(), pictures=1200)))
    assert "No near-duplicates were found: 1,200 images, 1,200 distinct pictures." in alone
    assert "not looked for" not in alone


def test_near_duplicates_that_were_not_looked_for_are_told_from_none() -> None:
    none = plain(page(replace(TALLY, largest=(), pictures=1200, not_compared=1200)))
    assert "No near-duplicates were found" not in none
    assert "Near-duplicates were not looked for among 1,200 images: an older version downloaded them" in none
    some = plain(page(replace(TALLY, largest=(), pictures=1200, not_compared=1)))
    assert "No near-duplicates were found" in some
    assert "Near-duplicates were not looked for among 1 image: an older version downloaded it" in some


def test_agreement_is_told_with_what_it_rests_on() -> None:
    html = page(LABELLED)
    shown = plain(html)
    assert "305 pictures have hand labels. 5 of them were chosen by somebody, not drawn: they count here" in shown
    assert "Cohen's kappa 0.81 (0.72 – 0.90) 2 60" in shown
    assert "Krippendorff's alpha 0.79 (−0.10 – 0.90) 3 61" in shown
    assert "Precision (95 % interval) Of pictures By hand beside" in shown
    assert "Friendly 81.0 % (72.0 – 90.0) 287 3 – 0 0" in shown
    assert "Neither – 0 0 81.0 % (72.0 – 90.0) 78 2" in shown
    assert "recall and precision rest on 298 of them, and 5 chosen by hand stand beside" in shown
    assert "weighted by how many pictures each drawn one stands for" in shown
    assert AGREEMENT.model is not None
    model = replace(AGREEMENT.model, weighted=False, rests_on=5, temperature=None)
    by_hand = replace(AGREEMENT, model=model, kappa=None, alpha=None, ac1=None)
    by_hand = replace(by_hand, reasons={"coders": "no picture was labelled by two people"})
    shown = plain(page(replace(LABELLED, agreement=by_hand)))
    assert "Both are of hand-picked pictures and hold for no others." in shown
    assert "Agreement between people was not computed: no picture was labelled by two people." in shown
    assert "By hand beside" not in shown
    assert "Between people" not in shown
    assert "Fitted temperature" not in shown


def test_each_index_of_agreement_is_shown_without_the_others_and_why_these_are_missing() -> None:
    alone = replace(AGREEMENT, kappa=None, alpha=None, reasons={"kappa": "all said one class", "alpha": "so they did"})
    shown = plain(page(replace(LABELLED, agreement=alone)))
    assert "Between people Value (95 % interval) People Pictures Gwet's AC1 0.85 (0.72 – 0.90) 3 62" in shown
    assert "Cohen's kappa was not computed: all said one class." in shown
    assert "Krippendorff's alpha was not computed: so they did." in shown


def test_what_people_said_is_safe_on_the_page() -> None:
    hostile = replace(
        LABELLED,
        review=replace(REVIEWED, notes=(HOSTILE,), refused={HOSTILE: HOSTILE}),
        agreement=replace(AGREEMENT, reasons={"model": HOSTILE}),
        largest=(replace(TALLY.largest[0], label=HOSTILE),),
        numbers=tuple(replace(each, sentence=HOSTILE, method=HOSTILE) for each in RAW + CORRECTED),
    )
    assert {name for name, _ in elements_of(page(hostile))} <= SAFE_ELEMENTS
    assert page(hostile).count("<script") == 1


def test_the_terminal_shows_corrected_shares_and_which_class_has_more(capsys: pytest.CaptureFixture[str]) -> None:
    show(LABELLED, "runs/mynypd")
    shown = capsys.readouterr().out.replace("\xa0", " ")
    assert re.search(r"│ friendly +│ +20\.0 % \(10\.0 – 90\.0\) │ +12\.3 % \(10\.1 – 15\.5\) │", shown)
    assert re.search(r"│ unsure +│ +20\.0 % \(10\.0 – 90\.0\) │ +– │", shown)
    assert "\nlabels     300 of 320 pictures drawn, by 2 people\n" in shown
    assert (
        "\nmore       conflict_and_force outnumbers friendly with a probability above 99 %: "
        "5.1 to 1 (95 % interval 4.2 to 6.3)\n" in shown
    )
    assert "\n           something to be careful of: type hashtag-photos review runs/mynypd --settle\n" in shown
    assert "certainty" not in shown


def test_the_terminal_says_how_to_know_more_where_nothing_is_labelled(capsys: pytest.CaptureFixture[str]) -> None:
    show(TALLY, "runs/mynypd")
    shown = capsys.readouterr().out
    assert (
        "\ncertainty  the model's own errors are not in these intervals: label a sample with hashtag-photos review "
        "runs/mynypd\n" in shown
    )
    assert re.search(r"│ friendly \* +│ +240 │.*│ +230 │ +240 │", shown)
    assert "┃ raw share ┃" in shown
    assert re.search(r"│ x +│ friendly +│ +140 │ +23\.3 % │", shown.replace("\xa0", " "))
    assert "corrected" not in shown
    refused = replace(
        REVIEWED, labelled=3, refused={"pictures": "too few: hashtag-photos review RUN --sample"}, notes=()
    )
    show(replace(TALLY, review=refused), "runs/x")
    shown = capsys.readouterr().out
    assert "\ncertainty  no corrected shares: too few: hashtag-photos review runs/x --sample\n" in shown


@pytest.mark.parametrize("tally", [TALLY, LABELLED])
def test_the_tables_fit_eighty_columns(
    tally: Tally, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "mastodon:a-server-with-a-very-long-name-of-its-own.example"
    show(replace(tally, sources=(*tally.sources, *(replace(each, value=long) for each in tally.sources))))
    rows = [line for line in capsys.readouterr().out.splitlines() if line[:1] in "│┃├└"]
    assert rows
    assert all(len(row) <= 80 for row in rows)
    assert not any("…" in row for row in rows)


# The files


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make(tmp_path_factory.mktemp("made") / "run", 40)


def files_of(page: str) -> dict[str, tuple[int, bytes]]:
    folder = Path(page).parent
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_figures_and_methods_stand_beside_the_page_and_again_nothing_is_written(made: Run) -> None:
    tally = summarize(made)
    page = write_report(made, tally)
    files = files_of(page)
    named = {f"figures/{each.name}.{ending}" for each in figures(tally) for ending in ("svg", "png")}
    assert {name for name in files if name.startswith("figures/")} == named
    assert len(named) >= 12
    listed = {name for name, _ in re.findall(r"<dt><code>([^<]+?)(/?)</code></dt>", Path(page).read_text())}
    assert listed == {name.partition("/")[0] for name in files} - {"report.html"}
    assert write_report(made, summarize(made)) == page
    assert files_of(page) == files


def test_a_figure_that_there_is_no_more_is_removed_and_nothing_else(made: Run) -> None:
    tally = summarize(made)
    figures_folder = Path(write_report(made, tally)).parent / "figures"
    (figures_folder / "mine.svg").write_text("a figure of somebody else's")
    (figures_folder / "confusion.svg").write_text("of labels that were taken back since")
    assert (figures_folder / "robustness.png").exists()
    write_report(made, replace(tally, robustness=None))
    left = {path.name for path in figures_folder.iterdir()}
    assert "mine.svg" in left
    assert not left & {"confusion.svg", "robustness.svg", "robustness.png"}
    (figures_folder / "mine.svg").unlink()


def test_the_command_makes_a_page_to_hand_on_beside_the_whole_one(made: Run) -> None:
    folder = Path(made.location) / "report"
    assert command("report", made.location).returncode == 0
    before = files_of(str(folder / "report.html"))
    whole = (folder / "report.html").read_text()
    assert "data:image/jpeg" in whole
    assert "someone" in whole
    done = command("report", made.location, "--no-pictures", "--no-authors")
    assert done.returncode == 0, done.stderr
    (told,) = re.findall("^report .*$", done.stdout, re.MULTILINE)
    assert "report-to-share.html  (without pictures and authors; hand on this file alone: the tables beside" in told
    shared = (folder / "report-to-share.html").read_text()
    assert "data:image/jpeg" not in shared
    assert "someone" not in shared
    assert {
        name: file for name, file in files_of(str(folder / "report.html")).items() if name != "report-to-share.html"
    } == before
    done = command("report", made.location)
    assert "report.html  (beside it methods.md" in done.stdout
    assert (folder / "report-to-share.html").read_text() == shared
    assert "OUTDATED" not in done.stdout
    (known,) = re.findall('<meta name="tally" content="([0-9a-f]{16})">', shared)
    assert hashlib.sha256((folder / "tally.json").read_bytes()).hexdigest().startswith(known)
    (folder / "report-to-share.html").write_text(shared.replace(known, "0" * 16))
    done = command("report", made.location)
    told = done.stdout.partition("OUTDATED")[2]
    assert "report-to-share.html was made of another tally or by an older version" in told
    assert f"report {made.location} --no-pictures --no-authors\n" in told
    assert known not in (folder / "report-to-share.html").read_text(), "it stays as it is"
    (folder / "report-to-share.html").unlink()
