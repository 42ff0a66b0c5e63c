"""A sample and its hand labels from and to other tools: CSV for spreadsheets, JSON for Label Studio.

Exported are the drawn pictures in the order of showing, then others that somebody labelled, with all that was said of
them and nothing that the model says. A CSV has a row per answer, and one to be filled in for a picture without any.
JSON is Label Studio's task list (https://labelstud.io/guide/task_format): a task per picture, whose `data` says which,
with an annotation for each answer. Who gave it stands in the `meta` of its result, not in `completed_by`, since Label
Studio refuses a file that names people there whom it does not know.

Imported are such files, filled in, and any with the sha256 of a picture (in a field of its own, or in the name of its
file), a class (its name or title) and a coder: CSV, Label Studio's JSON, JSON-MIN and CSV. A skipped task is a `skip`.
An answer counts as drawn if it comes back with the sample that its picture was exported from, else as chosen by hand.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256 as _sha256
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from hashtag_photos.errors import RunError, StorageError, UsageError
from hashtag_photos.handlabels import (
    BLIND,
    BY_HAND,
    DRAWN,
    SETTLING,
    HandLabel,
    HandLabels,
    check_spelling,
    coder_name,
    escaped,
    unescaped,
)
from hashtag_photos.imagestore import FILES, file_name
from hashtag_photos.labels import SKIP, LabelSet
from hashtag_photos.run import Run
from hashtag_photos.sampling import Frame
from hashtag_photos.stages.sample import read_sample
from hashtag_photos.storage import until_answered

SKIP_TITLE = "Can't be told"
COLUMNS = ("image", "sha256", "question", "sample", "position", "label", "coder", "at", "round", "sampled", "note")

_KINDS = (".csv", ".json")
_CHOICE, _IMAGE, _NOTE = "label", "image", "note"  # names of tags in Label Studio's configuration
_AHEAD = timedelta(days=1)  # a clock that is ahead, or a time of another zone that doesn't say so
_FILES = "/data/local-files/?d="  # where Label Studio serves files of this machine
_SHA256 = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
# what files call it, the best name first
_LABEL_FIELDS = (_CHOICE, "choice", "choices")
_CODER_FIELDS = ("annotator", "completed_by")
_TIME_FIELDS = ("at", "updated_at", "created_at")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """How many pictures a file has, how many of them are drawn, and how many answers.

    `images` is the folder of this machine where the pictures are, and `root` the one that the file's paths begin in;
    None if they are in an object store.
    """

    pictures: int
    drawn: int
    labels: int
    root: Path | None
    images: Path | None


@dataclass(frozen=True, kw_only=True)
class Refused:
    """What could not be taken: where it stands, and why."""

    where: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What became of the answers in a file.

    `taken` are new, `drawn` so many of them of the sample; `had` were there already, `older` are older than what the
    same coder said since, and `empty` are pictures without an answer.
    """

    taken: int
    drawn: int
    had: int
    older: int
    empty: int
    refused: tuple[Refused, ...]


def check_file(file: Path, *, new: bool = False) -> None:
    """Raise UsageError if a file's name says no format, or if it is to be new and there already."""
    if file.suffix.lower() not in _KINDS:
        raise UsageError(f"{file}: the name must end in .csv, or in .json for Label Studio", subject=file)
    if new and file.exists():
        raise UsageError(f"{file} is there already and may hold labels: choose another name", subject=file)


def export_labels(run: Run, labels: LabelSet, file: Path) -> Exported:
    """Write the sample of a question, and what was said of it, as CSV or as Label Studio's JSON, by the file's name.

    Where the run keeps its images in shards, the pictures are written as files into a folder beside it. Raises
    UsageError if the file is there already or its name says no format, RunError if nothing was drawn or a picture can't
    be read.
    """
    check_file(file, new=True)
    frame = read_sample(run, labels.question_key)
    if frame is None:
        raise RunError(f"{run.location}: no sample was drawn for {labels.name!r} yet", subject=labels.name)
    drawn = {str(frame.sha256[row]): int(frame.position[row]) for row in frame.position.argsort() if frame.drawn[row]}
    by_picture: dict[str, list[HandLabel]] = {sha256: [] for sha256 in drawn}
    for row in _standing(HandLabels(run).rows(), labels.question_key).values():
        if row.label:
            by_picture.setdefault(row.sha256, []).append(row)
    formats = _formats(run, list(by_picture))
    if run.images.layout.store == FILES:
        root, images = run.storage.local, run.storage.local and run.storage.local / "images"
        paths = {sha256: run.images.layout.path(sha256, each) for sha256, each in formats.items()}
    else:
        images = file.absolute().with_name(f"{file.stem}-images")
        root = images.parent
        paths = _write_pictures(run, formats, images)
    pictures = [
        {
            "image": paths.get(sha256, ""),
            "sha256": sha256,
            "question": labels.question_key,
            "sample": _sample_name(run, labels) if sha256 in drawn else "",
            "position": drawn.get(sha256),
        }
        for sha256 in by_picture
    ]
    if file.suffix.lower() == ".csv":
        content = _as_csv(pictures, by_picture)
    else:
        content = _as_tasks(_FILES if root else f"{run.location.rstrip('/')}/", pictures, by_picture)
    _write(file, content)
    answers = sum(map(len, by_picture.values()))
    return Exported(pictures=len(pictures), drawn=len(drawn), labels=answers, root=root, images=images)


