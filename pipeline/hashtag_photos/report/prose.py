"""The answer in words: a sentence, the kind of numbers in it and what is missing; and what methods.md says alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count
from pathlib import PurePath
from typing import Any

from hashtag_photos.estimate import Estimate, wilson
from hashtag_photos.labels import UNSURE, LabelSet
from hashtag_photos.models import FOR_THE_SAMPLE
from hashtag_photos.records import Incomplete
from hashtag_photos.report.phrases import INTERVAL, PERCENT, be, between, in_words, listed, people, sentences, verb
from hashtag_photos.run import Run
from hashtag_photos.sources.sample import HASHTAG
from hashtag_photos.stages.correct import CENSUS
from hashtag_photos.stages.coverage import Coverage
from hashtag_photos.stages.numbers import BOUND, CORRECTED, RATIO, RAW, SHARE, Number, exactly, percents
from hashtag_photos.stages.tally import Tally
from hashtag_photos.stages.units import PICTURES
from hashtag_photos.storage import until_answered
from hashtag_photos.words import many, percent

_NEAR = 1.1  # of two classes as near as this is said that there are about as many of each
_KNOWN_NEAR = 1.25  # if this is as far as their ratio may go
_WIDE = 2.0  # an interval of a ratio whose ends are further apart gives no ratio to tell
_ROUNDED = 0.05  # how far a ratio in whole numbers may be from what it is
_REASONS_TOLD = 4
_MOST_IN_ORDER = 3  # classes; of more, the first two may be any
_SOURCES_TOLD = 4
_PATH = re.compile(r"(?:posts of|pictures in) (.+?)(?: as [\w-]+)?$")  # in titles of exports and of folders

SAMPLE = "sample"  # the kind of source that it is

#: what became of an attachment by its status, as said of one and of more: "1 was …", "4 were …"
BECAME = {
    "gone": ("no longer there", "no longer there"),
    "refused": ("refused by its server", "refused by their servers"),
    "opted_out": (
        "left alone, since its server asks machines to do so",
        "left alone, since their servers ask machines to do so",
    ),
    "blocked": ("at an address that is not to be asked", "at addresses that are not to be asked"),
    "bad_address": ("without a proper address", "without a proper address"),
    "not_an_image": ("not a picture", "not pictures"),
    "svg": ("a drawing in SVG", "drawings in SVG"),
    "video": ("a video", "videos"),
    "broken": ("damaged or cut short", "damaged or cut short"),
    "too_large": ("too large", "too large"),
    "placeholder": ("a stand-in for a removed picture", "stand-ins for removed pictures"),
    "timeout": ("not served in time", "not served in time"),
    "server_error": ("answered with a server error", "answered with a server error"),
    "rate_limited": ("refused for too many requests", "refused for too many requests"),
    "unreachable": ("on a server that could not be reached", "on servers that could not be reached"),
    "interrupted": ("cut off in transfer", "cut off in transfer"),
    "unsupported": ("in a format that this machine can’t decode", "in formats that this machine can’t decode"),
    "not_asked_yet": ("not asked for yet", "not asked for yet"),
}


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The answer in plain text: a `sentence`, what `kind` of numbers are in it, what is `missing` from it, what it is
    `about`, and what a reader must know before all else.

    `kind` is empty where nothing could be classified, `caution` where nothing applies. Titles of classes, hashtags and
    names of files stand in it as they are: escape them.
    """

    sentence: str
    kind: str
    missing: str
    about: str
    caution: str


@dataclass(frozen=True, kw_only=True)
class Times:
    """First and last day (UTC), where any is known, of what was posted, collected, and downloaded."""

    posted: tuple[date, date] | None
    collected: tuple[date, date] | None
    downloaded: tuple[date, date] | None


