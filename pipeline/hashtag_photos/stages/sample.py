"""Which pictures people are to look at: a random sample of a run's pictures, kept so that it can be extended.

The frame is what there was to draw from: a row per picture (tables.SAMPLE), with its stratum and its place in the
stratum's random order, of which the first are drawn. It is kept by what people are asked (LabelSet.question_key), so
that other prompts, and another model, use the same sample; and so is its seed, in run.json. How strata are made and
drawn from is in sampling.py.

What a picture is can change after a draw: groups of near-duplicates merge, and others stand for them. Each group is
then carried by that picture of the frame in it which came in first, or else has the smallest sha256: nothing that hangs
on what was drawn, or a merged group would be drawn more often than its stratum says. Groups without one are not covered
until more is drawn, when they come in as strata of their own.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hashtag_photos import sampling
from hashtag_photos.errors import RunError, UsageError
from hashtag_photos.handlabels import HandLabels
from hashtag_photos.labels import SKIP, LabelSet
from hashtag_photos.run import Run
from hashtag_photos.sampling import Frame
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.joined import places
from hashtag_photos.stages.units import Units, count_units
from hashtag_photos.tables import SAMPLE, probability_column

_NEAR = 0.25  # this share of the pictures, those of the smallest margins, is near enough to be drawn from apart

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many labels are `needed` in all for ± `points`, and what there is.

    Of the `pictures` that there are now, so many of the sample are `labelled` with a class, `skipped` by all who saw
    them, and `left` to be labelled. `drawn` are all that were drawn, those among them too that are one with another by
    now, or no longer count.
    """

    points: float
    needed: int
    labelled: int
    skipped: int
    left: int
    drawn: int
    pictures: int

    @property
    def undrawn(self) -> int:
        """Pictures that can still be drawn."""
        return self.pictures - self.labelled - self.skipped - self.left


def sample_path(question_key: str) -> str:
    """Where the sample for a question stands in a run."""
    return f"sample/{question_key}.parquet"


def read_sample(run: Run, question_key: str) -> Frame | None:
    """The frame and what is drawn of it, or None if nothing was drawn yet."""
    table = run.read_table(sample_path(question_key))
    if table is None:
        return None
    columns = {name: table.column(name) for name in SAMPLE.names}
    return Frame(
        sha256=np.array(columns["sha256"].to_pylist(), dtype=np.str_),
        draw=columns["draw"].to_numpy(),
        stratum=np.array(columns["stratum"].to_pylist(), dtype=np.str_),
        rank=columns["rank"].to_numpy(),
        drawn=columns["drawn"].to_numpy(),
        position=columns["position"].fill_null(-1).to_numpy(),
    )


def draw_sample(run: Run, model_key: str, labels: LabelSet, n: int) -> Frame:
    """The frame with `n` pictures drawn in all: nothing drawn is taken back, and if there are fewer, all are.

    The first draw keeps a seed in run.json; from then on the draw is the same whenever it is made. Raises RunError if
    the run was not classified by this model and label set, UsageError for what can't be drawn.
    """
    if n < 1:
        raise UsageError(f"--sample {n}: one picture at least", subject=n)
    with run.writing():
        frame = read_sample(run, labels.question_key)
        if frame is not None and n <= frame.drawn.sum():
            return frame
        now = _Pictures.of(run, model_key, labels, frame)
        drawn = sampling.draw(frame, now.names, now.strata, n, _seed(run, labels, frame is None), effort=now.effort)
        if frame is None or drawn.drawn.sum() > frame.drawn.sum():
            run.write_table(sample_path(labels.question_key), _table(drawn))
            return drawn
        return frame


def carried(frame: Frame, units: Units) -> Numbers:
    """The place in `units.pictures` of the picture that each row of the frame carries, (N,), as things are now.

    It is -1 where another row carries that picture, and where it no longer counts.
    """
    images = places(pa.array(frame.sha256.tolist(), pa.string()), units.images)
    found = np.full(len(images), -1, dtype=np.int64)
    found[images >= 0] = units.picture_of[images[images >= 0]]
    order = np.lexsort((frame.sha256, frame.draw))
    _, first = np.unique(found[order], return_index=True)
    carries = np.zeros(len(found), dtype=np.bool_)
    carries[order[first]] = True
    return np.where(carries, found, -1)


def plan_labels(run: Run, model_key: str, labels: LabelSet, points: float) -> Plan:
    """How many labels the widest share needs for an interval of ± `points` percentage points, of distinct pictures.

    From the predictions alone before there are labels, and from what these say once there are. Raises RunError as
    `draw_sample` does.
    """
    if not 0 < points < 100:
        raise UsageError(f"--plan {points:g}: percentage points, such as 3 for ±3 points", subject=points)
    frame = read_sample(run, labels.question_key)
    now = _Pictures.of(run, model_key, labels, frame)
    at, said, skipped, left = _said(run, labels, frame, now)
    return Plan(
        points=points,
        needed=sampling.plan(
            points,
            strata=now.strata,
            effort=now.effort,
            predictions=now.predictions,
            labelled=at if len(at) else None,
            labels=said if len(at) else None,
        ),
        labelled=len(at),
        skipped=skipped,
        left=left,
        drawn=0 if frame is None else int(frame.drawn.sum()),
        pictures=len(now.names),
    )


