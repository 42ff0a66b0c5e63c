"""The review command: the sample drawn, the page served, labels taken and given, and what is said of them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hashtag_photos.errors import UsageError
from hashtag_photos.terminal import as_typed, bars, command, nothing_or, shown_path, tell
from hashtag_photos.words import many, percent

if TYPE_CHECKING:
    from hashtag_photos.estimate import Corrected
    from hashtag_photos.handlabels import Verdict
    from hashtag_photos.labels import LabelSet
    from hashtag_photos.review.exchange import Imported
    from hashtag_photos.run import Run
    from hashtag_photos.sampling import Frame

SAMPLE = 200  # pictures that are drawn at first
_MOST_REFUSED = 20  # of a file's rows that are shown


def draw(folder: Run, model_key: str, labels: LabelSet, sample: int | None, options: list[str]) -> Frame:
    """The sample, drawn or extended if it is asked for, with a line about it."""
    from hashtag_photos.stages.sample import carried, draw_sample, read_sample
    from hashtag_photos.stages.units import count_units

    before = read_sample(folder, labels.question_key)
    had = int(before.drawn.sum()) if before is not None else 0
    frame = before if before is not None and (sample or 0) <= had else None
    with bars() as progress:
        progress("sample", 0, None)
        if frame is None:
            frame = draw_sample(folder, model_key, labels, sample or SAMPLE)
        units = count_units(folder, model_key, labels.key)
        new = len(units.pictures) - int((carried(frame, units) >= 0).sum())
    drawn = int(frame.drawn.sum())
    more = f"{drawn - had:,} drawn now, " if had and drawn > had else ""
    fewer = "; there are no more" if sample and drawn < sample and drawn == len(frame.sha256) else ""
    if sample and sample < had:
        fewer = f"; what is drawn stays drawn, --sample {sample:,} takes nothing back"
    tell(f"sample     {more}{drawn:,} of {many(len(frame.sha256), 'distinct picture')}{fewer}")
    if new:
        again = command("review", folder.location, *options, "--sample", str(drawn + max(20, new // 10)))
        tell(f"           {many(new, 'picture')} came since and can't be in it; to draw of these too: {again}")
    return frame


def label(
    folder: Run,
    model_key: str,
    labels: LabelSet,
    sample: int | None,
    coder: str | None,
    settle: bool,
    port: int | None,
    options: list[str],
) -> None:
    """Serve the page until Ctrl-C, and say what came of it."""
    from hashtag_photos.handlabels import HandLabels, coder_name
    from hashtag_photos.review.server import serve
    from hashtag_photos.review.session import Session

    coder = coder_name(coder) if coder is not None else None
    frame = draw(folder, model_key, labels, sample, options)
    session = Session(folder, model_key, labels)
    if settle and not session.next(coder or "anybody", settle=True).total:
        tell("settle     nothing to do: coders disagree on no picture")
        return

    def say(address: str) -> None:
        tell(f"page       {address}")
        tell("           for this machine alone; open it in a browser, and press Ctrl-C here when you are done")

    serve(session, coder=coder, settle=settle, port=port or 0, ready=say)
    verdicts = HandLabels(folder).verdicts(labels.question_key)
    _say_labels(folder, model_key, labels, frame, verdicts, options)


def _say_labels(
    folder: Run,
    model_key: str,
    labels: LabelSet,
    frame: Frame,
    verdicts: Mapping[str, Verdict],
    options: list[str],
) -> None:
    """How many labels there are, what they say of the shares so far, and what comes next."""
    from hashtag_photos.labels import SKIP
    from hashtag_photos.stages.correct import CENSUS, Evidence
    from hashtag_photos.stages.units import PICTURES

    drawn = set(frame.sha256[frame.drawn].tolist())
    own = {sha256: verdict for sha256, verdict in verdicts.items() if verdict.sampled and sha256 in drawn}
    coders = {coder for verdict in own.values() for coder in verdict.answers}
    skipped = sum(set(verdict.answers.values()) == {SKIP} for verdict in own.values())
    disputed = sum(verdict.disputed for verdict in own.values())
    tell(
        f"\nlabels     {len(own):,} of {many(len(drawn), 'picture')} drawn have a label, "
        f"by {many(len(coders), 'coder')}{f'; {skipped:,} are skips' if skipped else ''}"
    )
    if len(verdicts) > len(own):
        tell(f"           {many(len(verdicts) - len(own), 'picture')} labelled by hand beside, for agreement alone")
    if disputed:
        again = command("review", folder.location, *options, "--settle")
        tell(f"           coders disagree on {disputed:,}; to settle these: {again}")
    evidence = Evidence.of(folder, model_key, labels) if own else None
    if evidence is not None:
        said = evidence.said(verdicts)
        found = evidence.shares_of(said, PICTURES)
        if found.refused:
            tell(f"corrected  {as_typed(found.refused, folder.location)}")
        width = max(len(name) for name in labels.class_names)
        for place, (name, share) in enumerate(zip(labels.class_names, found.shares, strict=False)):
            interval = "" if found.method == CENSUS else f" ({percent(share.low)} – {percent(share.high)})"
            tell(f"{'' if place else 'corrected':<10} {name:<{width}}  {percent(share.value)}{interval}")
        for warning in (*found.warnings, *said.doubts, *said.unused):
            tell(f"           {as_typed(warning, folder.location)}")
    tell(f"next       {command('report' if own else 'review', folder.location, *options)}")


def say_plan(folder: Run, model_key: str, labels: LabelSet, points: float, options: list[str]) -> None:
    from hashtag_photos.handlabels import HandLabels
    from hashtag_photos.stages.correct import Evidence
    from hashtag_photos.stages.sample import plan_labels
    from hashtag_photos.stages.units import PICTURES

    plan = plan_labels(folder, model_key, labels, points)
    verdicts = HandLabels(folder).verdicts(labels.question_key)
    evidence = Evidence.of(folder, model_key, labels) if plan.labelled else None
    said = evidence.said(verdicts) if evidence is not None else None
    width = known = None  # half of the widest interval, and what it would be without skips and gaps
    if evidence is not None and said is not None:
        width = _half_width(evidence.shares_of(said, PICTURES))
        known = _half_width(evidence.shares_of(said.without_unknown(), PICTURES))
    needed = min(plan.needed, plan.pictures)
    takes = (
        f"takes labels of all {many(plan.pictures, 'distinct picture')}"
        if needed == plan.pictures
        else f"needs about {many(needed, 'label')} in all"
    )
    have = f"you have {plan.labelled:,}" if plan.labelled else "you have none"
    tell(
        f"±{points:g} points for every class's share of pictures {takes}; {have}"
        f"{f', for ±{width:.1f} points' if width is not None else ''}"
    )
    if not plan.labelled:
        tell("that is by what the model says; ask again after 50 labels, which tell how often it errs")
    review = ("review", folder.location, *options)
    short = min(needed - plan.labelled - plan.left, plan.undrawn)
    unknown = said.skipped + said.gaps if said is not None else 0
    if (
        said is not None
        and width is not None
        and known is not None
        and width > points
        and (known <= points or 50 * unknown / (unknown + said.labels) >= points)
    ):
        what = " and ".join(
            f"{count:,} {named}" for count, named in ((said.skipped, "skipped"), (said.gaps, "passed over")) if count
        )
        tell(
            f"           {what} of {many(unknown + said.labels, 'picture')} may show anything, which drawing more does "
            f"not mend: without them it is ±{known:.1f} points"
        )
        second = f", or ask a second person, with --coder NAME: {command(*review)}"
        tell(f"next       label those that can be told after all{second}")
    elif short > 0:
        what = "draw them" if not plan.drawn else f"{plan.drawn:,} are drawn: draw {short:,} more"
        tell(f"next       {what}: {command(*review, '--sample', str(plan.drawn + short))}")
    elif plan.labelled < needed and plan.left:
        tell(
            f"next       {plan.drawn:,} are drawn: label {min(needed - plan.labelled, plan.left):,} more: "
            f"{command(*review)}"
        )
    elif width is not None and width <= points:
        tell(f"next       that is enough: {command('report', folder.location, *options)}")
    elif any(verdict.disputed for verdict in verdicts.values()):
        tell(f"next       what is left is what coders disagree on; to settle it: {command(*review, '--settle')}")
    elif plan.undrawn and width is not None:
        more = max(1, round(plan.labelled * ((width / points) ** 2 - 1)) - plan.left)
        tell(
            "next       it came out wider than that; draw more: "
            f"{command(*review, '--sample', str(plan.drawn + min(more, plan.undrawn)))}"
        )
    elif plan.left:
        tell(f"next       {plan.drawn:,} are drawn: label on: {command(*review)}")
    else:
        tell(
            "next       no more can be had: what is left are skipped pictures, and those that one coder alone has seen"
        )


def _half_width(found: Corrected) -> float | None:
    """Half of the widest interval, in percentage points; None if there are none."""
    return max((50 * (share.high - share.low) for share in found.shares), default=None)


def export(folder: Run, labels: LabelSet, file: Path, options: list[str]) -> None:
    from hashtag_photos.labels import SKIP
    from hashtag_photos.review.exchange import export_labels, label_studio_config

    done = export_labels(folder, labels, file)
    others = f", {done.pictures - done.drawn:,} others that somebody labelled" if done.pictures > done.drawn else ""
    tell(
        f"export     {shown_path(str(file))}: {many(done.drawn, 'picture')} drawn{others}, {many(done.labels, 'label')}"
    )
    if done.labels:
        tell("           whoever opens it sees these labels: coders are blind to each other on the page alone")
    if file.suffix.lower() == ".json":
        tell("\nlabelling interface to paste into a Label Studio project:\n")
        tell(label_studio_config(labels))
        if done.root is not None:
            tell(
                "\nstart Label Studio with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and "
                f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={shlex.quote(str(done.root))}, and add "
                f"{shlex.quote(str(done.images))} to the project as source storage of local files"
            )
        tell("\nnext       import the file there, label, export as JSON, then:")
    else:
        choices = ", ".join((*labels.class_names, SKIP))
        tell(f"next       fill in the columns label ({choices}) and coder, then:")
    back = f"labelled{file.suffix.lower()}" if file.suffix.lower() == ".json" else str(file)
    tell(f"           {command('review', folder.location, *options, '--import', back)}")


def take(folder: Run, labels: LabelSet, file: Path, coder: str | None, options: list[str]) -> None:
    from hashtag_photos.review.exchange import import_labels

    done = import_labels(folder, labels, file, coder=coder)
    beside = [
        f"{count:,} {what}"
        for count, what in (
            (done.had, "had already"),
            (done.older, "older than what the same coder said since"),
            (done.empty, "without an answer"),
            (len(done.refused), "refused"),
        )
        if count
    ]
    tell(f"import     {'; '.join([_taken(done), *beside])}")
    for each in done.refused[:_MOST_REFUSED]:
        tell(f"refused    {each.where} {each.reason}")
    if len(done.refused) > _MOST_REFUSED:
        tell(f"           and {len(done.refused) - _MOST_REFUSED:,} more")
    if done.taken > done.drawn:
        tell("           labels by hand count for agreement alone: those of the drawn sample correct the shares")
    if done.refused and not (done.taken or done.had):
        raise UsageError(f"{file}: nothing in it could be taken", subject=file)
    tell(f"next       {command('report', folder.location, *options)}")


def _taken(done: Imported) -> str:
    if not done.taken:
        return nothing_or(0, "new label")
    return f"{many(done.taken, 'new label')}, {done.drawn:,} of the sample, {done.taken - done.drawn:,} by hand"