def headline(run: Run, tally: Tally, labels: LabelSet) -> Headline:
    """The answer of a tally: how many of the distinct pictures show the first two classes of the label set (if it has
    more than three, the two classes with most), and any other that has more than these; corrected where there are
    corrected shares, else raw.
    """
    shown = _shown(tally, labels)
    about, caution = _about(run, tally), caution_of(run, tally)
    if not shown:
        none = "No picture could be classified."
        return Headline(sentence=none, kind="", missing=_missing(tally, labels, ()), about=about, caution=caution)
    titles = {each.label: each.title for each in tally.classes}
    corrected = shown[0].kind == CORRECTED
    return Headline(
        sentence=f"{_answer(tally, titles, shown)}{_compared(tally, labels, shown, titles)}.",
        kind=_of_people(tally, titles, shown) if corrected else _of_the_model(tally, titles, shown),
        missing=_missing(tally, labels, shown),
        about=about,
        caution=caution,
    )


def is_sample(run: Run) -> bool:
    """Whether the sample is among the sources of a run."""
    return any(each.get("kind") == SAMPLE for each in run.asked.get("sources", ()))


def hashtags(run: Run) -> list[str]:
    """The hashtags that servers were asked for, each once."""
    return list(dict.fromkeys(f"#{each['hashtag']}" for each in run.asked.get("sources", ()) if each.get("hashtag")))


def last_part(asked: Mapping[str, Any]) -> str:
    """The name of the file or folder that a source is."""
    return PurePath(str(asked.get("path") or "")).name or "posts"


@until_answered
def times_of(run: Run) -> Times:
    """When what is in a run was posted, collected and downloaded."""
    with run.database() as database:
        ((*posts,),) = database.execute(
            """SELECT strftime(min(created_at), '%Y-%m-%d'), strftime(max(created_at), '%Y-%m-%d'),
            strftime(min(collected_at), '%Y-%m-%d'), strftime(max(collected_at), '%Y-%m-%d') FROM posts"""
        ).fetchall()
        ((*photos,),) = database.execute(
            """SELECT strftime(min(fetched_at), '%Y-%m-%d'), strftime(max(fetched_at), '%Y-%m-%d')
            FROM photos_all WHERE status = 'ok'"""
        ).fetchall()

    def pair(first: str | None, last: str | None) -> tuple[date, date] | None:
        return (date.fromisoformat(first), date.fromisoformat(last)) if first and last else None

    return Times(posted=pair(*posts[:2]), collected=pair(*posts[2:]), downloaded=pair(*photos))


def caution_of(run: Run, tally: Tally) -> str:
    """What a reader must know before all else; nothing where nothing applies."""
    return sentences(_sample_caution(run), tiny_caution(run, tally))


def tiny_caution(run: Run, tally: Tally) -> str:
    """That the model knows nothing but the sample; nothing where it does, or has seen nothing else."""
    model = run.used("models", tally.model_key) or {}
    sources = [each.get("kind") for each in run.asked.get("sources", ())]
    if (
        not tally.pictures
        or model.get("name") != FOR_THE_SAMPLE
        or not model.get("licence")
        or set(sources) == {SAMPLE}
    ):
        return ""
    return f"The model “{FOR_THE_SAMPLE}” knows drawings and nothing else: on real photographs its labels mean nothing."


def became(missing: dict[str, int], most: int | None = None) -> str:
    """What became of attachments by their status, the most frequent first: "4 were no longer there and 1 was …".

    Of more than `most` reasons, the rest is told as a count.
    """
    rows = sorted(((status, count) for status, count in missing.items() if count), key=lambda row: (-row[1], row[0]))
    told = rows if most is None or len(rows) <= most else rows[: most - 1]
    named = [
        f"{count:,} {be(count)} {BECAME.get(status, (f'missing as “{status}”',) * 2)[count != 1]}"
        for status, count in told
    ]
    others = sum(count for _, count in rows[len(told) :])
    return listed([*named, f"{others:,} {be(others)} missing for other reasons"] if others else named)


def none_had(coverage: Coverage) -> str:
    """That no attachment could be had, and why, as a sentence without its end."""
    missing = became(coverage.missing)
    if coverage.attachments == 1:
        return f"The one attachment could not be had: it {missing.removeprefix('1 ')}"
    return f"None of {coverage.attachments:,} attachments could be had: {missing}"


def without_paths(incomplete: Incomplete) -> tuple[str, str]:
    """A source that is not all there, and why, with a file or folder told by its name: where it was is nobody's."""
    path = _PATH.match(incomplete.source)
    if path is None:
        return incomplete.source, incomplete.reason
    name = PurePath(path[1]).name or path[1]
    return incomplete.source.replace(path[1], name), incomplete.reason.replace(path[1], name)


