"""The answer in a sentence, the methods to paste, and what they cite: true and in good order for every tally."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st
from made_tally import AGREEMENT, LABELLED, LABELS, NO_RUN, RAW, REVIEWED, TALLY, UNREVIEWED, covered, number
from markdown_it import MarkdownIt

from hashtag_photos.estimate import wilson
from hashtag_photos.labels import LabelClass, LabelSet, asked
from hashtag_photos.records import Attachment, Incomplete, Photo, PhotoStatus, Post
from hashtag_photos.report import references
from hashtag_photos.report.methods import escape, methods
from hashtag_photos.report.phrases import in_words, listed
from hashtag_photos.report.prose import became, headline
from hashtag_photos.run import Run
from hashtag_photos.stages.numbers import Whole, percents
from hashtag_photos.stages.tally import Tally
from hashtag_photos.tables import photos_table, posts_table

HOSTILE = (
    "<script>alert(1)</script> [x](javascript:alert(1)) ![y](http://evil.example/z.png) "
    "`c` *b* _i_ # h\n\n# H\u202e | $a$"
)
NAMES = ("friendly", "conflict_and_force", "neither", "unsure")
SPACE = "\N{NO-BREAK SPACE}"


def raw_tally(friendly: int, force: int, neither: int, unsure: int) -> Tally:
    """A tally of so many distinct pictures, each worth one, as the model labels them."""
    counts = dict(zip(NAMES, (friendly, force, neither, unsure), strict=True))
    n = sum(counts.values())
    numbers = [
        number("raw", "share", label, count / n, low=low, high=high, n=n, of=n, effective_n=float(n), method="Wilson")
        for label, count in counts.items()
        if n
        for low, high in [wilson(count, n)]
    ]
    classes = tuple(
        replace(each, pictures=counts[each.label], images=counts[each.label], sensitive_to_prompts=False)
        for each in TALLY.classes
    )
    coverage = replace(
        TALLY.coverage, posts=n, posts_without_attachments=0, attachments=n, had=n, missing={}, images=n,
        collected_completely=True, incomplete=(), images_not_classified=0,
    )  # fmt: skip
    return replace(
        TALLY, numbers=tuple(numbers), classes=classes, coverage=coverage,
        pictures=n, images=n, photos=n, posts=n, without_text=None, robustness=None, largest=(),
    )  # fmt: skip


def corrected_tally(value: float, low: float, high: float, **facts: Any) -> Tally:
    """A tally whose corrected ratio of force to friendly is this."""
    friendly = 0.9 / (1 + value)
    shares = {"friendly": friendly, "conflict_and_force": 0.9 - friendly, "neither": 0.1}
    ends = {name: {"low": share, "high": share} for name, share in shares.items()}
    told = [number("corrected", "share", name, share, **ends[name], **facts) for name, share in shares.items()]
    pair = {"versus": "friendly", "low": low, "high": high}
    ratio = number("corrected", "ratio", "conflict_and_force", value, **pair, **facts)
    return replace(LABELLED, numbers=(*RAW, *told, ratio))


def spaced(text: str) -> str:
    return text.replace(SPACE, " ")


#: what no text for people may have in it
WRONG = re.compile(
    r"\bNone\b(?! of| are| is| were| leaves| could)|\bnan\b|\binf\b|\b0 of 0\b|\bof 0 "
    r"|\{\{|\}\}|  | [.,;:]|,,|\.\.|\(\)|“”|[:;,]\.|\( "
    r"|(?<![\d.,−])\b1 (?:distinct |different |image |hand )?"
    r"(?:posts|pictures|images|labels|attachments|photos|lines|files|bins|people|points)\b"
    r"|\bone (?:pictures|people|posts)\b|[a-z)”][.!?][A-Z“]"
)


def proper(text: str) -> None:
    """Nothing in it that no text for people may have."""
    assert not WRONG.search(spaced(text).replace("“{}.”", "“x”")), text


# The answer


def test_the_answer_of_the_issue() -> None:
    found = headline(NO_RUN, LABELLED, LABELS)
    assert spaced(found.sentence) == (
        "Of 1,160 distinct pictures, 63 % (58 to 67) show “Conflict and force” and 12 % (10 to 16) “Friendly”: for "
        "each picture of “Friendly”, five of “Conflict and force”."
    )
    assert spaced(found.kind) == (
        "Corrected: estimated from 300 hand labels of a random sample by two people, with 95 % intervals in brackets "
        "that cover the classifier’s errors. The classifier alone says 20 % (10 to 90) “Conflict and force” and 20 % "
        "(10 to 90) “Friendly”."
    )
    assert spaced(found.missing) == (
        "The posts are not all there (#dike on x.example: it was asked for 1,500 posts, and there are more). Of 1,400 "
        "attachments, 100 (7.1 %) could not be had or classified: 60 were no longer there and 40 were damaged or cut "
        "short. Whatever they show, of all 1,160 attachments between 10 and 90 % are “Friendly”, with 95 % confidence. "
        "Of 1,500 posts, 300 have no picture attached."
    )


def test_a_raw_answer_says_that_it_is_and_what_is_not_known() -> None:
    found = headline(NO_RUN, raw_tally(30, 50, 15, 5), LABELS)
    assert spaced(found.sentence).startswith(
        "Of 100 distinct pictures, 50 % (40 to 60) show “Conflict and force” and 30 %"
    )
    assert found.kind.startswith("Raw: as the classifier labels pictures")
    assert "how often it is wrong is not known" in found.kind
    assert f"A further 5{SPACE}% (2 to 11) are too close to call." in found.kind
    assert found.missing == "All 100 attachments could be had and classified."


def test_an_answer_says_why_labels_give_no_corrected_share_yet() -> None:
    refused = replace(
        REVIEWED, labelled=14, refused={"pictures": "14 labels are too few for an interval: label 6 more"}
    )
    found = headline(NO_RUN, replace(TALLY, review=refused), LABELS)
    assert "There is no corrected share yet (14 labels are too few for an interval: label 6 more)." in found.kind
    assert "not known" not in found.kind


def test_the_wording_of_prompts_is_warned_of_in_a_raw_answer() -> None:
    kind = headline(NO_RUN, TALLY, LABELS).kind
    assert "The share of “Friendly” moves by more than its interval with the wording of the prompts." in kind


def test_the_class_with_most_is_named_also_if_it_is_neither_of_the_two() -> None:
    assert "70 % (60 to 78) show “Neither”, 20 % " in spaced(
        headline(NO_RUN, raw_tally(10, 20, 70, 0), LABELS).sentence
    )
    unsure = spaced(headline(NO_RUN, raw_tally(10, 20, 0, 70), LABELS).sentence)
    assert "70 % (60 to 78) are too close to call, 20 % (13 to 29) show “Conflict and force” and 10 % " in unsure
    assert "Neither" not in headline(NO_RUN, raw_tally(10, 60, 30, 0), LABELS).sentence


def share_tally(corrected: dict[str, float] | None = None, **shares: float) -> tuple[Tally, LabelSet]:
    """A tally of 1,000 pictures of these classes, and how they were asked for."""
    labels = asked([f"{name}: a {name}" for name in shares if name != "unsure"])
    told = [
        number(kind, "share", name, share, low=max(share - 0.01, 0), high=share + 0.01, of=1000, effective_n=1000.0)
        for kind, each in (("raw", shares), ("corrected", corrected or {}))
        for name, share in each.items()
    ]
    bounds = [
        number("bound", "share", name, None, unit="photos", low=share, high=share + 0.1, of=1400, rests_on="images")
        for name, share in shares.items()
    ]
    classes = tuple(
        replace(TALLY.classes[0], label=name, title=name.capitalize(), sensitive_to_prompts=False) for name in shares
    )
    return replace(TALLY, numbers=(*told, *bounds), classes=classes, pictures=1000, robustness=None), labels


def classes_told(sentence: str) -> list[tuple[float, str]]:
    told = re.findall(r"([\d.]+) % \([^)]*\)(?: show)? (?:“(\w+)”|are (too close))", spaced(sentence))
    return [(float(share), title or close) for share, title, close in told]


def test_of_many_classes_the_two_with_most_are_told_and_held_against_each_other() -> None:
    tally, labels = share_tally(
        selfie=0.11, hand=0.09, spray=0.13, baton=0.26, dog=0.1, cat=0.1, car=0.1, sign=0.07, unsure=0.04
    )
    found = headline(NO_RUN, tally, labels)
    assert classes_told(found.sentence) == [(26, "Baton"), (13, "Spray")]
    assert found.sentence.endswith(": for each picture of “Spray”, two of “Baton”.")
    assert "are “Baton” and between 13 and 23 % “Spray”" in spaced(found.missing)
    tally, labels = share_tally(a=0.1, b=0.11, c=0.2, d=0.19, unsure=0.4)
    assert classes_told(headline(NO_RUN, tally, labels).sentence) == [(40, "too close"), (20, "C"), (19, "D")]
    tally, labels = share_tally(a=0.1, b=0.11, c=0.3, d=0.2, unsure=0.29)
    found = headline(NO_RUN, tally, labels)
    assert classes_told(found.sentence) == [(30, "C"), (20, "D")]
    assert "A further 29.0 % (28.0 to 30.0) are too close to call." in spaced(found.kind)


def test_of_many_corrected_classes_the_ratio_is_that_of_the_two_that_are_told() -> None:
    tally, labels = share_tally({"a": 0.1, "b": 0.1, "c": 0.6, "d": 0.2}, a=0.1, b=0.1, c=0.6, d=0.2)
    ratio = number("corrected", "ratio", "a", 1.0, versus="b", low=0.9, high=1.1)
    apart = headline(NO_RUN, replace(tally, numbers=(*tally.numbers, ratio)), labels)
    assert apart.sentence.endswith("“D”.")
    ratio = number("corrected", "ratio", "c", 3.0, versus="d", low=2.5, high=3.5)
    held = headline(NO_RUN, replace(tally, numbers=(*tally.numbers, ratio)), labels)
    assert held.sentence.endswith("“D”: for each picture of “D”, three of “C”.")


def test_of_three_classes_each_that_has_more_than_the_first_two_is_told() -> None:
    tally, labels = share_tally(helmet=0.0, cap=0.0, other=0.18, unsure=0.82)
    sentence = headline(NO_RUN, tally, labels).sentence
    assert classes_told(sentence) == [(82, "too close"), (18, "Other"), (0, "Helmet"), (0, "Cap")]


def test_a_raw_bound_says_what_it_takes_the_other_attachments_for() -> None:
    tally, labels = share_tally(helmet=0.3, cap=0.6, unsure=0.1)
    assert "“Helmet”, with the others as the classifier labels them. " in headline(NO_RUN, tally, labels).missing


def test_the_answer_says_what_it_is_about(tmp_path: Path) -> None:
    def about(name: str, *sources: dict[str, Any], **facts: Any) -> str:
        tally = replace(TALLY, coverage=replace(TALLY.coverage, **{"posts_without_time": 0} | facts))
        return headline(a_run(tmp_path / name, *sources), tally, LABELS).about

    when = "posted between 22 and 25 April 2014"
    collected = "collected on 3 May 2014."
    assert about("a", X, MASTODON, EXPORT) == f"Posts of #myNYPD and the export “posts.ndjson”, {when}, {collected}"
    assert about("b", {"kind": "sample"}).startswith("Posts of the made-up hashtag #myHarborPD, posted")
    assert about("c", X, posts_without_time=7) == f"Posts of #myNYPD, {when}, as far as they say when, {collected}"
    assert about("d", X, posts=1, posts_without_time=1) == f"A post of #myNYPD, {collected}"
    folders = [{"kind": "folder", "path": f"/home/x/{each}"} for each in "abcde"]
    assert about("e", *folders).startswith("Posts of the folder “a”, the folder “b”, the folder “c” and two more sour")
    assert headline(NO_RUN, TALLY, LABELS).about == f"Posts of the run “{TALLY.run}”."


def test_the_answer_says_what_a_reader_must_know_first(tmp_path: Path) -> None:
    tiny = {"name": "tiny", "open_clip": "local-dir", "licence": "Apache-2.0"}
    sample = {"kind": "sample"}
    for place, (sources, made_up, means_nothing) in enumerate(
        (((X,), False, True), ((sample,), True, False), ((sample, X), True, True))
    ):
        run = a_run(tmp_path / str(place), *sources)
        assert ("made up" in headline(run, TALLY, LABELS).caution) == made_up
        with run.writing():
            run.record_used("models", TALLY.model_key, tiny)
        found = headline(run, TALLY, LABELS)
        assert ("made up" in found.caution) == made_up
        assert ("on real photographs its labels mean nothing" in found.caution) == means_nothing
        assert ("its labels mean nothing" in methods(run, TALLY, LABELS)) == means_nothing
    assert headline(a_run(tmp_path, X), TALLY, LABELS).caution == ""


def test_nothing_and_one_picture() -> None:
    nothing = headline(
        NO_RUN, replace(raw_tally(0, 0, 0, 0), coverage=replace(TALLY.coverage, had=0, missing={"gone": 1400})), LABELS
    )
    assert (nothing.sentence, nothing.kind) == ("No picture could be classified.", "")
    assert "None of 1,400 attachments could be had: 1,400 were no longer there." in nothing.missing
    assert headline(NO_RUN, raw_tally(0, 0, 0, 0), LABELS).missing == "There are no posts."
    one = headline(NO_RUN, raw_tally(0, 1, 0, 0), LABELS)
    assert one.sentence == "The one distinct picture shows “Conflict and force”."
    assert "interval" not in one.kind
    assert one.missing == "The one attachment could be had and classified."
    assert headline(NO_RUN, raw_tally(0, 0, 0, 1), LABELS).sentence == "The one distinct picture is too close to call."


@pytest.mark.parametrize(
    ("value", "low", "high", "told"),
    [
        (5.1, 4.2, 6.3, ": for each picture of “Friendly”, five of “Conflict and force”."),
        (1.52, 1.2, 1.9, ": for every two pictures of “Friendly”, three of “Conflict and force”."),
        (1.34, 1.2, 1.5, ": for every three pictures of “Friendly”, four of “Conflict and force”."),
        (2.02, 1.5, 2.6, ": for each picture of “Friendly”, two of “Conflict and force”."),
        (5.4, 5.3, 5.5, ": for every two pictures of “Friendly”, 11 of “Conflict and force”."),
        (5.5, 4, 7.5, ": for every two pictures of “Friendly”, 11 of “Conflict and force”."),
        (3.7, 3.69, 3.71, ": for every three pictures of “Friendly”, about 11 of “Conflict and force”."),
        (16.8, 12, 23, ": for each picture of “Friendly”, 17 of “Conflict and force”."),
        (1234.4, 1000, 1500, ": for each picture of “Friendly”, 1,234 of “Conflict and force”."),
        (1.04, 0.9, 1.2, ": about as many of the one as of the other."),
        (1.05, 1.02, 1.08, ": about as many of the one as of the other."),
        (1.9, 0.91, 3.6, "; whether there are more of “Conflict and force” or of “Friendly” is not settled."),
        (1.04, 0.6, 1.8, "; whether there are more of “Conflict and force” or of “Friendly” is not settled."),
        (9.7, 2.8, 17, "”."),
    ],
)  # fmt: skip
def test_how_many_times_is_told_as_far_as_it_is_known(value: float, low: float, high: float, told: str) -> None:
    sentence = headline(NO_RUN, corrected_tally(value, low, high), LABELS).sentence
    assert sentence.endswith(told)
    assert ("for " in sentence) == ("for " in told)


def test_what_was_counted_has_no_interval_and_an_exact_comparison() -> None:
    same = headline(NO_RUN, corrected_tally(1.0, 1.0, 1.0, method="census"), LABELS)
    assert spaced(same.sentence) == (
        "Of 1,160 distinct pictures, 45 % show “Friendly” and 45 % “Conflict and force”: as many of the one as of the "
        "other."
    )
    assert same.kind.startswith("Counted: every picture was labelled by hand, by two people, so there is no interval.")
    near = headline(NO_RUN, corrected_tally(1.07, 1.07, 1.07, method="census"), LABELS)
    assert near.sentence.endswith(": about as many of the one as of the other.")


def test_no_times_of_a_class_that_nothing_shows() -> None:
    assert headline(NO_RUN, raw_tally(0, 80, 20, 0), LABELS).sentence.endswith("“Friendly”.")
    infinite = replace(
        LABELLED,
        numbers=tuple(
            replace(each, value=None, high=None) if each.measure == "ratio" else each for each in LABELLED.numbers
        ),
    )
    assert headline(NO_RUN, infinite, LABELS).sentence.endswith("“Friendly”.")


counts = st.integers(0, 3000) | st.integers(0, 3)


@given(friendly=counts, force=counts, neither=counts, unsure=counts)
def test_every_raw_answer_is_true_and_in_good_order(friendly: int, force: int, neither: int, unsure: int) -> None:
    tally = raw_tally(friendly, force, neither, unsure)
    found = headline(NO_RUN, tally, LABELS)
    for text in (found.sentence, found.kind, found.missing):
        proper(text)
    assert found.sentence.endswith(".")
    titles = {each.title: each for each in tally.classes}
    told = re.findall(rf"(\S+){SPACE}% \((\S+) to (\S+)\)(?: show)? “(.+?)”", found.sentence)
    if tally.pictures > 1:
        assert {"Friendly", "Conflict and force"} <= {title for *_, title in told}
    for *shown, title in told:
        share = tally.number("raw", titles[title].label)
        assert share is not None
        assert shown == percents(share.value or 0.0, share.low, share.high or 0.0)
    if match := re.search(
        r"for (?:each|every) (\w+ )?pictures? of “(.+?)”, (?:about )?(\S+) of “(.+?)”", found.sentence
    ):
        words = {in_words(count): count for count in range(1, 3001)}
        least, less, most, more = match.groups()
        per = words[(least or "one").strip()]
        assert titles[more].pictures / titles[less].pictures == pytest.approx(words[most] / per, rel=0.053)
    if ": about as many" in found.sentence:
        assert max(friendly, force) <= 1.1 * min(friendly, force)


# The methods


def a_run(folder: Path, *sources: dict[str, Any], **asked: Any) -> Run:
    """A run of these sources, with two posts that have times, and a picture that was had."""
    run = Run(folder / "run")
    time = datetime(2014, 4, 22, 18, tzinfo=UTC)
    later = datetime(2014, 5, 3, 9, tzinfo=UTC)
    with run.writing():
        run.ask(sources=list(sources), model_key=TALLY.model_key, labels=TALLY.labels_key, **asked)
        run.append(
            "posts",
            posts_table(
                [
                    Post(
                        source="x",
                        id=str(place),
                        created_at=when,
                        collected_at=later,
                        attachments=(Attachment(url="u"),),
                    )
                    for place, when in enumerate((time, time.replace(day=25)))
                ]
            ),
        )
        run.append(
            "photos",
            photos_table(
                [
                    Photo(
                        source="x", post_id="0", position=0, url="u", status=PhotoStatus.OK, attempt=1, fetched_at=when
                    )
                    for when in (later, later.replace(month=6))
                ]
            ),
        )
        run.record_used("duplicates", TALLY.model_key, {"rule": 3})
        run.record_used(
            "models",
            TALLY.model_key,
            {
                "name": "large",
                "open_clip": "PE-Core-L-14-336",
                "weights": "meta",
                "hub": "timm/PE-Core-L-14-336",
                "hub_commit": "0123456789abcdef0123",
                "weights_sha256": "f" * 64,
                "licence": "Apache-2.0",
                "logit_scale": 99.5,
                "preprocessing": {"size": [336, 336]},
                "software": [
                    {"python": "3.12.1", "torch": "2.11.0", "xdk": "0.9"},
                    {"python": "3.12.1", "torch": "2.12.0"},
                ],
            },
        )
    return run


X = {"kind": "x", "hashtag": "myNYPD", "server": "https://api.x.example", "since": "2014-04-22T00:00:00+00:00",
     "until": "2014-04-26T00:00:00+00:00"}  # fmt: skip
MASTODON = {"kind": "mastodon", "hashtag": "myNYPD", "server": "https://mastodon.example", "since": None, "until": None}
EXPORT = {"kind": "exported", "path": "/home/somebody/secret/posts.ndjson"}


def parts(text: str) -> dict[str, str]:
    """What stands below each heading, with plain spaces."""
    found = re.split(r"^## (.+)$", spaced(text), flags=re.MULTILINE)
    return dict(zip(found[1::2], (each.strip() for each in found[2::2]), strict=True))


def test_the_methods_say_where_the_posts_are_from_and_when(tmp_path: Path) -> None:
    run = a_run(tmp_path, X, MASTODON, EXPORT, keep_authors=False)
    found = parts(methods(run, TALLY, LABELS))
    assert found["Data"] == (
        "Posts were taken from three sources: a search for #myNYPD on X, by its API (api.x.example), asked for posts "
        "from 22 to 25 April 2014 (UTC); the timeline of #myNYPD on the Mastodon server mastodon.example and the "
        "export “posts.ndjson”. They were collected on 3 May 2014. This gave 1,500 posts, of which 400 are reposts of "
        "others, 300 have no picture attached and 7 state no certain time. Those with a time were posted between 22 "
        "and 25 April 2014 (UTC). Posts that came more than once were counted once, which left out 2 repeats. 3 lines "
        "of the sources were left out: not to be read as a post, or a known post with other contents.\n\n"
        "**The posts are not all there.** Not read to the end: #dike on x.example (it was asked for 1,500 posts, and "
        "there are more). Names of authors were replaced by pseudonyms when posts were stored, by a key that belongs "
        "to the run."
    )
    assert found["Pictures"] == (
        "Of 1,400 attachments, 1,300 (92.9 %) could be had. Of the others, 60 were no longer there and 40 were damaged "
        "or cut short. The photos were downloaded between 3 May and 3 June 2014, and decoded to the end so as to leave "
        "out what is cut short. The 1,300 photos are 1,201 different image files. 1 image file was not classified (new "
        "since, gone, or damaged)."
    )


def test_when_posts_were_posted_is_told_of_one_and_of_strays(tmp_path: Path) -> None:
    run = a_run(tmp_path, X)

    def data(**facts: Any) -> str:
        return parts(methods(run, replace(TALLY, coverage=replace(TALLY.coverage, **facts)), LABELS))["Data"]

    days = "posted between 22 and 25 April 2014 (UTC)."
    assert f"The one with a time was {days}" in data(posts=10, posts_without_time=9)
    assert f"They were {days}" in data(posts=2, posts_without_time=0)
    assert "posted" not in data(posts=9, posts_without_time=9)
    strays = replace(TALLY, timeline=replace(TALLY.timeline, bins=TALLY.timeline.bins[2:], before=50, after=0))
    text = methods(run, strays, LABELS)
    one = methods(run, replace(strays, timeline=replace(strays.timeline, before=1)), LABELS)
    assert "(UTC), outside of which was 1 post." in parts(one)["Estimation"]
    assert f"Those with a time were {days}" in parts(text)["Data"]
    assert "2 bins of one day from 24 April 2014 on (UTC), outside of which were 50 posts." in parts(text)["Estimation"]


def test_whether_the_posts_are_all_there_is_told_once(tmp_path: Path) -> None:
    run = a_run(tmp_path, X)
    assert "The collection is not complete" in parts(methods(run, TALLY, LABELS))["Limits"]
    unknown = parts(methods(run, SHAPES["whether all is there is not known"], LABELS))
    assert "Whether the posts are all there is not known." in unknown["Data"]
    assert "not complete" not in unknown["Limits"]


@pytest.mark.parametrize(
    ("hosts", "how", "asked"),
    [
        ((("big.example", 2, 2), ("(a local file)", 1, 0)), "downloaded between", True),
        ((("(a local file)", 2, 2), ("(no host)", 1, 0)), "read between", False),
        (
            (("(a local file)", 2, 2), ("big.example", 1, 1)),
            "downloaded, or read where they are files, between",
            True,
        ),
    ],
)
def test_what_is_in_files_was_not_downloaded(
    tmp_path: Path, hosts: tuple[tuple[str, int, int], ...], how: str, asked: bool
) -> None:
    run = a_run(tmp_path, EXPORT)
    with run.writing():
        run.record_stage("download", opt_outs_heeded=True)
    tally = replace(TALLY, coverage=replace(TALLY.coverage, hosts=tuple(covered(*each) for each in hosts)))
    pictures = parts(methods(run, tally, LABELS))["Pictures"]
    assert f"The photos were {how} 3 May and 3 June 2014" in pictures
    assert ("Pictures that their server asks machines to leave alone were left out." in pictures) == asked


def test_near_duplicates_that_were_not_looked_for_are_not_said_to_be_grouped(tmp_path: Path) -> None:
    alone = replace(TALLY, pictures=TALLY.images, largest=())
    run = a_run(tmp_path, X)
    assert "were grouped" in parts(methods(run, alone, LABELS))["Near-duplicates"]
    never = parts(methods(run, replace(alone, model_key="other"), LABELS))
    assert never["Near-duplicates"] == "Near-duplicates were not looked for; each image counts as a picture of its own."
    assert "judged by thumbnails" not in never["Limits"]


@pytest.mark.parametrize(
    ("since", "until", "told"),
    [
        ("2014-04-22T00:00:00+00:00", "2014-04-23T00:00:00+00:00", "asked for posts on 22 April 2014 (UTC)"),
        ("2014-04-22T00:00:00+00:00", "2014-05-03T00:00:00+00:00", "from 22 April to 2 May 2014 (UTC)"),
        ("2013-12-31T00:00:00+00:00", "2014-01-02T00:00:00+00:00", "from 31 December 2013 to 1 January 2014 (UTC)"),
        ("2014-04-22T00:00:00+00:00", None, "asked for posts from 22 April 2014 on (UTC)"),
        (None, "2014-04-23T00:00:00+00:00", "asked for posts up to 22 April 2014 (UTC)"),
        ("2014-04-22T17:30:00+00:00", "2014-04-23T00:00:00+00:00", "from 22 April 2014, 17:30 and before 23 April"),
        (None, None, "(api.x.example). They were collected"),
    ],
)  # fmt: skip
def test_the_period_that_was_asked_for(tmp_path: Path, since: str | None, until: str | None, told: str) -> None:
    assert told in parts(methods(a_run(tmp_path, X | {"since": since, "until": until}), TALLY, LABELS))["Data"]


def test_the_methods_name_model_weights_prompts_and_versions(tmp_path: Path) -> None:
    found = parts(methods(a_run(tmp_path, X), TALLY, LABELS))
    for told in (
        "zero-shot (Radford et al. 2021) with the model PE-Core-L-14-336 (Bolya et al. 2025) with the weights “meta”, "
        "in OpenCLIP (Ilharco et al. 2021). Its weights are those of timm/PE-Core-L-14-336 on the Hugging Face hub at "
        "commit 0123456789ab and have the sha256 ffffffffffff…; the key of model and precision is tiny-00000000. "
        "Vectors were computed in bf16 on cuda, from images resized to 336 by 336 pixels.",
        "the cosine of its vector and the image’s times the model’s scale of 99.50",
        "less than 10 points apart counts as unsure",
        "Of 64 images that were computed in fp32 as well, no label differs, and no probability differs by more than "
        "0.4 points.",
        f"label set {LABELS.key}",
        *(f"“{prompt}”" for each in LABELS.classes for prompt in each.prompts),
        *(f"“{template}”" for template in LABELS.templates),
    ):
        assert told in found["Classification"]
    assert "an environment of Python 3.12.1 and PyTorch 2.11.0 and 2.12.0." in found["Software"]
    assert f"Counted by hashtag-photos {metadata.version('hashtag-photos')};" in found["Software"]
    assert "the model (Bolya et al. 2025)" in found["How to cite"]


def test_a_question_that_nobody_put_in_words_is_told_only_as_people_saw_it(tmp_path: Path) -> None:
    run, passing = a_run(tmp_path, X), asked(["helmet: a helmet", "cap: a cap"])
    found = parts(methods(run, LABELLED, passing))
    assert "There were these classes and prompts (label set" in found["Classification"]
    assert passing.question not in found["Classification"]
    assert f"labelled 300 of them by the question “{passing.question}”." in found["Hand labels"]
    assert f"The question was “{LABELS.question}”, with" in parts(methods(run, LABELLED, LABELS))["Classification"]


def test_the_bundled_model_is_told_from_a_folder_of_the_same_name(tmp_path: Path) -> None:
    run = a_run(tmp_path, X)
    for licence, told in (
        ("Apache-2.0", "model “tiny” that hashtag-photos brings"),
        (None, "the model “tiny”, in OpenCLIP"),
    ):
        with run.writing():
            run.record_used("models", TALLY.model_key, {"name": "tiny", "open_clip": "local-dir", "licence": licence})
        found = parts(methods(run, TALLY, LABELS))
        assert told in found["Classification"]
        assert ("on real photographs its labels mean nothing" in found["Limits"]) == (licence is not None)
        assert "Bolya" not in found["References"]


def test_the_sample_is_said_to_be_made_up(tmp_path: Path) -> None:
    text = methods(a_run(tmp_path, {"kind": "sample"}), TALLY, LABELS)
    assert text.startswith("# Methods: #myHarborPD\n")
    assert "#myHarborPD is a made-up hashtag" in parts(text)["Data"]
    assert "made-up" not in methods(a_run(tmp_path / "other", X), TALLY, LABELS)


def test_hand_labels_and_agreement_are_told_where_there_are_any(tmp_path: Path) -> None:
    run = a_run(tmp_path, X)
    assert "Hand labels" not in parts(methods(run, TALLY, LABELS))
    found = parts(methods(run, LABELLED, LABELS))
    for told in (
        "320 pictures were drawn at random",
        "Between them, two people labelled 300 of them",
        "60 were labelled by both, 4 were skipped and 2 are disputed and not settled",
        "5 pictures were chosen and labelled by hand without being drawn: they count for agreement alone",
        "Cohen’s kappa (Cohen 1960) is 0.81 (95 % interval 0.72 to 0.90; two people, 60 pictures)",
        "Krippendorff’s alpha (Krippendorff 2011) is 0.79 (95 % interval −0.10 to 0.90; three people, 61 pictures)",
        "in 80 of 303 pictures with an undisputed label, 5 of them chosen by somebody",
        "“Friendly”: recall 81 % (72 to 90) of 287 pictures;",
        "16.1 points on average",
    ):
        assert told in found["Hand labels"], told
    ppi = "stratified prediction-powered inference (Angelopoulos, Duchi and Zrnic 2023; Fisch et al. 2024)"
    assert ppi in found["Estimation"]
    assert (
        "the share of “Conflict and force” is 50 points (10 to 90) above that of “Friendly”, or 5.1 (4.2 to 6.3) times "
        "it; the probability that it is larger is above 99 %." in found["Results"]
    )
    assert "None could be given in engagement: no post states any engagement." in found["Results"]
    three = methods(run, replace(LABELLED, review=replace(REVIEWED, coders=3)), LABELS)
    assert "60 were labelled by two people or more, 4" in spaced(three)
    assert "for the corrected shares Angelopoulos, Duchi and Zrnic (2023)" in found["How to cite"]


def test_what_is_to_be_done_about_a_warning_is_not_for_a_paper(tmp_path: Path) -> None:
    warned = replace(
        LABELLED,
        numbers=tuple(
            replace(
                each, warnings=("40 labels are few: intervals hold the truth in 90 to 99 of 100 cases; label 10 more",)
            )
            if each.kind == "corrected"
            else each
            for each in LABELLED.numbers
        ),
    )
    limits = parts(methods(a_run(tmp_path, X), warned, LABELS))["Limits"]
    assert "40 labels are few: intervals hold the truth in 90 to 99 of 100 cases." in limits
    assert "label 10 more" in headline(NO_RUN, warned, LABELS).kind


def test_a_counted_difference_has_no_more_digits_than_it_needs(tmp_path: Path) -> None:
    pair = {"versus": "friendly", "low": 0.425, "high": 0.425, "method": "census"}
    apart = number("corrected", "difference", "conflict_and_force", 0.425, **pair)
    counted = corrected_tally(2.0, 2.0, 2.0, method="census")
    results = parts(methods(a_run(tmp_path, X), replace(counted, numbers=(*counted.numbers, apart)), LABELS))["Results"]
    assert "the share of “Conflict and force” is 42 points above that of “Friendly”, or 2.0 times it." in results


def test_ends_that_are_the_same_have_no_more_digits_than_they_need() -> None:
    assert percents(0.2, 0.2, 0.2) == ["20", "20", "20"]
    assert percents(0.2, 0.2 - 1e-17, 0.1 + 0.1) == ["20", "20", "20"]
    assert percents(0.0004, 0.0004) == ["0.04", "0.04"]
    assert percents(0.2, 0.199, 0.201) == ["20.00", "19.90", "20.10"]


def test_one_post_is_not_each_and_not_its() -> None:
    assert Whole("posts", 1).named == "1 post with pictures, divided evenly among these"
    assert Whole("posts", 1).are("friendly", "Friendly") == "shows “Friendly”"
    assert Whole("posts", 2).are("unsure", "Unsure") == "show pictures too close to call"


def shares_told(paragraph: str) -> Iterator[tuple[str, list[str], str]]:
    """(whole, [share, low, high], title) of each share that a paragraph of results tells."""
    for whole, told in re.findall(r"Of ([\d,]+ [^%]*?), (\S+ % .*?)\.(?= |$)", paragraph):
        for *shown, title in re.findall(
            r"(\S+) % \((?:95 % interval )?(\S+) to (\S+)\) (?:are |is |show |went to |to )?“(.+?)”", told
        ):
            yield whole, shown, title


def test_the_results_are_the_tallys_numbers(tmp_path: Path) -> None:
    results = parts(methods(a_run(tmp_path, X), LABELLED, LABELS))["Results"]
    corrected, raw, *_ = results.split("\n\n")
    titles = {each.title: each.label for each in TALLY.classes}
    units = {"1,160 distinct pictures": "pictures", "54,321 likes, reposts and replies": "engagement"}
    for kind, paragraph in (("corrected", corrected), ("raw", raw)):
        told = list(shares_told(paragraph))
        for whole, shown, title in told:
            share = LABELLED.number(kind, titles[title], units[whole])
            assert share is not None
            assert shown == percents(share.value or 0.0, share.low, share.high or 0.0)
        assert len(told) == len(
            [
                each
                for each in LABELLED.numbers
                if (each.kind, each.measure) == (kind, "share") and each.label != "unsure"
            ]
        )
    assert "Whatever the 100 attachments show that could not be had or classified" in results
    assert "takes 180 of 1,200 images for pictures of words (“Screenshot or text”, “Poster” and “Meme”)" in results
    assert "the other 1,000 are 23.0 % (10.0 to 90.0) “Friendly”" in results
    assert "in points: “Friendly” by up to 7.5" in results
    assert "The share of “Friendly” moves by more than its interval with the wording of the prompts." in results


HAD = replace(
    TALLY.coverage, collected_completely=True, incomplete=(), missing={}, attachments=1300, images_not_classified=0
)
FEW = {"posts": 1, "posts_reposting": 0, "posts_without_time": 0, "posts_repeated": 1, "lines_rejected": 1}
SHAPES = {
    "as it is": TALLY,
    "labelled": LABELLED,
    "all could be had": replace(TALLY, coverage=HAD),
    "nothing was collected": replace(raw_tally(0, 0, 0, 0), coverage=replace(
        HAD, **dict.fromkeys(("posts", "posts_reposting", "posts_without_attachments", "posts_without_time"), 0),
        attachments=0, had=0, images=0)),
    "nothing could be had": replace(raw_tally(0, 0, 0, 0), coverage=replace(
        TALLY.coverage, had=0, images=0, images_not_classified=0, missing={"gone": 1400})),
    "one attachment, not had": replace(raw_tally(0, 0, 0, 0), coverage=replace(
        HAD, **FEW, posts_without_attachments=0, attachments=1, had=0, images=0, missing={"timeout": 1})),
    "one picture": replace(raw_tally(1, 0, 0, 0), coverage=replace(
        HAD, **FEW, posts_without_attachments=0, attachments=1, had=1, images=1)),
    "one is missing": replace(raw_tally(3, 0, 0, 0), coverage=replace(
        HAD, posts_without_attachments=1, attachments=4, had=3, images=1, missing={"svg": 1})),
    "all unsure": raw_tally(0, 0, 0, 40),
    "many reasons": replace(TALLY, coverage=replace(
        TALLY.coverage, had=1394, missing=dict.fromkeys(("gone", "svg", "video", "broken", "timeout", "new"), 1))),
    "one person": replace(LABELLED, review=replace(REVIEWED, coders=1, doubles=0, labelled=320, skipped=1, disputed=1),
        agreement=replace(AGREEMENT, kappa=None, alpha=None, ac1=None, reasons={
            "coders": "no picture was labelled by two people: ask a second one, with hashtag-photos review RUN"})),
    "drawn, not labelled": replace(TALLY, review=replace(UNREVIEWED, drawn=1, refused={
        "pictures": "no picture of the sample has a label yet: go on with hashtag-photos review RUN"})),
    "chosen alone": replace(TALLY, review=replace(UNREVIEWED, by_hand=1), agreement=replace(
        AGREEMENT, pictures=1, by_hand=1, model=None, reasons={"model": "fewer than 2"})),
    "merged and gone": replace(LABELLED, review=replace(REVIEWED, merged=1, uncovered=1)),
    "counted": corrected_tally(2.0, 2.0, 2.0, method="census"),
    "few labels": corrected_tally(2.0, 1.5, 3.0, method="post-stratified", n=40),
    "no times": replace(TALLY, timeline=replace(
        TALLY.timeline, unit="", bins=(), rows=(), before=0, after=0, timeless=1500)),
    "nothing compared": replace(TALLY, robustness=None, without_text=None, check=None, not_compared=1200, largest=()),
    "one not compared": replace(TALLY, not_compared=1, check=replace(TALLY.check, images=1, labels_differing=1)),
    "vectors of unknown origin": replace(TALLY, precision=None, devices=(), check=None, margin=0.0),
    "whether all is there is not known": replace(TALLY, coverage=replace(TALLY.coverage, incomplete=())),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "sources", [(X,), (EXPORT, {"kind": "folder", "path": "photos/"}), ()], ids=["x", "files", "none"]
)
def test_the_words_are_in_good_order_for_every_shape(
    tmp_path: Path, shape: str, sources: tuple[dict[str, Any], ...]
) -> None:
    tally = SHAPES[shape]
    found = headline(NO_RUN, tally, LABELS)
    for each in (found.sentence, found.kind, found.missing, found.about, found.caution):
        proper(each)
    assert found.missing
    text = methods(a_run(tmp_path, *sources, keep_authors=True), tally, LABELS)
    for line in text.splitlines():
        proper(line)
    assert str(tmp_path) not in text
    assert "/home" not in text
    assert "\n\n\n" not in text
    assert not re.search(r"^## .*\n\n(?=##|\Z)", text, flags=re.MULTILINE), "a heading with nothing below it"
    said, _, listed_works = text.partition("## References")
    for name in references.names():
        assert (name in said) == (references.reference(name) in listed_works), name


def test_shapes_of_words() -> None:
    assert (
        became({"gone": 1, "svg": 2, "odd": 1})
        == "2 were drawings in SVG, 1 was no longer there and 1 was missing as “odd”"
    )
    assert became({"gone": 5, "svg": 4, "video": 3, "broken": 2, "timeout": 1}, 4) == (
        "5 were no longer there, 4 were drawings in SVG, 3 were videos and 3 were missing for other reasons"
    )
    assert [listed("a"), listed("ab"), listed("abc")] == ["a", "a and b", "a, b and c"]
    assert [in_words(0), in_words(10), in_words(1234)] == ["no", "ten", "1,234"]


def rendered(text: str) -> tuple[set[str], list[str], str]:
    """The elements of Markdown, the addresses of its links and pictures, and its text, as CommonMark has it."""
    tokens = [each for token in MarkdownIt("commonmark").parse(text) for each in (token, *(token.children or ()))]
    links = [str(address) for each in tokens for name in ("href", "src") if (address := each.attrGet(name))]
    return {each.type for each in tokens}, links, "".join(each.content for each in tokens if each.type == "text")


@given(st.text() | st.text(alphabet="\\`*_[]()<>#!|~^$&@:/. wx1-+\n"))
def test_escaped_text_is_text_and_nothing_else(text: str) -> None:
    kinds, links, shown = rendered(f"a “{escape(text)}”")
    assert kinds <= {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}
    assert not links
    assert "\n" not in escape(text)
    if text.isprintable() and "\xa0" not in text:
        assert shown == f"a “{' '.join(text.split())}”"


def test_nothing_from_outside_is_markup(tmp_path: Path) -> None:
    hostile = replace(
        LABELLED,
        run=HOSTILE,
        model=HOSTILE,
        labels_key=HOSTILE,
        precision=HOSTILE,
        devices=(HOSTILE,),
        classes=tuple(replace(each, title=HOSTILE) for each in TALLY.classes),
        coverage=replace(
            TALLY.coverage, missing={HOSTILE: 100}, incomplete=(Incomplete(source=HOSTILE, reason=HOSTILE),)
        ),
        review=replace(REVIEWED, refused={"engagement": HOSTILE}),
        agreement=replace(AGREEMENT, kappa=None, alpha=None, ac1=None, reasons={"coders": HOSTILE}),
        timeline=replace(TALLY.timeline, unit=HOSTILE),
    )
    classes = tuple(
        LabelClass(name=each.name, title=HOSTILE, prompts=(f"{each.name} {HOSTILE}",)) for each in LABELS.classes
    )
    labels = replace(LABELS, question=HOSTILE, classes=classes, templates=(f"{HOSTILE} {{}}",))
    sources = [each | {"hashtag": HOSTILE, "server": HOSTILE, "path": HOSTILE} for each in (X, MASTODON, EXPORT)]
    run = a_run(tmp_path, *sources, {"kind": HOSTILE})
    with run.writing():
        run.record_used(
            "models",
            TALLY.model_key,
            dict.fromkeys(("name", "open_clip", "weights", "hub", "hub_commit", "weights_sha256"), HOSTILE)
            | {"software": [{HOSTILE: HOSTILE}]},
        )
    text = methods(run, hostile, labels)
    kinds, links, shown = rendered(text)
    assert not kinds & {"html_inline", "html_block", "image", "code_inline", "code_block", "fence", "hr", "table_open"}
    assert set(links) <= {each for each in re.findall(r"<(https://[^>]+)>", text) if "evil" not in each}
    assert "<script>alert(1)</script>" in shown
    assert "\u202e" not in text
    headings = re.findall(r"^#+ .*$", text, flags=re.MULTILINE)
    assert len(headings) == len(set(headings)) == 12


# What is cited


def test_the_citation_file_is_the_programs() -> None:
    pyproject = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    text = (REPOSITORY / "CITATION.cff").read_text()
    assert f'version: "{pyproject["project"]["version"]}"' in text
    assert f"license: {pyproject['project']['license']}" in text
    assert pyproject["project"]["description"] in text
    included = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included["CITATION.cff"] == "hashtag_photos/CITATION.cff"
    version = pyproject["project"]["version"]
    assert references.software() == f"The hashtag-photos authors. *hashtag-photos* (version {version}) [software]."


def test_references_are_formatted() -> None:
    assert references.reference("Wilson 1927") == (
        "Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. *Journal of the "
        "American Statistical Association*, 22(158), 209–212. <https://doi.org/10.1080/01621459.1927.10502953>"
    )
    assert references.reference("Särndal, Swensson and Wretman 1992").startswith(
        "Särndal, C.-E., Swensson, B. and Wretman, J. (1992). *Model Assisted Survey Sampling*. Springer."
    )
    for name in references.names():
        proper(references.reference(name).partition("<")[0].strip())


def test_every_work_is_cited_by_some_text(tmp_path: Path) -> None:
    """What no report ever cites has no place in the list."""
    cited = "".join(
        methods(a_run(tmp_path / str(place), X), each, LABELS) for place, each in enumerate((TALLY, LABELLED))
    )
    assert [name for name in references.names() if references.reference(name) not in cited] == []


def test_a_work_that_is_not_there_can_not_be_cited() -> None:
    cite = references.Citations()
    assert cite("Wilson 1927", "Kish 1965") == "(Wilson 1927; Kish 1965)"
    assert [each.partition(",")[0] for each in cite.references] == ["Kish", "Wilson"]
    with pytest.raises(KeyError):
        cite("Nobody 1900")


def test_where_files_were_is_told_nobody(tmp_path: Path) -> None:
    path = EXPORT["path"]
    lost = Incomplete(source=f"posts of {path} as x-api", reason=f"{path} breaks off in line 3")
    tally = replace(TALLY, coverage=replace(TALLY.coverage, incomplete=(lost,)))
    told = "posts of posts.ndjson as x-api: posts.ndjson breaks off in line 3"
    assert f"The posts are not all there ({told})." in headline(NO_RUN, tally, LABELS).missing
    run = a_run(tmp_path, EXPORT)
    assert "posts of posts.ndjson as x-api (posts.ndjson breaks off in line 3)" in methods(run, tally, LABELS)
    with run.writing():
        run.record_stage("collect", sources=[{"asked": EXPORT, "title": lost.source, "recognised": "x-api: X API v2"}])
    text = methods(run, tally, LABELS)
    assert "the export “posts.ndjson” (read as X API v2) (posts.ndjson breaks off in line 3)" in text
    assert "/home" not in text
