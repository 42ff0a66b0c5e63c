"""What a tally hangs on besides its pictures: the wording of the prompts, words in pictures, the vectors' precision.

Each is counted from tables that stand beside the scores. What was not computed is None, never "nothing moved".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hashtag_photos.estimate import wilson
from hashtag_photos.labels import KINDS, TEXT_KINDS, UNSURE, LabelSet, find_labels
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.score import ALL, WITHOUT_PROMPT, robustness_path

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, kw_only=True)
class Published:
    """The share of a class that a tally states, None of no images, with its 95 % interval."""

    share: float | None
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class VariantTally:
    """The share of one class if the prompts were worded otherwise: `kind` says how, `variant` which wording it was.

    Where that is a prompt left out, `of_class` is the class that has it, else "". `change` is the difference to the
    share of the kind `all` over the same images. Flagged is one that takes the share of the class out of its 95 %
    interval.
    """

    kind: str
    variant: str
    of_class: str
    label: str
    images: int
    images_total: int
    share: float | None
    change: float | None
    flagged: bool


@dataclass(frozen=True, kw_only=True)
class ClassWithoutText:
    """One class among the images that the model does not take for pictures of words."""

    label: str
    images: int
    images_total: int
    share: float | None
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class WithoutText:
    """The shares without pictures of words, as far as the same model guesses them: it takes them for `text_kinds`.

    Of the tally's images, `text` are taken for pictures of words, `unknown` have not been asked for their kind, and
    the others count here, `unsure` of their kind among them.
    """

    text_kinds: tuple[str, ...]
    images: int
    text: int
    unsure: int
    unknown: int
    classes: tuple[ClassWithoutText, ...]


@dataclass(frozen=True, kw_only=True)
class PrecisionCheck:
    """What vectors of less than fp32 change: so many images were computed in fp32 as well, and their labels compared.

    Among these no class probability differs by more than `largest_change`, so no margin between two by more than twice
    that. It is what was seen and not a bound: other images can change more. `within` is twice that again, to be safe,
    and of the tally's images so many `images_within` have a margin that near to the one below which they are unsure.
    """

    precision: str
    images: int
    labels_differing: int
    largest_change: float
    within: float
    images_within: int


def worded_otherwise(
    run: Run, model_key: str, labels: LabelSet, published: Mapping[str, Published]
) -> tuple[VariantTally, ...] | None:
    """Every class under every other wording, None where that was not computed."""
    table = run.read_table(robustness_path(model_key, labels.key))
    if table is None:
        return None
    rows = table.to_pylist()
    whole = {row["label"]: _share(row["images"], row["images_total"]) for row in rows if row["kind"] == ALL}
    class_of = {prompt: each.name for each in labels.classes for prompt in each.prompts}
    variants = []
    for row in rows:
        of_class = class_of.get(row["variant"], "") if row["kind"] == WITHOUT_PROMPT else ""
        share, base = _share(row["images"], row["images_total"]), whole[row["label"]]
        change = None if share is None or base is None else share - base
        flagged = change is not None and _leaves(published[row["label"]], change)
        variants.append(VariantTally(**row, of_class=of_class, share=share, change=change, flagged=flagged))
    return tuple(variants)


def kinds_compared(variants: Iterable[VariantTally]) -> tuple[str, ...]:
    """The kinds of other wordings that the shares were compared with: none where there is one wording, or no image."""
    return tuple(dict.fromkeys(each.kind for each in variants if each.kind != ALL and each.change is not None))


def moved(share: float, change: float) -> float:
    """A share that changes, which takes it neither below none nor above all."""
    return min(max(share + change, 0.0), 1.0)


def _leaves(published: Published, change: float) -> bool:
    return published.share is not None and not published.low <= moved(published.share, change) <= published.high


def without_text(
    run: Run, database: duckdb.DuckDBPyConnection, model_key: str, labels: LabelSet, names: Iterable[str]
) -> WithoutText | None:
    """The classes `names` without pictures of words; None where kinds were not asked for, or are what is asked.

    The database is that of `stages.shown.shown`.
    """
    kinds = find_labels(KINDS)
    table = run.read_table(scores_path(model_key, kinds.key)) if labels.key != kinds.key else None
    if table is None:
        return None
    database.register("kinds", table.select(["sha256", "label"]).rename_columns(["sha256", "kind"]))
    counted: Counter[str] = Counter()
    by_kind: Counter[str | None] = Counter()
    for label, kind, count in database.execute(
        "SELECT label, kind, count(*) FROM images LEFT JOIN kinds USING (sha256) GROUP BY ALL"
    ).fetchall():
        by_kind[kind] += count
        if kind is not None and kind not in TEXT_KINDS:
            counted[label] += count
    total = counted.total()
    ((effective,),) = database.execute(
        """SELECT sum(images) ** 2 / sum(images * images) FROM (
            SELECT count(*) AS images FROM images JOIN kinds USING (sha256)
            WHERE NOT list_contains($text, kind) GROUP BY picture
        )""",
        {"text": list(TEXT_KINDS)},
    ).fetchall()
    return WithoutText(
        text_kinds=tuple(name for name in kinds.class_names if name in TEXT_KINDS),
        images=total,
        text=sum(by_kind[kind] for kind in TEXT_KINDS),
        unsure=by_kind[UNSURE],
        unknown=by_kind[None],
        classes=tuple(_without_text(name, counted[name], total, effective or 0.0) for name in names),
    )


def _without_text(label: str, images: int, total: int, effective: float) -> ClassWithoutText:
    """A class among so many images, which are worth `effective` ones, near-duplicates being no independent ones."""
    low, high = wilson((images / total if total else 0) * effective, effective)
    return ClassWithoutText(
        label=label, images=images, images_total=total, share=_share(images, total), low=low, high=high
    )


def precision_check(
    run: Run, database: duckdb.DuckDBPyConnection, model_key: str, labels: LabelSet
) -> PrecisionCheck | None:
    """What the precision of the vectors changes, None where no vector was computed twice.

    The database is that of `stages.shown.shown`.
    """
    facts = run.used("checks", f"{model_key}/{labels.key}")
    if facts is None or not facts["images"]:
        return None
    within = 4 * float(facts["largest_change"])
    ((images_within,),) = database.execute(
        """SELECT count(*) FROM scores SEMI JOIN images USING (sha256) WHERE abs(margin - $line) <= $within""",
        {"line": labels.margin, "within": within},
    ).fetchall()
    return PrecisionCheck(
        precision=facts["precision"],
        images=facts["images"],
        labels_differing=facts["labels_differing"],
        largest_change=facts["largest_change"],
        within=within,
        images_within=images_within,
    )


def _share(images: int, total: int) -> float | None:
    return images / total if total else None
