"""What a tally hangs on besides its pictures: the wording of the prompts, words in pictures, the vectors' precision.

Each is counted from tables that stand beside the scores. What was not computed is None, never "nothing moved".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hashtag_photos.estimate import wilson
from hashtag_photos.labels import KINDS, TEXT_KINDS, UNSURE, LabelSet, find_labels
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.joined import places
from hashtag_photos.stages.score import ALL, WITHOUT_PROMPT, robustness_path
from hashtag_photos.stages.shown import Scored
from hashtag_photos.stages.units import IMAGES


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


def without_text(run: Run, found: Scored, names: Iterable[str]) -> WithoutText | None:
    """The classes `names` without pictures of words; None where kinds were not asked for, or are what is asked.

    Raises RunError if a table can't be read.
    """
    kinds = find_labels(KINDS)
    path = scores_path(found.model_key, kinds.key)
    table = run.read_table(path, "sha256", "label") if found.labels.key != kinds.key else None
    if table is None:
        return None
    listed = (*kinds.class_names, UNSURE)
    of_rows = np.append(places(table.column("label"), pa.array(listed)), -1)  # the last is of no row
    shas = found.scores.column("sha256")
    aligned = table.column("sha256").equals(shas)
    of_scores = of_rows[:-1] if aligned else of_rows[places(shas, table.column("sha256"))]
    counting = found.units.image_weights[IMAGES] > 0
    kind, label = of_scores[found.score[counting]], found.label_of[counting]
    is_text = np.isin(kind, [listed.index(each) for each in TEXT_KINDS])
    others = (kind >= 0) & ~is_text
    counted = dict(zip(found.names, np.bincount(label[others], minlength=len(found.names)).tolist(), strict=True))
    total = int(np.count_nonzero(others))
    clusters = np.bincount(found.units.picture_of[counting][others])
    effective = total**2 / int((clusters * clusters).sum()) if total else 0.0
    return WithoutText(
        text_kinds=tuple(name for name in kinds.class_names if name in TEXT_KINDS),
        images=total,
        text=int(np.count_nonzero(is_text)),
        unsure=int(np.count_nonzero(kind == listed.index(UNSURE))),
        unknown=int(np.count_nonzero(kind < 0)),
        classes=tuple(_without_text(name, counted[name], total, effective) for name in names),
    )


def _without_text(label: str, images: int, total: int, effective: float) -> ClassWithoutText:
    """A class among so many images, which are worth `effective` ones, near-duplicates being no independent ones."""
    low, high = wilson((images / total if total else 0) * effective, effective)
    return ClassWithoutText(
        label=label, images=images, images_total=total, share=_share(images, total), low=low, high=high
    )


def precision_check(run: Run, found: Scored) -> PrecisionCheck | None:
    """What the precision of the vectors changes, None where no vector was computed twice."""
    facts = run.used("checks", f"{found.model_key}/{found.labels.key}")
    if facts is None or not facts["images"]:
        return None
    within = 4 * float(facts["largest_change"])
    margin = found.scores.column("margin").to_numpy()[found.score[found.units.image_weights[IMAGES] > 0]]
    return PrecisionCheck(
        precision=facts["precision"],
        images=facts["images"],
        labels_differing=facts["labels_differing"],
        largest_change=facts["largest_change"],
        within=within,
        images_within=int(np.count_nonzero(np.abs(margin.astype(np.float64) - found.labels.margin) <= within)),
    )


def _share(images: int, total: int) -> float | None:
    return images / total if total else None
