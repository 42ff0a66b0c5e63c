r"""labels.csv: what people say of pictures, a row for each answer, appended and never changed.

    sha256    the picture, by its representative image
    label     name of a class, `skip` (it can't be told), or empty: an answer taken back
    coder     who says so
    at        when, UTC
    question  LabelSet.question_key: what was asked
    round     1: blind to other coders; 2: settling what they disagreed on
    note      anything; line ends, and what no text file can hold, as \n, \r, \x00, \ud800, and \ itself as \\
    sampled   drawn: answered as part of the random sample; by_hand: a picture that somebody chose

The last row of a picture, coder, question and round counts. A row is one line, and its last word is one of two of which
neither begins like the other, so that a row that was cut short (kill -9, a full disk) is known as such: readers pass
over it, and the next `add` removes it. Text that a spreadsheet would take for a formula has an apostrophe in front,
which is taken off again in reading.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from hashtag_photos.errors import RunError, RunLockedError, StorageError, UsageError
from hashtag_photos.labels import SKIP
from hashtag_photos.lease import Lease
from hashtag_photos.run import Run

LABELS = "labels.csv"
DRAWN, BY_HAND = "drawn", "by_hand"
BLIND, SETTLING = 1, 2
COLUMNS = ("sha256", "label", "coder", "at", "question", "round", "note", "sampled")

_LOCK = ".labels.lock"
_PATIENCE = 10.0  # seconds; a label is written in a few milliseconds
_LONGEST_CODER = 100
_LONGEST_NOTE = 10_000  # letters; all of them escaped it is still a cell that csv reads
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LABEL = re.compile(r"(?:[a-z][a-z0-9_]*)?")
_QUESTION = re.compile(r"\w[\w.-]*")

Classes = Callable[[str], Sequence[str] | None]
Write = Callable[[Sequence["HandLabel"]], None]


def coder_name(text: str) -> str:
    """A coder's name as it is stored: NFC, and without blanks around it. Raises UsageError if it can't be one."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name:
        raise UsageError("a coder needs a name, such as --coder anna", subject=text)
    if len(name) > _LONGEST_CODER or not name.isprintable():
        raise UsageError(
            f"{name[:60]!r} is no name of a coder: at most {_LONGEST_CODER} letters, all of them printable",
            subject=text,
        )
    return name


def check_spelling(name: str, known: Iterable[str]) -> None:
    """Raise UsageError if a coder's name differs from one that is known in capitals or in the width of letters alone.

    Two spellings would be two coders, blind to each other, and count as two people.
    """
    names = set(known)
    if name in names:
        return
    for other in sorted(names):
        if _folded(other) == _folded(name):
            raise UsageError(
                f"{name!r} is written {other!r} in this run: whoever that is goes on by that name, and anybody else "
                "needs another",
                subject=name,
            )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