def label_studio_config(labels: LabelSet) -> str:
    """What to paste as the labelling interface of a Label Studio project, so that it asks what the page asks."""
    choices = [*((each.title, each.name) for each in labels.classes), (SKIP_TITLE, SKIP)]
    lines = [
        "<View>",
        f"  <Header value={quoteattr(labels.question)}/>",
        f'  <Image name="{_IMAGE}" value="$image"/>',
        f'  <Choices name="{_CHOICE}" toName="{_IMAGE}" choice="single" required="true">',
        *(
            f"    <Choice value={quoteattr(title)} alias={quoteattr(name)} hotkey={quoteattr(str(key))}/>"
            if key < 10
            else f"    <Choice value={quoteattr(title)} alias={quoteattr(name)}/>"
            for key, (title, name) in enumerate(choices, start=1)
        ),
        "  </Choices>",
        f'  <TextArea name="{_NOTE}" toName="{_IMAGE}" placeholder="Note" maxSubmissions="1"/>',
        "</View>",
    ]
    return "\n".join(lines)


def import_labels(run: Run, labels: LabelSet, file: Path, *, coder: str | None = None) -> Imported:
    """Add the answers in a file to the run's hand labels: those that can be taken; the others are listed with reasons.

    `coder` is who gave those that name nobody. A file that is imported again adds nothing. Raises UsageError if the
    file can't be read as what its name says, and as `HandLabels.add` does.
    """
    check_file(file)
    given = coder_name(coder) if coder is not None else None
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: can't be read ({error.strerror})", subject=file) from None
    found = _csv_answers(content, file) if file.suffix.lower() == ".csv" else _json_answers(content, file)
    reader = _Reader(run, labels, given)
    refused: list[Refused] = []
    wanted: dict[tuple[str, str, int], HandLabel] = {}
    empty = 0
    for where, answer in found:
        try:
            if isinstance(answer, str):
                raise UsageError(answer)
            row = reader.row(answer)
        except UsageError as error:
            refused.append(Refused(where=where, reason=str(error)))
            continue
        if row is None:
            empty += 1
            continue
        key = (row.sha256, row.coder, row.round)
        if key not in wanted or row.at >= wanted[key].at:
            wanted[key] = row
    store = HandLabels(run)
    before = _standing(store.rows(), labels.question_key)
    new, had, older = [], 0, 0
    for key, row in wanted.items():
        there = before.get(key)
        if there is not None and _says_the_same(row, there):
            had += 1
        elif there is not None and row.at < there.at:
            older += 1
        else:
            new.append(row)
    store.add(*new)
    return Imported(
        taken=len(new),
        drawn=sum(row.sampled == DRAWN for row in new),
        had=had,
        older=older,
        empty=empty,
        refused=tuple(refused),
    )


def _standing(rows: Sequence[HandLabel], question: str) -> dict[tuple[str, str, int], HandLabel]:
    """The row that counts of each picture, coder and round."""
    return {(row.sha256, row.coder, row.round): row for row in rows if row.question == question}


def _says_the_same(row: HandLabel, there: HandLabel) -> bool:
    """Whether a row says nothing new; that it says nothing of a note, or of the sample, is not new."""
    return row.label == there.label and row.note in ("", there.note) and there.sampled in (DRAWN, row.sampled)


def _sample_name(run: Run, labels: LabelSet) -> str:
    """What a sample is known by in a file, so that its answers are known when they come back."""
    facts = run.used("samples", labels.question_key)
    if facts is None:
        return ""
    return _sha256(f"{labels.question_key}/{facts['seed']}".encode()).hexdigest()[:16]


# To a file


