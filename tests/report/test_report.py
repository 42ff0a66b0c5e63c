import base64
import datetime as dt
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from hashtag_photos.agreement import Bin
from hashtag_photos.estimate import Estimate
from hashtag_photos.labels import find_labels
from hashtag_photos.records import Incomplete
from hashtag_photos.report import Picture, render
from hashtag_photos.stages.caveats import ClassWithoutText, PrecisionCheck, VariantTally, WithoutText
from hashtag_photos.stages.coverage import Coverage, CoverageOf
from hashtag_photos.stages.numbers import Number
from hashtag_photos.stages.reviewed import Agreed, Agreement, ClassAgreement, ModelAgreement, Review
from hashtag_photos.stages.tally import ClassTally, DayTally, Engagement, GroupTally, SourceTally, Tally
from hashtag_photos.terminal import show

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}"
LABELS = find_labels("friendly-or-force")


def class_tally(label: str, title: str, images: int, share: float) -> ClassTally:
    return ClassTally(
        label=label,
        title=title,
        pictures=images - 10,
        images=images,
        share=share,
        low=share * 0.8,
        high=share * 1.1,
        posts=images,
        reposts=images // 2,
        photos=images,
        sensitive_to_prompts=label == "friendly",
    )


def source_tally(source: str, label: str, images: int) -> SourceTally:
    counts = {"images": images, "images_total": 600, "posts": images, "posts_total": 550}
    share = {"share": images / 600, "low": 0.1, "high": 0.9}
    return SourceTally(source=source, label=label, photos=images, photos_total=650, **counts, **share)


def covered(value: str, attachments: int, had: int) -> CoverageOf:
    missing = attachments - had
    return CoverageOf(value=value, attachments=attachments, had=had, missing={"gone": missing} if missing else {})


def worded(kind: str, variant: str, **images: int) -> tuple[VariantTally, ...]:
    counts = {"friendly": 240, "conflict_and_force": 720, "neither": 204, "unsure": 36} | images
    return tuple(
        VariantTally(
            kind=kind,
            variant=variant,
            of_class="friendly" if kind == "without_prompt" else "",
            label=label,
            images=count,
            images_total=1200,
            share=count / 1200,
            change=(count - counts_all) / 1200,
            flagged=abs(count - counts_all) > 80,
        )
        for (label, count), counts_all in zip(counts.items(), (240, 720, 204, 36), strict=True)
    )


def without_words(label: str, images: int) -> ClassWithoutText:
    return ClassWithoutText(label=label, images=images, images_total=1000, share=images / 1000, low=0.1, high=0.9)


def number(kind: str, measure: str, label: str, value: float | None, **facts: Any) -> Number:
    whole = {"low": 0.1, "high": 0.9, "unit": "pictures", "versus": None, "probability": None, "n": 1160, "of": 1160}
    told = f"{kind} {measure} of {label} in {facts.get('unit', 'pictures')}"
    return Number(
        **whole
        | {"kind": kind, "measure": measure, "label": label, "value": value, "rests_on": "labels", "effective_n": None}
        | {"method": "ppi", "warnings": (), "sentence": f"Sentence: {told}."}
        | facts
    )


RAW = (
    *(number("raw", "share", label, 0.2, n=1160) for label in ("friendly", "conflict_and_force", "neither", "unsure")),
    *(
        number("raw", "share", label, 0.25, unit="engagement", of=54321)
        for label in ("friendly", "conflict_and_force", "neither", "unsure")
    ),
    *(number("bound", "share", label, None, unit="photos", rests_on="images") for label in ("friendly", "neither")),
)
CORRECTED = (
    number("corrected", "share", "friendly", 0.123, low=0.101, high=0.155, n=300),
    number("corrected", "share", "conflict_and_force", 0.627, low=0.58, high=0.67, n=300),
    number("corrected", "share", "neither", 0.25, low=0.2, high=0.3, n=300),
    number("corrected", "difference", "conflict_and_force", 0.504, versus="friendly", probability=0.9999, n=300),
    number("corrected", "ratio", "conflict_and_force", 5.1, versus="friendly", low=4.2, high=6.3, n=300),
    number("bound", "share", "friendly", None, unit="photos", n=300),
)
UNREVIEWED = Review(
    question_key="q", drawn=None, labelled=0, skipped=0, gaps=0, disputed=0, doubles=0, merged=0, gone=0,
    uncovered=0, by_hand=0, coders=0, refused={}, notes=(),
)  # fmt: skip
REVIEWED = replace(
    UNREVIEWED, drawn=320, labelled=300, skipped=4, disputed=2, doubles=60, by_hand=5, coders=2,
    notes=("something to be careful of: type hashtag-photos review RUN --settle",),
    refused={"engagement": "no post states any engagement"},
)  # fmt: skip
ONE = Estimate(value=0.81, low=0.72, high=0.9)