@dataclass(frozen=True, slots=True, kw_only=True)
class HandLabel:
    """What a coder said of a picture: a class, `skip`, or nothing any more (""). Raises UsageError if it can't be."""

    sha256: str
    label: str
    coder: str
    at: datetime
    question: str
    round: int
    sampled: str
    note: str = ""

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):
            raise UsageError(f"{self.sha256[:70]!r} is no sha256, of 64 digits 0-9 and a-f", subject=self.sha256)
        if not _LABEL.fullmatch(self.label):
            raise UsageError(f"{self.label[:60]!r} is no name of a class", subject=self.label)
        if coder_name(self.coder) != self.coder:
            raise UsageError(f"the coder {self.coder!r} is not as coder_name gives it", subject=self.coder)
        if self.at.tzinfo is None:
            raise UsageError(f"the time {self.at} states no time zone", subject=self.at)
        try:
            self.at.astimezone(UTC)
        except OverflowError:
            raise UsageError(f"the time {self.at} is in no year of UTC", subject=self.at) from None
        if not _QUESTION.fullmatch(self.question):
            raise UsageError(f"{self.question[:60]!r} is no key of a question", subject=self.question)
        if self.round not in (BLIND, SETTLING):
            raise UsageError(f"there is no round {self.round}: 1 is blind, 2 settles", subject=self.round)
        if self.sampled not in (DRAWN, BY_HAND):
            raise UsageError(f"{self.sampled[:60]!r} is neither {DRAWN} nor {BY_HAND}", subject=self.sampled)
        if len(self.note) > _LONGEST_NOTE:
            raise UsageError(f"the note has {len(self.note):,} letters, {_LONGEST_NOTE:,} are the most", subject="note")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What all coders said of one picture: in the blind round each a class or `skip`, and what was settled on since.

    `sampled` says whether some answer was given as part of the random sample. Notes are by coder.
    """

    answers: Mapping[str, str]
    settled: str | None
    sampled: bool
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def disputed(self) -> bool:
        """Whether coders chose different classes, and nobody settled it yet."""
        return self.settled is None and len({label for label in self.answers.values() if label != SKIP}) > 1


class HandLabels:
    """The hand labels of a run. Any number of processes may read and add at the same time, also in an object store."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._rows: list[HandLabel] = []
        self._seen: object = None  # what the file looked like when it was read
        self._verdicts: dict[str, dict[str, Verdict]] = {}

    def add(self, *labels: HandLabel) -> None:
        """Append labels: they are durable when this returns, and none of them is there if it raises.

        Raises StorageError on a full disk, or if an object store can't be asked (which doesn't tell whether it got
        them; the same labels once more are the same verdict), RunLockedError if another process holds the file, and
        RunError if what stands there can't be read: nothing is changed then.
        """
        if not labels:
            return
        local = self.run.storage.local
        with self._in_store() if local is None else self._in_folder(local) as write:
            before = self.rows()
            write(labels)
            self._rows = [*before, *labels]
            self._seen, self._verdicts = self.run.storage.looks(LABELS), {}

    def rows(self) -> list[HandLabel]:
        """All labels in the order they were given. Raises RunError, naming the line, if one can't be read."""
        looks = self.run.storage.looks(LABELS)
        if looks is None or looks != self._seen:
            self._rows = self._parsed(self.run.storage.read(LABELS)) if looks is not None else []
            self._seen, self._verdicts = looks, {}
        return list(self._rows)

    def verdicts(self, question: str) -> dict[str, Verdict]:
        """What was said of each picture on a question, by sha256; answers that were taken back don't count."""
        rows = self.rows()
        if question not in self._verdicts:
            self._verdicts[question] = _verdicts(row for row in rows if row.question == question)
        return dict(self._verdicts[question])

    def _parsed(self, content: bytes) -> list[HandLabel]:
        where = f"{self.run.location.rstrip('/')}/{LABELS}"
        rows, _ = _records(content, where)
        return [_label(cells, line, where, self._classes) for line, cells in rows]

    def _classes(self, question: str) -> Sequence[str] | None:
        """Names of the classes of a question that a sample was drawn for."""
        facts = self.run.used("samples", question)
        return facts["classes"] if facts is not None else None

    @contextmanager
    def _in_folder(self, local: Path) -> Iterator[Write]:
        """What appends to the file, which nobody else writes to meanwhile."""

        def write(labels: Sequence[HandLabel]) -> None:
            try:
                _append(local / LABELS, labels)
            except OSError as error:
                raise _not_stored(error, local / LABELS) from error

        lock = FileLock(local / _LOCK, timeout=_PATIENCE)
        try:
            lock.acquire()
        except Timeout:
            raise RunLockedError(
                f"{local / LABELS} is held by another process: wait until it ends and answer again; "
                "this label was not stored",
                subject=self.run.location,
            ) from None
        except OSError as error:
            raise _not_stored(error, local / LABELS) from error
        try:
            yield write
        finally:
            lock.release()

    @contextmanager
    def _in_store(self) -> Iterator[Write]:
        """What puts a longer file in place of the old one, which nobody else does meanwhile."""
        storage, lease = self.run.storage, Lease(self.run.storage, _LOCK)

        def write(labels: Sequence[HandLabel]) -> None:
            content = storage.read(LABELS) if storage.looks(LABELS) is not None else b""
            _, whole = _records(content, f"{self.run.location}/{LABELS}")
            content = content[:whole] + b"\n" * (whole > 0 and content[whole - 1 : whole] not in (b"\r", b"\n"))
            rows = [*([] if content else [COLUMNS]), *map(_cells, labels)]
            lease.check()
            storage.write(LABELS, lambda file: file.write(content + _lines(rows)))

        lease.acquire(_PATIENCE)
        try:
            yield write
        finally:
            lease.release()