@dataclass(frozen=True, kw_only=True)
class _Pictures:
    """The pictures that there are now, under the names that the frame knows them by.

    `strata` are those of the frame, or what new ones would be in; `predictions` are (pictures, classes).
    """

    names: list[str]
    strata: npt.NDArray[np.str_]
    effort: Floats
    predictions: Floats

    @classmethod
    def of(cls, run: Run, model_key: str, labels: LabelSet, frame: Frame | None) -> _Pictures:
        scores = run.read_table(scores_path(model_key, labels.key))
        if scores is None:
            raise RunError(
                f"{run.location}: its pictures were not asked the label set {labels.name!r} by this model yet; run the "
                "classify stage first",
                subject=labels.name,
            )
        units = count_units(run, model_key, labels.key)
        if not units.pictures:
            raise RunError(f"{run.location}: has no pictures to draw from", subject=run.location)
        row_of = {sha256: row for row, sha256 in enumerate(scores.column("sha256").to_pylist())}
        rows = np.array([row_of[sha256] for sha256 in units.pictures])
        columns = [scores.column(probability_column(name)).to_numpy()[rows] for name in labels.class_names]
        predictions = np.stack(columns, axis=1).astype(np.float64)
        margins = scores.column("margin").to_numpy()[rows].astype(np.float64)
        sizes = np.mean([weights / weights.mean() for weights in units.weights.values()], axis=0)
        near = max(labels.margin, float(np.quantile(margins, _NEAR)))
        names = list(units.pictures)
        strata = sampling.strata(predictions.argmax(axis=1), margins, sizes, near)
        if frame is not None:
            held = carried(frame, units)
            strata = strata.astype(object)
            for row in np.flatnonzero(held >= 0).tolist():
                names[held[row]] = str(frame.sha256[row])
                strata[held[row]] = str(frame.stratum[row])
            strata = strata.astype(np.str_)
        return cls(names=names, strata=strata, effort=sampling.effort(strata, sizes), predictions=predictions)


def _seed(run: Run, labels: LabelSet, first: bool) -> str:
    """What the random order of pictures hangs on, made and kept at the first draw."""
    facts = run.used("samples", labels.question_key)
    if facts is None:
        if not first:
            raise RunError(
                f"{run.location}/run.json lacks the seed that its sample was drawn with, so that no more can be drawn: "
                "bring run.json back from a copy",
                subject=run.location,
            )
        facts = {
            "seed": secrets.token_hex(16),
            "question": labels.question,
            "classes": list(labels.class_names),
        }
        run.record_used("samples", labels.question_key, facts)
    return f"{labels.question_key}/{facts['seed']}"


def _table(frame: Frame) -> pa.Table:
    columns = [
        pa.array(frame.sha256.tolist(), pa.string()),
        pa.array(frame.draw, pa.int32()),
        pa.array(frame.stratum.tolist(), pa.string()),
        pa.array(frame.rank, pa.int64()),
        pa.array(frame.drawn, pa.bool_()),
        pa.array(frame.inclusion_probability, pa.float64()),
        pa.array(frame.position, pa.int64(), mask=~frame.drawn),
    ]
    return pa.table(columns, schema=SAMPLE)


def _said(run: Run, labels: LabelSet, frame: Frame | None, now: _Pictures) -> tuple[Numbers, Floats, int, int]:
    """Which pictures of the sample have labels, and the shares of the classes that their coders chose, (n, classes).

    Then how many others are skipped, and how many nobody has answered yet. Pictures that another one of the frame
    carries by now are not among them.
    """
    place = {name: number for number, name in enumerate(now.names)}
    sampled = [each for each in frame.sha256[frame.drawn].tolist() if each in place] if frame is not None else []
    verdicts = HandLabels(run).verdicts(labels.question_key)
    numbers, rows = [], []
    skipped = 0
    for sha256 in sampled:
        verdict = verdicts.get(sha256)
        if verdict is None or not verdict.sampled:
            continue
        answers = [verdict.settled] if verdict.settled else list(verdict.answers.values())
        chosen = [labels.class_names.index(answer) for answer in answers if answer != SKIP]
        if not chosen:
            skipped += 1
            continue
        numbers.append(place[sha256])
        rows.append(np.bincount(chosen, minlength=len(labels.classes)) / len(chosen))
    found = np.array(numbers, np.int64), np.array(rows).reshape(len(rows), len(labels.classes))
    return *found, skipped, len(sampled) - len(rows) - skipped