def share_with_ends(share: Number, *, first: bool = False) -> str:
    """A share with the ends of its interval in brackets, which are explained in the `first` one of a text; without,
    where everything was counted."""
    if share.value is None or share.high is None:
        raise ValueError(f"{share.kind} {share.measure} of {share.label} has no value to tell")
    if share.method == CENSUS:
        return f"{exactly(share.value)}{PERCENT}"
    value, low, high = percents(share.value, share.low, share.high)
    return f"{value}{PERCENT} ({f'{INTERVAL} ' if first else ''}{low} to {high})"


def missing_bounds(tally: Tally, labels: Iterable[str], *, corrected: bool) -> list[Number]:
    """Between what the shares of classes lie whatever the missing attachments show; none if none is missing."""
    rests_on = ("labels",) if corrected else ("images", "pictures")
    found = {
        each.label: each
        for each in tally.numbers
        if each.kind == BOUND and each.measure == SHARE and each.rests_on in rests_on
    }
    return [found[label] for label in labels if label in found]


def with_the_others(bound: Number, *, counted: bool) -> str:
    """What a bound rests on, as the end of a sentence: what people said of all others where these were `counted`."""
    if bound.rests_on != "labels":
        return "with the others as the classifier labels them"
    return "with the others as people labelled them" if counted else f"with 95{PERCENT} confidence"


def bounds_in_words(bounds: Sequence[Number], titles: Mapping[str, str]) -> str:
    """The shares of attachments that bounds tell of: "between 10 and 90 % are “Friendly” and …". Of one at least."""
    told: list[str] = []
    for each in bounds:
        low, high = percents(each.low, each.high or 0.0)
        shows = f" {verb(each.of, 'is', 'are')}" if not told else ""
        told.append(f"between {low} and {high}{PERCENT}{shows} “{titles[each.label]}”")
    return listed(told)


def _about(run: Run, tally: Tally) -> str:
    """What was counted: posts of which hashtag, export or folder, and of when."""
    coverage, times = tally.coverage, times_of(run)
    asked = run.asked.get("sources", ())
    named = hashtags(run)
    named += [f"the made-up hashtag #{HASHTAG}"] if is_sample(run) else []
    named += dict.fromkeys(f"the export “{last_part(each)}”" for each in asked if each.get("kind") == "exported")
    named += dict.fromkeys(f"the folder “{last_part(each)}”" for each in asked if each.get("kind") == "folder")
    if len(named) > _SOURCES_TOLD:
        told = _SOURCES_TOLD - 1
        named = [*named[:told], f"{in_words(len(named) - told)} more sources"]
    posts = "A post" if coverage.posts == 1 else "Posts"
    what = f"{posts} of {listed(named)}" if named else f"{posts} of the run “{tally.run}”"
    when = ""
    if times.posted and coverage.posts > coverage.posts_without_time:
        known = ", as far as they say when" if coverage.posts_without_time else ""
        when = f", posted {between(*times.posted)}{known}"
    collected = f", collected {between(*times.collected)}" if times.collected and coverage.posts else ""
    return f"{what}{when}{collected}."


def _sample_caution(run: Run) -> str:
    if not is_sample(run):
        return ""
    return (
        f"The hashtag #{HASHTAG} is made up: its posts were written and its pictures drawn to try the program out, and "
        "say nothing about real events or people."
    )


def _shown(tally: Tally, labels: LabelSet) -> list[Number]:
    """The shares that the answer tells, the largest first; none where no picture was classified."""
    kind = CORRECTED if tally.number(CORRECTED, labels.class_names[0]) else RAW
    found = [each for name in tally.classes if (each := tally.number(kind, name.label)) and each.value is not None]
    if not tally.pictures or not found:
        return []
    found.sort(key=lambda each: -(each.value or 0.0))
    pair = _pair(found, labels)
    most = max(each.value or 0.0 for each in pair)
    return [each for each in found if each in pair or (each.value or 0.0) > most]