def class_agreement(label: str, **facts: Any) -> ClassAgreement:
    nothing = {"recall": None, "recall_n": 0, "precision": None, "precision_n": 0}
    return ClassAgreement(**nothing | {"label": label, "labelled_by_hand": 0, "predicted_by_hand": 0} | facts)


AGREEMENT = Agreement(
    pictures=305,
    by_hand=5,
    kappa=Agreed(value=0.81, low=0.72, high=0.9, n=60, coders=2),
    alpha=Agreed(value=0.79, low=-0.1, high=0.9, n=61, coders=3),
    ac1=Agreed(value=0.85, low=0.72, high=0.9, n=62, coders=3),
    model=ModelAgreement(
        n=303,
        by_hand=5,
        rests_on=298,
        weighted=True,
        counts={
            "friendly": {"friendly": 71, "conflict_and_force": 72, "neither": 73, "unsure": 74},
            "conflict_and_force": {"friendly": 3, "conflict_and_force": 4, "neither": 0, "unsure": 0},
            "neither": {"friendly": 1, "conflict_and_force": 0, "neither": 5, "unsure": 0},
        },
        classes=(
            class_agreement("friendly", recall=ONE, recall_n=287, labelled_by_hand=3),
            class_agreement("conflict_and_force", recall=ONE, recall_n=7, precision=ONE, precision_n=76),
            class_agreement("neither", precision=ONE, precision_n=78, predicted_by_hand=2),
        ),
        reliability=(Bin(low=0.9, high=1.0, probability=0.97, right=ONE, n=200),),
        calibration_error=0.161,
        temperature=2.5,
    ),
    reasons={},
)

TALLY = Tally(
    run="mynypd",
    model="tiny",
    model_key="tiny-00000000",
    labels=LABELS.name,
    labels_key=LABELS.key,
    margin=0.1,
    pictures=1160,
    images=1200,
    posts=1100,
    photos=1300,
    numbers=RAW,
    engagement=Engagement(posts=1100, weighing=690, reposts=400, unstated=10, total=54321),
    largest=(
        GroupTally(picture="a" * 64, images=17, posts=31, photos=33, first_seen="2014-04-22", label="friendly"),
        GroupTally(picture="b" * 64, images=2, posts=1, photos=2, first_seen=None, label="unsure"),
    ),
    not_compared=0,
    review=UNREVIEWED,
    agreement=None,
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
    precision="bf16",
    devices=("cuda",),
    check=PrecisionCheck(
        precision="bf16", images=64, labels_differing=0, largest_change=0.004, within=0.016, images_within=17
    ),
    without_text=WithoutText(
        text_kinds=("screenshot_or_text", "poster", "meme"),
        images=1000,
        text=180,
        unsure=12,
        unknown=20,
        classes=(
            without_words("friendly", 230),
            without_words("conflict_and_force", 710),
            without_words("neither", 30),
            without_words("unsure", 30),
        ),
    ),
    robustness=(
        *worded("all", ""),
        *worded("template", "{}.", friendly=225, neither=219),
        *worded("template", "a photo of {}.", friendly=250, neither=194),
        *worded(
            "without_prompt",
            "a police officer hugging a person",
            friendly=150,
            conflict_and_force=789,
            neither=222,
            unsure=39,
        ),
        *worded("without_prompt", "a poster with words", friendly=241, conflict_and_force=719),
    ),
)


LABELLED = replace(TALLY, numbers=RAW + CORRECTED, review=REVIEWED, agreement=AGREEMENT)


