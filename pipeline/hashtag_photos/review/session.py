"""What a coder is asked next: the sample's pictures in their order, what they answered so far, and how to go back.

All of it follows from the sample and labels.csv, which are read again when they change: any number of sessions of a
run, in any number of processes, say the same. Nothing is kept in memory that a `kill -9` could lose.

In the blind round each coder is shown the same pictures in the same order, and nothing of the model or of other coders.
Who settles sees the pictures on which coders disagree, with their answers and the texts of the posts.

An answer names the picture it is for and how many rows its coder had on it when it was shown. So one that comes again
(a retry, a second tab) adds nothing, and one that comes too late is refused instead of taking another's place.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

import pyarrow.compute as pc

from hashtag_photos.errors import RunError, UsageError
from hashtag_photos.estimate import Corrected
from hashtag_photos.handlabels import (
    BLIND,
    BY_HAND,
    DRAWN,
    SETTLING,
    HandLabel,
    HandLabels,
    Verdict,
    check_spelling,
    coder_name,
)
from hashtag_photos.images import read_rgb
from hashtag_photos.labels import SKIP, LabelSet
from hashtag_photos.run import Run
from hashtag_photos.stages.correct import Evidence
from hashtag_photos.stages.group import groups_path
from hashtag_photos.stages.sample import read_sample, sample_path
from hashtag_photos.storage import until_answered

AHEAD = 2  # pictures that can be loaded before they are asked
MAX_PIXELS = 2_000_000  # of a picture as it is shown
MAX_SIDE = 8_000  # pixels, so that a long screenshot can be read
_POSTS_SHOWN = 5
_LONGEST_TEXT = 5_000  # characters of a post


class StaleAnswerError(UsageError):
    """An answer to what is no longer asked: the picture was answered, or taken back, somewhere else meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one coder said of a picture."""

    coder: str
    label: str
    note: str


@dataclass(frozen=True, kw_only=True)
class PostText:
    """A text, and how many posts with the picture say just this."""

    text: str
    posts: int


@dataclass(frozen=True, kw_only=True)
class Dispute:
    """What those who settle see besides the picture; `more_posts` have other texts than these."""

    answers: tuple[Answer, ...]
    texts: tuple[PostText, ...]
    more_posts: int


@dataclass(frozen=True, kw_only=True)
class Given:
    """The answer that undo takes back: its picture, the rows that its coder has on it, and what it was."""

    picture: str
    rows: int
    label: str


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What a coder is asked now, and how far they are.

    `picture` is None if nothing is left. `rows` are this coder's rows on it so far, `note` what they noted when they
    answered it before, and `again` whether they skipped it. `ahead` are the pictures that come next. Of `total`
    pictures `done` have an answer, `skipped` of these a skip; `in_all` are this coder's answers to the question,
    whichever pictures they are for.
    """

    picture: str | None
    rows: int
    note: str
    again: bool
    ahead: tuple[str, ...]
    done: int
    total: int
    skipped: int
    in_all: int
    last: Given | None
    dispute: Dispute | None


@dataclass(slots=True)
class _Said:
    """A coder's rows on a picture, read so far.

    `label` is the answer that counts here: in the blind round none that was given by hand, outside of the sample, which
    `stands` all the same.
    """

    rows: int = 0
    label: str = ""
    stands: bool = False
    note: str = ""
    skips: int = 0
    last: int = 0
    taken_back: bool = False

    def add(self, row: HandLabel, place: int) -> None:
        counts = row.round == SETTLING or row.sampled == DRAWN
        self.rows += 1
        self.last = place
        self.stands = bool(row.label)
        self.taken_back = not row.label
        if counts and row.label == SKIP:
            self.skips += 1
        elif not row.label and self.label == SKIP:
            self.skips -= 1
        self.label = row.label if counts else ""
        if counts and row.label:
            self.note = row.note

    @property
    def open(self) -> bool:
        """Whether it is still to be asked: without an answer, or skipped once."""
        return not self.label or (self.label == SKIP and self.skips == 1)


