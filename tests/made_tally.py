"""A tally made by hand, with every part filled, for the tests of what is made of tallies: TALLY without hand labels,
LABELLED with some."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from hashtag_photos.agreement import Bin
from hashtag_photos.estimate import Estimate
from hashtag_photos.labels import find_labels
from hashtag_photos.records import Incomplete
from hashtag_photos.run import Run
from hashtag_photos.stages.caveats import ClassWithoutText, PrecisionCheck, VariantTally, WithoutText
from hashtag_photos.stages.coverage import Coverage, CoverageOf
from hashtag_photos.stages.numbers import Number
from hashtag_photos.stages.reviewed import Agreed, Agreement, ClassAgreement, ModelAgreement, Review
from hashtag_photos.stages.tally import ClassTally, Engagement, EngagementOf, GroupTally, PartTally, Tally
from hashtag_photos.stages.timeline import BinTally, Timeline, TimeTally

LABELS = find_labels("friendly-or-force")

NO_RUN = Run(Path("no-such-run"))  # for what tells of a run also where nothing is known of it


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


def part_tally(value: str, label: str, images: int) -> PartTally:
    counts = {"images": images, "images_total": 600, "posts": images, "posts_total": 550}
    share = {"share": images / 600, "low": 0.1, "high": 0.9}
    return PartTally(value=value, label=label, photos=images, photos_total=650, **counts, **share)


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


def bin_of(start: str, end: str, collected: int, posts: int, attachments: int, had: int, new: int) -> BinTally:
    counts = {"posts_collected": collected, "posts": posts, "attachments": attachments, "had": had, "new_pictures": new}
    return BinTally(start=f"{start}T00:00:00Z", end=f"{end}T00:00:00Z", **counts)


def over_time(of: BinTally, *shares: float) -> tuple[TimeTally, ...]:
    """The classes in a bin, of shares that add up to 1; none where the bin has no post with a picture."""
    rows = zip(("friendly", "conflict_and_force", "neither", "unsure"), shares or (None,) * 4, strict=True)
    return tuple(
        TimeTally(
            start=of.start,
            label=label,
            posts=0 if share is None else round(share * of.posts),
            posts_total=of.posts,
            share=share,
            low=0.0 if share is None else max(share - 0.05, 0.0),
            high=1.0 if share is None else min(share + 0.05, 1.0),
            new_pictures=0 if share is None else round(share * of.new_pictures),
        )
        for label, share in rows
    )


#: two days with pictures, one without any post between them, and one whose posts have no picture that could be had
BINS = (
    bin_of("2014-04-22", "2014-04-23", 950, 700, 900, 820, 800),
    bin_of("2014-04-23", "2014-04-24", 0, 0, 0, 0, 0),
    bin_of("2014-04-24", "2014-04-25", 530, 360, 440, 435, 300),
    bin_of("2014-04-25", "2014-04-26", 7, 0, 10, 0, 0),
)
TIMELINE = Timeline(
    unit="day",
    bins=BINS,
    rows=(
        *over_time(BINS[0], 0.1, 0.7, 0.18, 0.02),
        *over_time(BINS[1]),
        *over_time(BINS[2], 0.4, 0.4, 0.15, 0.05),
        *over_time(BINS[3]),
    ),
    timeless=7,
    before=1,
    after=5,
)
ENGAGED = (
    EngagementOf(label="friendly", posts=150, total=9000, median=12.0, p25=3.0, p75=60.5),
    EngagementOf(label="conflict_and_force", posts=450, total=44000, median=31.0, p25=8.0, p75=110.0),
    EngagementOf(label="neither", posts=100, total=1300, median=2.5, p25=0.0, p75=9.0),
    EngagementOf(label="unsure", posts=0, total=0, median=None, p25=None, p75=None),
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
    engagement=Engagement(posts=1100, weighing=690, reposts=400, unstated=10, total=54321, classes=ENGAGED),
    largest=(
        GroupTally(
            picture="a" * 64, images=17, posts=31, photos=33, first_seen="2014-04-22T18:05:00Z", label="friendly"
        ),
        GroupTally(picture="b" * 64, images=1, posts=2, photos=2, first_seen=None, label="unsure"),
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
        *(part_tally("bluesky", label, images) for label, images in (("friendly", 100), ("conflict_and_force", 400))),
        *(part_tally("bluesky", label, images) for label, images in (("neither", 90), ("unsure", 10))),
        *(part_tally("x", label, images) for label, images in (("friendly", 140), ("conflict_and_force", 320))),
        *(part_tally("x", label, images) for label, images in (("neither", 114), ("unsure", 26))),
    ),
    languages=(
        *(part_tally("en", label, images) for label, images in (("friendly", 180), ("conflict_and_force", 300))),
        *(part_tally("en", label, images) for label, images in (("neither", 100), ("unsure", 20))),
        *(part_tally("(not stated)", label, images) for label, images in (("friendly", 60), ("neither", 104))),
        *(part_tally("(not stated)", label, images) for label, images in (("conflict_and_force", 420), ("unsure", 16))),
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
    timeline=TIMELINE,
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