def page(tally: Tally = TALLY, groups: dict[str, Picture] | None = None, **pictures: list[Picture]) -> str:
    return render(tally, LABELS, {name: pictures.get(name, []) for name in LABELS.class_names}, groups)


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
        "Of 1,200 images, 60 % are classified as “Conflict and force”",
        "Friendly: 240 (20 %, 95 % interval 16 % to 22 %)",
        "Conflict and force 720 60.0 % 48.0 % – 66.0 % 710 720",
        "1,500 posts, 300 of them without attachments and 400 reposts of others.",
        "Of 1,400 attachments, 1,300 could be had ( 92.9 % )",
        "1,201 distinct images , 1 of which is not classified",
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
        "7 of 1,500 posts state no time, or an impossible or uncertain one",
        "Which pictures are made of words is a guess of the same model: it takes 180 of the 1,200 images for pictures "
        "of words (“Screenshot or text”, “Poster”, “Meme”).",
        "These are raw counts of the classifier. “Friendly” moves by more than its interval with the wording of the "
        "prompts: see below.",
        "Friendly hangs on the wording 240 20.0 % 16.0 % – 22.0 % 230 240",
        f"Templates {'; '.join(LABELS.templates)}",
        "Class Of all 1,200 Of 1,000 without words 95 % interval Friendly 240 (20.0 % ) 230 (23.0 % ) 10.0 % – 90.0 %",
        "12 of the 1,000 are too close to call as to their kind and count as without words.",
        "20 more images were not asked for their kind and are left out.",
        "with each template alone, and with each prompt left out, over the same 1,200 images .",
        "Friendly: moves by more than its interval 20.0 %",
        "Neither 17.0 %",
        "Lowest with one template, “{}.” 18.8 % −1.2",
        "Highest with one template, “a photo of {}.” 20.8 % +0.8",
        "Lowest without a prompt, “a police officer hugging a person” (outside the interval) 12.5 % −7.5",
        "Highest without a prompt, “a poster with words” 20.1 % +0.1",
        "Vectors were computed in bf16 on cuda. Among 64 images computed in fp32 as well, no label differs, and "
        "no probability by more than 0.4 points. That is what was seen among those images and not a bound; to be safe, "
        "take labels with a margin within 1.6 of the 10 points at which a picture becomes unsure for open: 17 of the "
        "1,200 images.",
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
        precision=HOSTILE,
        devices=(HOSTILE, HOSTILE),
        without_text=replace(TALLY.without_text, text_kinds=(HOSTILE,)),
        robustness=tuple(replace(each, variant=HOSTILE) for each in TALLY.robustness),
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


def test_a_run_without_any_picture_has_a_page_too(capsys: pytest.CaptureFixture[str]) -> None:
    empty = replace(
        TALLY,
        pictures=0,
        images=0,
        posts=0,
        photos=0,
        numbers=(),
        largest=(),
        engagement=Engagement(posts=0, weighing=0, reposts=0, unstated=0, total=0),
        days=(),
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
    assert "No picture could be classified" in text(page(empty))
    assert "What could not be had" not in text(page(empty))
    for robustness in (empty.robustness, (), None):
        classes = tuple(replace(each, sensitive_to_prompts=None) for each in empty.classes)
        nothing = replace(empty, classes=classes, robustness=robustness, check=None)
        shown = text(page(nothing))
        assert "No picture could be classified" in shown
        show(nothing)
        shown += capsys.readouterr().out
        for words in ("pictures of words", "worded", "wording", "no words", "Run that stage again", "No class moves"):
            assert words not in shown


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


def test_classes_that_move_are_named_and_marked_in_words() -> None:
    assert text(page()).count("hangs on the wording") == 1
    assert "“Friendly” moves by more than its 95 % interval : that share hangs on the choice of words." in text(page())
    both = [replace(each, sensitive_to_prompts=each.label != "unsure") for each in TALLY.classes]
    shown = text(page(replace(TALLY, classes=tuple(both))))
    assert (
        "“Friendly”, “Conflict and force” and “Neither” move by more than their 95 % interval : those shares hang"
        in shown
    )
    assert shown.count(": moves by more than its interval") == 3
    assert shown.count("hangs on the wording") == 3
    assert (
        "“Friendly”, “Conflict and force” and “Neither” move by more than their intervals with the wording of the "
        "prompts: see below." in shown
    )
    none = [replace(each, sensitive_to_prompts=False) for each in TALLY.classes]
    shown = text(page(replace(TALLY, classes=tuple(none))))
    assert "No class moves by more than its 95 % interval." in shown
    assert ": moves by more" not in shown
    assert "see below" not in shown
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
    ("kind", "said", "marks", "unsaid"),
    [
        ("template", "with each template alone", "the short lines are single templates", "prompt left out"),
        ("without_prompt", "with each prompt left out", "the short lines are prompts left out", "template alone"),
    ],
)
def test_only_what_was_compared_is_said_to_be(kind: str, said: str, marks: str, unsaid: str) -> None:
    shown = text(page(of_kinds("all", kind)))
    assert f"The shares were counted again {said}, over the same 1,200 images." in shown
    assert marks in shown
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
    assert "Lowest with one template, “{}.” 18.8 % −1.2" in shown


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
        days=tuple(replace(each, posts=1) for each in TALLY.days),
    )
    show(tally)
    shown = text(page(tally)) + capsys.readouterr().out
    assert not re.search(r"\b1 (?:\w+ )?(?:posts|reposts|pictures|attachments|images|lines|labels)\b", shown)
    assert not re.search(r"\b1 (?:state|stand|are|more are)\b", shown)
    assert "Of 1 image, 60 % is classified" in shown.replace("\xa0", " ")
    assert "for a picture of words" in shown