def _pair(shares: Sequence[Number], labels: LabelSet) -> list[Number]:
    """The two of these shares, the largest first, that are held against each other: of the first two classes of a
    label set; if it has more than three, of the two classes with most."""
    decided = [each for each in shares if each.label != UNSURE]
    if len(labels.class_names) > _MOST_IN_ORDER:
        return decided[:2]
    return [each for each in decided if each.label in labels.class_names[:2]]


def _answer(tally: Tally, titles: dict[str, str], shown: list[Number]) -> str:
    if tally.pictures == 1:
        if shown[0].label == UNSURE:
            return "The one distinct picture is too close to call"
        return f"The one distinct picture shows “{titles[shown[0].label]}”"
    parts = []
    show = " show"
    for each in shown:
        if each.label == UNSURE:
            parts.append(f"{share_with_ends(each)} are too close to call")
        else:
            parts.append(f"{share_with_ends(each)}{show} “{titles[each.label]}”")
            show = ""
    return f"Of {many(tally.pictures, 'distinct picture')}, {listed(parts)}"


def _compared(tally: Tally, labels: LabelSet, shown: list[Number], titles: dict[str, str]) -> str:
    """How many of the one there are for each of the other, where that can be told; with what comes before it."""
    pair = _pair(shown, labels)
    if tally.pictures < 2 or len(pair) < 2 or not pair[1].value:
        return ""
    more, less = pair
    ratio = _ratio(tally, more, less)
    if ratio is None:
        return ""
    counted = more.method == CENSUS
    first, second = f"“{titles[more.label]}”", f"“{titles[less.label]}”"
    two = len(shown) == 2
    as_many = "as many of the one as of the other" if two else f"as many of {first} as of {second}"
    apart = ":" if two else ";"
    if counted and ratio.value == 1:
        return f"{apart} {as_many}"
    if ratio.value < _NEAR and (counted or ratio.high <= _KNOWN_NEAR):
        return f"{apart} about {as_many}"
    if ratio.low <= 1 and not counted:
        return f"; whether there are more of {first} or of {second} is not settled"
    if ratio.high > _WIDE * ratio.low:
        return ""
    least, most = _in_whole_numbers(ratio.value)
    about = "" if ratio.low <= most / least <= ratio.high else "about "
    per = "each picture" if least == 1 else f"every {in_words(least)} pictures"
    return f"{apart} for {per} of {second}, {about}{in_words(most)} of {first}"


def _ratio(tally: Tally, more: Number, less: Number) -> Estimate | None:
    """The one share by the other. Raw: of the images in either, as many as they are worth, Wilson's for the one."""
    if more.kind == CORRECTED:
        ratios = [
            each for each in tally.numbers if (each.kind, each.measure, each.unit) == (CORRECTED, RATIO, PICTURES)
        ]
        found = next((each for each in ratios if {each.label, each.versus} == {more.label, less.label}), None)
        if found is None or found.value is None or found.high is None or found.value < 1:
            return None
        return Estimate(value=found.value, low=found.low, high=found.high)
    a, b, n = more.value or 0.0, less.value or 0.0, more.effective_n or 0.0
    low, high = wilson(a * n, (a + b) * n)
    return Estimate(value=a / b, low=low / (1 - low), high=high / (1 - high)) if high < 1 else None


def _in_whole_numbers(ratio: float) -> tuple[int, int]:
    """The smallest whole numbers that a ratio is near to."""
    least = next(each for each in count(1) if abs(round(ratio * each) / each - ratio) <= _ROUNDED * ratio)
    return least, round(ratio * least)


def _of_the_model(tally: Tally, titles: dict[str, str], shown: list[Number]) -> str:
    review = tally.review
    refused = review.refused.get(PICTURES)
    if review.drawn is None:
        errors = "No sample was labelled by hand, so how often it is wrong is not known."
    elif refused:
        errors = f"There is no corrected share yet ({refused})."
    else:
        errors = "There is no corrected share yet."
    unsure = tally.number(RAW, UNSURE)
    named = {each.label for each in shown}
    close = ""
    if unsure and unsure.value and UNSURE not in named:
        close = f"A further {share_with_ends(unsure)} are too close to call."
    return sentences(
        "Raw: as the classifier labels pictures."
        if tally.pictures == 1
        else f"Raw: as the classifier labels pictures, with {INTERVAL}s in brackets; its own errors are not in them.",
        errors,
        close,
        sensitive_to_prompts(tally, titles),
    )