_NOTHING = _Said()


class Session:
    """The labelling of a run's sample on one question. Its methods can be called by several threads.

    Raises RunError if no sample was drawn.
    """

    def __init__(self, run: Run, model_key: str, labels: LabelSet) -> None:
        self.run = run
        self.model_key = model_key
        self.labels = labels
        self._hand_labels = HandLabels(run)
        self._lock = Lock()
        self._evidence_lock = Lock()
        self._looks: object = None
        self._order: dict[str, int] = {}  # drawn pictures -> place in the order of showing
        self._formats: dict[str, str] = {}
        self._texts: dict[str, tuple[tuple[PostText, ...], int]] = {}
        self._evidence: tuple[object, Evidence | None] | None = None
        with self._lock:
            self._refresh()

    def coders(self) -> list[str]:
        """Who answered so far, in any round, by name."""
        with self._lock:
            return sorted({row.coder for row in self._rows()})

    def coder(self, name: str) -> str:
        """A coder's name as it is stored. Raises UsageError for none, and for another spelling of one in this run."""
        name = coder_name(name)
        check_spelling(name, (row.coder for row in self._hand_labels.rows()))
        return name

    def next(self, coder: str, *, settle: bool = False) -> Turn:
        """What a coder is asked now."""
        with self._lock:
            return self._turn(self.coder(coder), settle)

    def answer(self, coder: str, picture: str, label: str, note: str = "", *, rows: int, settle: bool = False) -> Turn:
        """Store an answer to a picture that was shown when its coder had so many rows on it; what is asked next.

        The answer is on the disk when this returns. One that is stored already is not stored again. Raises UsageError
        for another picture or label than those that are asked, StaleAnswerError for one that is answered otherwise
        meanwhile, and RunError if it can't be stored.
        """
        if label != SKIP and label not in self.labels.class_names:
            raise UsageError(f"{label[:60]!r} is no class of {self.labels.name!r}", subject=label)
        with self._lock:
            coder = self.coder(coder)
            said = self._asked(coder, picture, settle)
            if said.rows == rows:
                self._store(coder, picture, label, note, settle)
            elif (said.label, said.note) != (label, note):
                raise StaleAnswerError("this picture was answered elsewhere meanwhile: that answer stands")
            return self._turn(coder, settle)

    def undo(self, coder: str, picture: str, *, rows: int, settle: bool = False) -> Turn:
        """Take the answer to a picture back, which is then asked again. Raises as `answer` does."""
        with self._lock:
            coder = self.coder(coder)
            said = self._asked(coder, picture, settle)
            if said.rows == rows and said.label:
                self._store(coder, picture, "", "", settle)
            elif said.label:
                raise StaleAnswerError("this picture was answered elsewhere meanwhile: that answer stands")
            return self._turn(coder, settle)

    def shares(self, coder: str, *, settle: bool = False) -> Corrected | None:
        """The corrected share of each class among the pictures, with its interval.

        In the blind round it rests on this coder's answers alone; in settling, on all that was said. None if the run
        no longer has what it is computed from.
        """
        with self._lock:
            coder = self.coder(coder)
            self._refresh()
            looks = self._looks
            if settle:
                verdicts: Mapping[str, Verdict] = self._verdicts()
            else:
                verdicts = {
                    picture: Verdict(answers={coder: said.label}, settled=None, sampled=True)
                    for picture, said in self._said(self._rows(), coder, BLIND).items()
                    if said.label and picture in self._order
                }
        with self._evidence_lock:
            if self._evidence is None or self._evidence[0] != looks:
                self._evidence = looks, Evidence.of(self.run, self.model_key, self.labels)
            evidence = self._evidence[1]
            return None if evidence is None else evidence.shares(verdicts)

    def jpeg(self, picture: str, *, settle: bool = False) -> bytes:
        """A picture that can be asked, encoded anew, of at most MAX_PIXELS pixels, MAX_SIDE at its longest side.

        Raises UsageError for any other, ImageError if it can't be decoded, and OSError if it is gone.
        """
        with self._lock:
            self._refresh()
            if picture not in (self._disputed() if settle else self._order):
                raise UsageError(f"{picture[:70]!r} is no picture that is asked", subject=picture)
            image_format = self._format(picture)
        with self.run.images.open(picture, image_format) as file:
            image = read_rgb(file)
        scale = min(1.0, math.sqrt(MAX_PIXELS / (image.width * image.height)), MAX_SIDE / max(image.size))
        image.thumbnail((max(1, image.width * scale), max(1, image.height * scale)))
        image.info.clear()  # a stranger's comment would be written as well
        out = io.BytesIO()
        image.save(out, "JPEG", quality=87)
        return out.getvalue()

    # What is asked. All below is called with the lock held.

    def _turn(self, coder: str, settle: bool) -> Turn:
        self._refresh()
        rows = self._rows()
        said = self._said(rows, coder, SETTLING if settle else BLIND)
        own = {picture: said.get(picture, _NOTHING) for picture in (self._disputed() if settle else self._order)}
        settled = self._settled() if settle else {}
        waiting = [
            picture for picture, each in own.items() if each.open and not (picture in settled and not each.label)
        ]
        waiting.sort(key=lambda picture: _when(own[picture]))  # stable: otherwise in the order of showing
        answers = {picture: settled.get(picture, "") if settle else each.label for picture, each in own.items()}
        last = max((p for p, each in own.items() if each.label), key=lambda p: own[p].last, default=None)
        picture = waiting[0] if waiting else None
        now = own[picture] if picture is not None else _NOTHING
        return Turn(
            picture=picture,
            rows=now.rows,
            note=now.note,
            again=now.label == SKIP,
            ahead=tuple(waiting[1 : 1 + AHEAD]),
            done=sum(bool(label) for label in answers.values()),
            total=len(own),
            skipped=sum(label == SKIP for label in answers.values()),
            in_all=sum(each.stands for each in said.values()),
            last=Given(picture=last, rows=own[last].rows, label=own[last].label) if last is not None else None,
            dispute=self._dispute(picture, rows) if settle and picture is not None else None,
        )

    def _asked(self, coder: str, picture: str, settle: bool) -> _Said:
        self._refresh()
        if picture not in (self._disputed() if settle else self._order):
            what = "is not disputed (any more)" if settle else "is not in the sample"
            raise StaleAnswerError(f"the picture {picture[:12]!r} {what}", subject=picture)
        return self._said(self._rows(), coder, SETTLING if settle else BLIND).get(picture, _NOTHING)

    def _store(self, coder: str, picture: str, label: str, note: str, settle: bool) -> None:
        self._hand_labels.add(
            HandLabel(
                sha256=picture,
                label=label,
                coder=coder,
                at=datetime.now(UTC),
                question=self.labels.question_key,
                round=SETTLING if settle else BLIND,
                sampled=DRAWN if picture in self._order else BY_HAND,
                note=note,
            )
        )

    def _rows(self) -> list[HandLabel]:
        """All rows on this question, as they were given."""
        return [row for row in self._hand_labels.rows() if row.question == self.labels.question_key]

    @staticmethod
    def _said(rows: Iterable[HandLabel], coder: str, in_round: int) -> dict[str, _Said]:
        said: dict[str, _Said] = {}
        for place, row in enumerate(rows):
            if row.coder == coder and row.round == in_round:
                said.setdefault(row.sha256, _Said()).add(row, place)
        return said

    def _verdicts(self) -> dict[str, Verdict]:
        return self._hand_labels.verdicts(self.labels.question_key)

    def _disputed(self) -> list[str]:
        """Pictures on which coders disagree, settled or not: those of the sample in its order, then the others."""
        found = [
            picture
            for picture, verdict in self._verdicts().items()
            if len({label for label in verdict.answers.values() if label != SKIP}) > 1
        ]
        return sorted(found, key=lambda picture: (self._order.get(picture, len(self._order)), picture))

    def _settled(self) -> dict[str, str]:
        return {picture: each.settled for picture, each in self._verdicts().items() if each.settled is not None}

    def _dispute(self, picture: str, rows: Iterable[HandLabel]) -> Dispute:
        last = {row.coder: row for row in rows if row.sha256 == picture and row.round == BLIND}
        answers = tuple(
            Answer(coder=coder, label=row.label, note=row.note) for coder, row in sorted(last.items()) if row.label
        )
        if picture not in self._texts:
            self._texts[picture] = self._posts_with(picture)
        texts, more = self._texts[picture]
        return Dispute(answers=answers, texts=texts, more_posts=more)

    # What the run holds

    def _refresh(self) -> None:
        """Read the sample again if it was replaced."""
        looks = self.run.storage.looks(sample_path(self.labels.question_key))
        if looks is not None and looks == self._looks:
            return
        frame = read_sample(self.run, self.labels.question_key)
        if frame is None or not frame.drawn.any():
            raise RunError(
                f"{self.run.location} has no sample to label for {self.labels.name!r}: draw one with "
                f"hashtag-photos review {self.run.location} --sample 200",
                subject=self.labels.name,
            )
        drawn = sorted(
            (int(position), str(sha256))
            for position, sha256, is_drawn in zip(frame.position, frame.sha256, frame.drawn, strict=True)
            if is_drawn
        )
        self._order = {sha256: place for place, (_, sha256) in enumerate(drawn)}
        self._formats = self._formats_of(list(self._order))
        self._looks = looks

    def _format(self, picture: str) -> str:
        """What an image is stored as. Raises OSError if no photo is this image."""
        if picture not in self._formats:
            self._formats |= self._formats_of([picture])
        if picture not in self._formats:
            raise FileNotFoundError(f"no photo of the run is the image {picture}")
        return self._formats[picture]

    @until_answered
    def _formats_of(self, pictures: list[str]) -> dict[str, str]:
        with self.run.database() as database:
            return dict(
                database.execute(
                    """SELECT sha256, any_value(format) FROM photos_all
                    WHERE status = 'ok' AND sha256 IN (SELECT unnest($pictures)) GROUP BY sha256""",
                    {"pictures": pictures},
                ).fetchall()
            )

    @until_answered
    def _posts_with(self, picture: str) -> tuple[tuple[PostText, ...], int]:
        """The most frequent texts of the posts that show a picture, and how many posts have others."""
        groups = self.run.read_table(groups_path(self.model_key))
        images = {picture}
        if groups is not None:
            own = groups.filter(pc.equal(groups.column("sha256"), picture)).column("picture")
            images |= set(groups.filter(pc.is_in(groups.column("picture"), own)).column("sha256").to_pylist())
        with self.run.database() as database:
            found = database.execute(
                """WITH shown AS (SELECT DISTINCT source, post_id FROM photos_all
                    WHERE status = 'ok' AND sha256 IN (SELECT unnest($images)))
                SELECT coalesce(text, ''), count(*) AS posts FROM shown
                JOIN posts ON posts.source = shown.source AND posts.id = post_id
                GROUP BY 1 ORDER BY posts DESC, 1""",
                {"images": sorted(images)},
            ).fetchall()
        texts = tuple(PostText(text=text[:_LONGEST_TEXT], posts=posts) for text, posts in found[:_POSTS_SHOWN])
        return texts, sum(posts for _, posts in found[_POSTS_SHOWN:])


def _when(said: _Said) -> tuple[int, int]:
    """What is asked first: the latest that was taken back, then what has no answer, at the end what was skipped."""
    if said.label == SKIP:
        return 2, 0
    return (0, -said.last) if said.taken_back else (1, 0)