def test_a_margin_of_nothing_has_no_unsure_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    tally = replace(TALLY, margin=0.0)
    assert "take labels with a margin within 1.6 points of a tie for open" in text(page(tally))
    show(tally)
    assert "margin within 1.6 points of a tie\n" in capsys.readouterr().out


def test_each_wording_has_its_mark_within_its_strip() -> None:
    html = page()
    strips = [attributes for name, attributes in elements_of(html) if attributes.get("viewbox") == "0 0 100 30"]
    assert len(strips) == 4
    assert strips[0]["aria-label"].replace("\xa0", " ") == (
        "Friendly: 20.0 % as published, interval from 16.0 % to 22.0 %"
    )
    marks = [
        each for name, each in elements_of(html) if name == "line" and each.get("class") in ("whisker", "whisker out")
    ]
    marks = [each for each in marks if each["x1"] == each["x2"]]
    assert len(marks) == 4 * 4
    assert all(0 <= float(each["x1"]) <= 100 for each in marks)
    assert sum(each["class"] == "whisker out" for each in marks) == sum(each.flagged for each in TALLY.robustness)
    assert "12.5 % without “a police officer hugging a person”" in text(html).replace("\xa0", " ")


def test_a_wording_that_changes_nothing_is_neither_lowest_nor_highest() -> None:
    shown = text(page())
    assert "Conflict and force 60.0 %" in shown
    assert shown.count("Lowest with one template, “{}.”") == 1  # that of friendly
    assert shown.count("No wording changes it") == 0
    same = tuple(replace(each, change=0.0) for each in TALLY.robustness)
    shown = text(page(replace(TALLY, robustness=same)))
    assert shown.count("No wording changes it") == 4
    assert "Lowest" not in shown


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


def plain(html: str) -> str:
    return text(html).replace("\xa0", " ").replace(" )", ")")


def test_corrected_shares_stand_beside_the_raw_ones_with_their_kind() -> None:
    shown = plain(page(LABELLED))
    assert "2 people labelled 300 of 320 pictures that were drawn at random." in shown
    assert "Friendly 20.0 % (10.0 – 90.0) 12.3 % (10.1 – 15.5)" in shown
    assert "Conflict and force 20.0 % (10.0 – 90.0) 62.7 % (58.0 – 67.0)" in shown
    assert "The corrected ones rest on 300 labelled pictures" in shown
    assert "Of 1,160 distinct pictures, 63 % are “Conflict and force”." in shown
    assert "Estimated from 300 hand labels of a random sample: Friendly 12 % (95 % interval 10 % to 16 %)" in shown
    assert "The classifier alone says, of 1,200 images: Friendly 20 %" in shown
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
    assert "All were labelled by hand: Friendly 12 %, " in shown
    assert "These are all there are, so their shares are counted and have no interval." in shown
    assert "Estimated from" not in shown
    show(counted)
    told = capsys.readouterr().out.replace("\xa0", " ")
    assert re.search(r"│ friendly +│ +20\.0 % \(10\.0 – 90\.0\) │ +12\.3 % │", told)
    assert "all labelled by hand" in told
    assert "\nmore       conflict_and_force outnumbers friendly: 5.1 to 1\n" in told