@until_answered
def _formats(run: Run, pictures: Sequence[str]) -> dict[str, str]:
    """The format of each picture."""
    import pyarrow as pa

    with run.database(wanted=pa.table({"sha256": pa.array(pictures, pa.string())})) as database:
        rows = database.execute(
            "SELECT sha256, min(format) FROM photos JOIN wanted USING (sha256) WHERE format IS NOT NULL GROUP BY sha256"
        ).fetchall()
    return dict(rows)


def _write_pictures(run: Run, formats: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Have pictures as files in a folder; what each is called, with the folder's name."""
    paths = {}
    for sha256, image_format in formats.items():
        path = folder / file_name(sha256, image_format)
        paths[sha256] = f"{folder.name}/{path.name}"
        try:
            with run.images.open(sha256, image_format) as picture:
                content = picture.read()
        except OSError as error:
            raise RunError(
                f"{run.location}: the picture {sha256} can't be read ({error}); bring its shard back from a copy",
                subject=sha256,
            ) from error
        try:
            folder.mkdir(exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise StorageError(f"{path}: can't be written ({error.strerror})", subject=path) from error
    return paths


def _as_csv(pictures: Sequence[Mapping[str, Any]], by_picture: Mapping[str, Sequence[HandLabel]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="")
    writer.writeheader()
    for picture in pictures:
        answers = [_answer_cells(row) for row in by_picture[picture["sha256"]]]
        writer.writerows({**picture, **cells} for cells in answers or [{}])
    return out.getvalue().encode()


def _answer_cells(row: HandLabel) -> dict[str, Any]:
    return {
        "label": row.label,
        "coder": escaped(row.coder),
        "at": row.at.astimezone(UTC).isoformat(),
        "round": row.round,
        "sampled": row.sampled,
        "note": escaped(row.note),
    }


def _as_tasks(base: str, pictures: Sequence[Mapping[str, Any]], by_picture: Mapping[str, Sequence[HandLabel]]) -> bytes:
    tasks = []
    for number, picture in enumerate(pictures, start=1):
        data = {**picture, "image": base + picture["image"]}
        answers = by_picture[picture["sha256"]]
        tasks.append({"id": number, "data": data, "annotations": [_annotation(row) for row in answers]})
    return json.dumps(tasks, indent=1).encode()


def _annotation(row: HandLabel) -> dict[str, Any]:
    at = row.at.astimezone(UTC).isoformat()
    # with the label, since somebody else's answer it is once that was changed
    meta = {"coder": row.coder, "label": row.label, "at": at, "round": row.round, "sampled": row.sampled}
    choice = {"choices": [row.label]}
    result: list[dict[str, Any]] = [
        {"from_name": _CHOICE, "to_name": _IMAGE, "type": "choices", "value": choice, "meta": meta}
    ]
    if row.note:
        result.append({"from_name": _NOTE, "to_name": _IMAGE, "type": "textarea", "value": {"text": [row.note]}})
    return {"result": result, "was_cancelled": False, "ground_truth": False, "created_at": at}


def _write(file: Path, content: bytes) -> None:
    """Write a file that appears whole, or not at all."""
    temporary = file.with_name(f".tmp-{os.getpid()}-{file.name}")
    try:
        try:
            with temporary.open("xb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{file}: can't be written ({error.strerror})", subject=file) from error


# From a file


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What a file says of a picture, as it says it."""

    pictures: tuple[str, ...]
    label: Any
    coder: Any = None
    at: Any = None
    round: Any = None
    question: Any = None
    sample: Any = None
    sampled: Any = None
    note: Any = None


class _Reader:
    """What a file says -> a hand label on one question of a run, for pictures that it has."""

    def __init__(self, run: Run, labels: LabelSet, coder: str | None) -> None:
        self.labels = labels
        self.coders = {row.coder for row in HandLabels(run).rows()}
        if coder is not None:
            check_spelling(coder, self.coders)
        self.coder = coder
        self.now = datetime.now(UTC)
        self.sample = _sample_name(run, labels)
        frame = read_sample(run, labels.question_key)
        self.drawn = set() if frame is None else set(frame.sha256[frame.drawn].tolist())
        self.known = _known(run, frame)
        said = {each.title: each.name for each in labels.classes} | {SKIP_TITLE: SKIP, SKIP: SKIP}
        said |= {name: name for name in labels.class_names}
        self.names = {_folded(each): name for each, name in said.items()}

    def row(self, answer: _Answer) -> HandLabel | None:
        """The hand label, or None if there is no answer. Raises UsageError, saying why, if it can't be taken."""
        label = self._label(answer.label)
        if label is None:
            return None
        if len(answer.pictures) != 1:
            what = "no picture" if not answer.pictures else "two pictures"
            raise UsageError(f"names {what}: the sha256 is wanted, in a field of that name or in the name of the file")
        (sha256,) = answer.pictures
        if sha256 not in self.known:
            raise UsageError(f"is of the picture {sha256[:12]}…, which this run does not have")
        question = _text(answer.question)
        if question and question != self.labels.question_key:
            raise UsageError(f"answers another question, {question[:60]!r} and not {self.labels.question_key!r}")
        name = _text(answer.coder) or self.coder
        if not name:
            raise UsageError("names nobody who says so: give the name with --coder")
        coder = coder_name(name)
        check_spelling(coder, self.coders)
        from_sample = self.sample != "" and _text(answer.sample) == self.sample and sha256 in self.drawn
        row = HandLabel(
            sha256=sha256,
            label=label,
            coder=coder,
            at=self._time(answer.at),
            question=self.labels.question_key,
            round=_round(answer.round),
            sampled=DRAWN if from_sample and _text(answer.sampled) != BY_HAND else BY_HAND,
            note=answer.note if isinstance(answer.note, str) else "",
        )
        self.coders.add(coder)
        return row

    def _label(self, value: Any) -> str | None:
        chosen = value.get("choices") if isinstance(value, dict) else value
        if isinstance(chosen, list):
            if len(chosen) > 1:
                raise UsageError(f"has {len(chosen)} answers, and one class is asked for")
            chosen = chosen[0] if chosen else None
        text = _text(chosen)
        if text and _folded(text) not in self.names:
            classes = ", ".join((*self.labels.class_names, SKIP))
            raise UsageError(f"says {text[:60]!r}, which is no class; the classes are {classes}")
        return self.names[_folded(text)] if text else None

    def _time(self, value: Any) -> datetime:
        """When it was said, in UTC, which is taken for the zone where none is stated; never later than now."""
        text = _text(value)
        try:
            at = datetime.fromisoformat(text) if text else self.now
        except ValueError:
            raise UsageError(f"has the time {text[:40]!r}; one is 2026-11-22T10:00:00Z, or left out") from None
        try:
            at = at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
        except OverflowError:
            raise UsageError(f"has the time {text[:40]!r}, which is in no year of UTC") from None
        if at > self.now + _AHEAD:
            raise UsageError(f"has the time {text[:40]!r}, which is yet to come")
        return min(at, self.now)


@until_answered
def _known(run: Run, frame: Frame | None) -> set[str]:
    """Every image that the run has, and every picture that could be drawn."""
    with run.database() as database:
        rows = database.execute("SELECT DISTINCT sha256 FROM photos WHERE status = 'ok'").fetchall()
    return {sha256 for (sha256,) in rows} | (set() if frame is None else set(frame.sha256.tolist()))


def _round(value: Any) -> int:
    text = _text(value) or str(BLIND)
    if text not in (str(BLIND), str(SETTLING)):
        raise UsageError(f"is of round {text[:20]!r}: {BLIND} is blind, {SETTLING} settles")
    return int(text)


def _folded(text: str) -> str:
    """A class as people write it: capitals, blanks and dashes make no other."""
    return re.sub(r"[\s_-]+", " ", text).strip().casefold()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise UsageError(f"has {json.dumps(value)[:60]} where a text should be")


def _who(value: Any) -> Any:
    """A person as Label Studio states one: by e-mail, else by number."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    number = isinstance(value, int) or (isinstance(value, str) and value.strip().isdecimal())
    return f"user {value}" if number and not isinstance(value, bool) else value


def _pictures(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The pictures that a record names: in fields of its own, or else in any."""

    def named(fields: Iterable[Any]) -> tuple[str, ...]:
        texts = [value.lower() for value in fields if isinstance(value, str)]
        return tuple(dict.fromkeys(found for text in texts for found in _SHA256.findall(text)))

    return named((values.get("sha256"), values.get("image"))) or named(values.values())


def _flat(values: Mapping[str, Any]) -> _Answer:
    """A record that has everything side by side: a row of a CSV, an item of JSON-MIN."""

    def first(names: Sequence[str]) -> Any:
        return next((values[name] for name in names if values.get(name) not in (None, "")), None)

    note = values.get(_NOTE)
    if isinstance(note, dict):
        note = note.get("text")
    return _Answer(
        pictures=_pictures(values),
        label=first(_LABEL_FIELDS),
        coder=values.get("coder") or _who(first(_CODER_FIELDS)),
        at=first(_TIME_FIELDS),
        round=values.get("round"),
        question=values.get("question"),
        sample=values.get("sample"),
        sampled=values.get("sampled"),
        note="\n".join(map(str, note)) if isinstance(note, list) else note,
    )


def _csv_answers(content: bytes, file: Path) -> Iterator[tuple[str, _Answer | str]]:
    """Each row that holds something, with its line."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{file}, line {line} is not UTF-8; in a spreadsheet, save as “CSV UTF-8”", subject=file
        ) from None
    delimiter = max(",;\t", key=re.split("[\r\n]", text, maxsplit=1)[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        header = [cell.strip().casefold() for cell in next(reader, [])]
        if not set(_LABEL_FIELDS) & set(header):
            raise UsageError(
                f"{file}: needs a column label, beside sha256 or image; its columns are {_short(', '.join(header))}",
                subject=file,
            )
        escapes = "sample" in header  # as our own files have them
        line = reader.line_num + 1
        for cells in reader:
            where, line = f"line {line}", reader.line_num + 1
            if len(cells) > len(header) and any(map(str.strip, cells[len(header) :])):
                yield where, f"has {len(cells)} cells under {len(header)} columns"
            elif any(map(str.strip, cells)):
                values = {name: cell for name, cell in zip(header, cells, strict=False) if cell.strip()}
                if escapes:
                    values |= {name: unescaped(values[name]) for name in ("coder", "note") if name in values}
                yield where, _flat(values)
    except csv.Error as error:
        raise UsageError(f"{file}, line {line} is no CSV: {error}", subject=file) from None


def _json_answers(content: bytes, file: Path) -> Iterator[tuple[str, _Answer | str]]:
    """Each annotation of each task, with its number."""
    try:
        tasks = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is no JSON: {_short(str(error))}", subject=file) from None
    if isinstance(tasks, dict):
        tasks = [tasks]
    if not isinstance(tasks, list):
        raise UsageError(f"{file} holds no list of tasks, as Label Studio exports one", subject=file)
    for number, task in enumerate(tasks, start=1):
        where = f"task {number}"
        if not isinstance(task, dict):
            yield where, f"is {json.dumps(task)[:40]}, and no task"
            continue
        data = task.get("data")
        annotations = task.get("annotations", task.get("completions"))
        if annotations is None and not isinstance(data, dict):
            yield where, _flat(task)
        elif not isinstance(data, dict) or not isinstance(annotations or [], list):
            yield where, "has no data and annotations as Label Studio exports them"
        elif not annotations:
            yield where, _Answer(pictures=_pictures(data), label=None)
        else:
            for place, annotation in enumerate(annotations, start=1):
                yield f"{where}, annotation {place}", _annotated(data, annotation)


def _annotated(data: Mapping[str, Any], annotation: Any) -> _Answer | str:
    """What an annotation says of a task's picture, or what is wrong with it."""
    if not isinstance(annotation, dict) or not isinstance(annotation.get("result") or [], list):
        return "is no annotation as Label Studio exports them"
    results = [each for each in annotation.get("result") or [] if isinstance(each, dict)]
    choices = [each for each in results if each.get("type") == "choices"]
    choices = [each for each in choices if each.get("from_name") == _CHOICE] or choices
    skipped = annotation.get("was_cancelled") or annotation.get("skipped")
    if not skipped and len(choices) != 1:
        return "has no choice: nothing was answered" if not choices else f"has {len(choices)} choices, one is asked for"
    label = SKIP if skipped else choices[0].get("value")
    meta = choices[0].get("meta") if choices else None
    ours = meta if isinstance(meta, dict) and "coder" in meta and label == {"choices": [meta.get("label")]} else {}
    notes = [each.get("value") for each in results if each.get("from_name") == _NOTE]
    texts = [each["text"] for each in notes if isinstance(each, dict) and "text" in each]
    lines = [text for each in texts for text in (each if isinstance(each, list) else [each]) if isinstance(text, str)]
    return _Answer(
        pictures=_pictures(data),
        label=label,
        coder=ours.get("coder") or _who(annotation.get("completed_by")),
        at=ours.get("at") or annotation.get("updated_at") or annotation.get("created_at"),
        round=ours.get("round"),
        question=data.get("question"),
        sample=data.get("sample"),
        sampled=ours.get("sampled"),
        note="\n".join(lines),
    )


def _short(text: str) -> str:
    """Somebody's text for a message: of one length, and without what a terminal would obey."""
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return text if len(text) <= 120 else f"{text[:119]}…"