# What was said


def _verdicts(rows: Iterable[HandLabel]) -> dict[str, Verdict]:
    last: dict[tuple[str, str, int], HandLabel] = {}
    for row in rows:
        key = (row.sha256, row.coder, row.round)
        last.pop(key, None)  # so that they stand in the order in which they were given
        last[key] = row
    by_picture: dict[str, list[HandLabel]] = {}
    for row in last.values():
        if row.label:
            by_picture.setdefault(row.sha256, []).append(row)
    return {sha256: _verdict(said) for sha256, said in by_picture.items()}


def _verdict(said: Sequence[HandLabel]) -> Verdict:
    settled = [row.label for row in said if row.round == SETTLING]
    return Verdict(
        answers={row.coder: row.label for row in said if row.round == BLIND},
        settled=settled[-1] if settled else None,
        sampled=any(row.sampled == DRAWN for row in said),
        notes={row.coder: row.note for row in sorted(said, key=lambda row: row.round) if row.note},
    )


# The file


def _append(path: Path, labels: Sequence[HandLabel]) -> None:
    """Rows at the end of the file, durable; what was cut short there goes. On an error the file is as before."""
    new = not path.exists()
    with path.open("xb" if new else "r+b", buffering=0) as file:  # what a buffer holds back is written by closing it
        size, whole, line_end = (0, 0, b"") if new else _whole(file, path)
        rows = [[*COLUMNS]] if whole == 0 else []
        rows += map(_cells, labels)
        left = memoryview(line_end + _lines(rows))
        try:
            if whole < size:
                file.truncate(whole)
            file.seek(whole)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                file.truncate(whole)
            raise
    if new:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _whole(file: io.FileIO, path: Path) -> tuple[int, int, bytes]:
    """How long the file is, how many of its bytes are whole rows, and the line end that the last of them lacks."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return 0, 0, b""
    file.seek(size - 1)
    if file.read(1) in b"\r\n":
        return size, size, b""
    file.seek(0)
    _, whole = _records(file.readall(), str(path))
    return size, whole, b"\n" if whole == size else b""


def _not_stored(error: OSError, path: Path) -> StorageError:
    what = "the disk is full: free some space" if error.errno == errno.ENOSPC else f"can't be written: {error.strerror}"
    return StorageError(f"{path}: {what}, and answer again; this label was not stored", subject=path)


def _records(content: bytes, where: str) -> tuple[list[tuple[int, list[str]]], int]:
    """The cells of each row with its line, and how many bytes of the file they take: a row cut short is no row.

    Raises RunError if the file is no list of such rows.
    """
    tail = 1 + max(content.rfind(b"\n"), content.rfind(b"\r"))  # where the last line begins
    try:
        text, whole = content.decode("utf-8-sig"), len(content)
    except UnicodeDecodeError as failed:
        if failed.start < tail:
            line = content.count(b"\n", 0, failed.start) + 1
            raise _damaged(where, line, "is not UTF-8; in a spreadsheet, save as “CSV UTF-8”") from None
        text, whole = content[:tail].decode("utf-8-sig"), tail  # cut in the middle of a letter
    last_line = len(re.findall("\r\n|\r|\n", text)) + 1
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as failed:
        if line < last_line or "unexpected end" not in str(failed):
            what = (
                "opens a quotation mark that nothing closes"
                if "unexpected end" in str(failed)
                else f"is no CSV: {failed}"
            )
            raise _damaged(where, line, what) from None
        whole = tail
    else:
        if rows and rows[-1][0] == last_line and whole > tail and _cut_short(rows):
            rows.pop()
            whole = tail
    if rows:
        _check_header(rows.pop(0)[1], where)
    return rows, whole


def _cut_short(rows: Sequence[tuple[int, Sequence[str]]]) -> bool:
    """Whether the last line, which has no end, is the beginning of what we would have written."""
    if len(rows) == 1:
        return ",".join(COLUMNS).startswith(",".join(rows[0][1])) and len(rows[0][1]) <= len(COLUMNS)
    cells = rows[-1][1]
    return len(cells) < len(COLUMNS) or (
        len(cells) == len(COLUMNS)
        and cells[-1] not in (DRAWN, BY_HAND)
        and any(word.startswith(cells[-1]) for word in (DRAWN, BY_HAND))
    )


def _check_header(cells: Sequence[str], where: str) -> None:
    names = [cell.strip() for cell in cells]
    if names == [*COLUMNS]:
        return
    right = f"the columns are {', '.join(COLUMNS)}"
    for sign, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and sign in names[0]:
            raise _damaged(where, 1, f"is divided by {name}; in a spreadsheet, save as CSV divided by commas")
    for name in names:
        if name not in COLUMNS:
            raise _damaged(where, 1, f"has the column {name[:60]!r}, which nobody knows here; {right}")
    for name in COLUMNS:
        if names.count(name) != 1:
            raise _damaged(where, 1, f"{'lacks the column' if name not in names else 'has twice'} {name!r}; {right}")
    raise _damaged(where, 1, f"has the columns in another order; {right}")


def _damaged(where: str, line: int, what: str) -> RunError:
    return RunError(
        f"{where}, line {line} {what}. Nothing was changed: mend that line, or bring the file back from a copy",
        subject=where,
    )


# A row


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


def _cells(row: HandLabel) -> list[str]:
    at = row.at.astimezone(UTC).isoformat()
    return [row.sha256, row.label, escaped(row.coder), at, row.question, str(row.round), escaped(row.note), row.sampled]


def _label(cells: Sequence[str], line: int, where: str, classes: Classes) -> HandLabel:
    if len(cells) != len(COLUMNS):
        raise _damaged(where, line, f"has {len(cells)} cells, not {len(COLUMNS)}")
    sha256, label, coder, at, question, round_, note, sampled = cells
    try:
        row = HandLabel(
            sha256=sha256.strip(),
            label=label.strip(),
            coder=coder_name(unescaped(coder)),
            at=datetime.fromisoformat(at.strip()),
            question=question.strip(),
            round=int(round_),
            sampled=sampled.strip(),
            note=unescaped(note),
        )
    except UsageError as error:
        raise _damaged(where, line, f"can't be read: {error}") from None
    except ValueError:
        what = f"the time {at[:40]!r}" if round_.strip() in ("1", "2") else f"the round {round_[:40]!r}"
        raise _damaged(where, line, f"can't be read: {what} is none") from None
    known = classes(row.question)
    if row.label and row.label != SKIP and known is not None and row.label not in known:
        raise _damaged(where, line, f"has the label {row.label!r}; the labels are {', '.join([*known, SKIP])}")
    return row


# what a spreadsheet would take for a formula, also behind a semicolon, which divides cells where people write 0,5
_FORMULA = re.compile("'*[=+\\-@＝＋－＠]")
_UNSAFE = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|;(?= *[=+\\-@])")
_ESCAPE = re.compile(r"\\(\\|n|r|x[0-9a-f]{2}|u[0-9a-f]{4})")
_SHORT = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}


def escaped(text: str) -> str:
    """Any text as one line that UTF-8 can hold and that no spreadsheet takes for a formula; see `unescaped`."""

    def escape(match: re.Match[str]) -> str:
        code = ord(match[0])
        return _SHORT.get(match[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")

    text = _UNSAFE.sub(escape, text)
    return f"'{text}" if _FORMULA.match(text) else text


def unescaped(text: str) -> str:
    """The text that `escaped` gave this for."""
    if text.startswith("'") and _FORMULA.match(text):
        text = text[1:]
    plain = {written: letter for letter, written in _SHORT.items()}
    return _ESCAPE.sub(lambda match: plain.get(match[0]) or chr(int(match[1][1:], 16)), text)