def test_sentences_to_quote_name_their_kind_and_are_the_surest_there_are() -> None:
    quotes = plain(page()).partition("Numbers to quote")[2].partition("Raw: as the classifier says")[0]
    assert "raw share: Sentence: raw share of friendly in pictures." in quotes
    assert "bound share: Sentence: bound share of friendly in photos." in quotes
    quotes = plain(page(LABELLED)).partition("Numbers to quote")[2].partition("Raw: as the classifier says")[0]
    assert "corrected share: Sentence: corrected share of friendly in pictures." in quotes
    assert "corrected difference: Sentence" in quotes
    assert "corrected ratio: Sentence" in quotes
    assert quotes.count("bound share:") == 1
    assert "raw share" not in quotes


def test_each_unit_has_its_denominator_and_posts_without_engagement_are_counted() -> None:
    shown = plain(page(LABELLED))
    assert "1,160 distinct pictures 20.0 % 10.0 % – 90.0 %" in shown
    assert "54,321 likes, reposts, replies 25.0 % 10.0 % – 90.0 %" in shown
    assert (
        "stated by 690 of 1,100 posts with pictures; 400 reposts of others weigh nothing there, nor do 10 posts that "
        "state none." in shown
    )
    none = replace(TALLY, engagement=Engagement(posts=1, weighing=0, reposts=0, unstated=1, total=0))
    assert "Of 1 post with pictures, none states any likes, reposts or replies of its own, so nothing" in plain(
        page(none)
    )


def test_the_largest_groups_are_blurred_with_what_they_are() -> None:
    shown = page(groups={"a" * 64: Picture(data="data:image/jpeg;base64,AAAA", width=4, height=3, alt="Picture aaa")})
    assert "17 images in 31 posts, first on 2014-04-22; Friendly" in plain(shown)
    assert "2 images in 1 post; Unsure" in plain(shown)
    assert "1,200 images are 1,160 distinct pictures" in plain(shown)
    assert shown.count('<label><input type="checkbox" aria-label="Show the picture with 17 near-duplicates">') == 1
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
    assert "Cohen's kappa 0.81 (0.72 – 0.90) 2 60" in shown.replace("&#39;", "'")
    assert "Krippendorff's alpha 0.79 (−0.10 – 0.90) 3 61" in shown.replace("&#39;", "'")
    assert "Friendly 71 72 73 74" in shown
    assert "Precision 95 % interval Of pictures By hand beside" in shown
    assert "Friendly 81.0 % 72.0 % – 90.0 % 287 3 – – 0 0" in shown
    assert "neither – – 0 0 81.0 % 72.0 % – 90.0 % 78 2" in shown.replace("Neither", "neither")
    assert "recall and precision rest on 298 of them, and 5 chosen by hand stand beside" in shown
    assert "weighted by how many pictures each drawn one stands for" in shown
    assert "97.0 % sure, right 81.0 % (72.0 % – 90.0 %), 200 pictures" in shown
    assert "16.1 points off, in 298 pictures. Fitted temperature: 2.50, so it is too sure of itself." in shown
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
    shown = plain(page(replace(LABELLED, agreement=alone))).replace("&#39;", "'")
    assert "Between people Value (95 % interval) People Pictures Gwet's AC1 0.85 (0.72 – 0.90) 3 62" in shown
    assert "Cohen's kappa was not computed: all said one class." in shown
    assert "Krippendorff's alpha was not computed: so they did." in shown


def test_what_people_said_is_safe_on_the_page() -> None:
    hostile = replace(
        LABELLED,
        review=replace(REVIEWED, notes=(HOSTILE,), refused={HOSTILE: HOSTILE}),
        agreement=replace(AGREEMENT, reasons={"model": HOSTILE}),
        largest=(replace(TALLY.largest[0], first_seen=HOSTILE, label=HOSTILE),),
        numbers=tuple(replace(each, sentence=HOSTILE, method=HOSTILE) for each in RAW + CORRECTED),
    )
    assert {name for name, _ in elements_of(page(hostile))} <= SAFE_ELEMENTS
    assert "<script" not in page(hostile)


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
    assert "┃ raw share, ┃" in shown
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
    show(replace(tally, sources=()))
    rows = [line for line in capsys.readouterr().out.splitlines() if line[:1] in "│┃├└"]
    assert rows
    assert all(len(row) <= 80 for row in rows)
    assert not any("…" in row for row in rows)