def sensitive_to_prompts(tally: Tally, titles: dict[str, str]) -> str:
    """Which shares hang on the wording of the prompts; nothing where none does."""
    moving = [f"“{titles[each.label]}”" for each in tally.classes if each.sensitive_to_prompts]
    if not moving:
        return ""
    shares, their = ("share", "its interval") if len(moving) == 1 else ("shares", "their intervals")
    move = "moves" if len(moving) == 1 else "move"
    return f"The {shares} of {listed(moving)} {move} by more than {their} with the wording of the prompts."


def _of_people(tally: Tally, titles: dict[str, str], shown: list[Number]) -> str:
    coders = tally.review.coders
    by = f" by {people(coders)}" if coders else ""
    if shown[0].method == CENSUS:
        kind = f"Counted: every picture was labelled by hand{', ' + by.strip() if by else ''}, so there is no interval."
    else:
        kind = (
            f"Corrected: estimated from {many(shown[0].n, 'hand label')} of a random sample{by}, with {INTERVAL}s "
            "in brackets that cover the classifier’s errors."
        )
    raw = [each for share in shown if (each := tally.number(RAW, share.label))]
    alone = listed([f"{share_with_ends(each)} “{titles[each.label]}”" for each in raw])
    return sentences(kind, f"The classifier alone says {alone}.", _few(shown))


def _few(shown: Sequence[Number]) -> str:
    """What to be careful of with an estimate."""
    warnings = dict.fromkeys(warning for each in shown for warning in each.warnings)
    return " ".join(f"{warning[0].upper()}{warning[1:]}." for warning in warnings)


def _missing(tally: Tally, labels: LabelSet, shown: Sequence[Number]) -> str:
    titles = {each.label: each.title for each in tally.classes}
    coverage = tally.coverage
    posts = ""
    if coverage.posts_without_attachments:
        none = coverage.posts_without_attachments
        posts = f"Of {many(coverage.posts, 'post')}, {none:,} {verb(none, 'has', 'have')} no picture attached."
    lost = coverage.attachments - tally.photos
    if not coverage.attachments:
        had = "No post has a picture attached." if coverage.posts else "There are no posts."
        return sentences(_incomplete(tally), had)
    if coverage.attachments == 1 and not lost:
        had = "The one attachment could be had and classified."
    elif not lost:
        had = f"All {coverage.attachments:,} attachments could be had and classified."
    elif not coverage.had:
        had = f"{none_had(coverage)}."
    else:
        had = (
            f"Of {many(coverage.attachments, 'attachment')}, {lost:,} ({percent(lost / coverage.attachments)}) could "
            f"not be had or classified{_why(tally, lost)}"
        )
        bounds = missing_bounds(
            tally,
            [each.label for each in shown if each.label in labels.class_names],
            corrected=bool(shown) and shown[0].kind == CORRECTED,
        )
        if bounds:
            sure = with_the_others(bounds[0], counted=_census(shown))
            had += f" Whatever {verb(lost, 'it shows', 'they show')}, of all {many(bounds[0].of, 'attachment')} "
            had += f"{bounds_in_words(bounds, titles)}, {sure}."
    return sentences(_incomplete(tally), had, posts)


def _census(shown: Sequence[Number]) -> bool:
    return bool(shown) and shown[0].method == CENSUS


def _why(tally: Tally, lost: int) -> str:
    """Why attachments are missing, as the end of a sentence."""
    not_classified = lost - sum(tally.coverage.missing.values())
    reasons = became(tally.coverage.missing, _REASONS_TOLD) if any(tally.coverage.missing.values()) else ""
    if not_classified > 0:
        not_classified_too = f"{not_classified:,} {be(not_classified)} had and not classified"
        reasons = f"{reasons}; {not_classified_too}" if reasons else not_classified_too
    return f": {reasons}." if reasons else "."


def _incomplete(tally: Tally) -> str:
    coverage = tally.coverage
    if coverage.collected_completely:
        return ""
    if not coverage.incomplete:
        return "Whether the posts are all there is not known."
    told = "; ".join(": ".join(without_paths(each)) for each in coverage.incomplete)
    return f"The posts are not all there ({told})."
