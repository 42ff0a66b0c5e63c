"""The result of a run for a model and a label set, as plain objects, rows, CSV and JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal

from hashtag_photos.stages.caveats import PrecisionCheck, VariantTally, WithoutText, kinds_compared
from hashtag_photos.stages.coverage import Coverage
from hashtag_photos.stages.numbers import CORRECTED, RAW, SHARE, Number, numbers_csv
from hashtag_photos.stages.reviewed import Agreement, Review
from hashtag_photos.stages.timeline import Timeline
from hashtag_photos.stages.units import PICTURES
from hashtag_photos.tables import as_csv

if TYPE_CHECKING:
    import pandas

By = Literal["class", "source", "language", "time", "engagement"]
#: the tables of the classes as files, by what they are divided by
FILES: dict[By, str] = {
    "class": "tally.csv",
    "source": "tally-by-source.csv",
    "language": "tally-by-language.csv",
    "time": "timeline.csv",
    "engagement": "engagement.csv",
}
_COLUMN_NAMES = {"low": "low_95", "high": "high_95"}
_COUNTS = ("images", "images_total", "share", "low_95", "high_95", "posts", "posts_total", "photos", "photos_total")
_COLUMNS: dict[By, tuple[str, ...]] = {
    "source": ("source", "label", "kind", *_COUNTS, "collected_completely"),
    "language": ("language", "label", "kind", *_COUNTS, "collected_completely"),
    "time": (
        *("start", "end", "label", "kind", "posts", "posts_total", "share", "low_95", "high_95"),
        *("new_pictures", "new_pictures_total", "posts_collected", "attachments", "had"),
    ),
    "engagement": ("label", "posts", "posts_total", "total", "median", "p25", "p75"),
}


@dataclass(frozen=True, kw_only=True)
class ClassTally:
    """One class. `share` is of the images classified, with its 95 % Wilson interval from `low` to `high`, in which
    near-duplicates are clusters. `pictures` are distinct pictures, by the label of the image that stands for each.

    Of the posts, `reposts` are reposts of another. It is `sensitive_to_prompts` if another wording of them takes the
    share out of that interval; None where that was not computed, or where there is nothing to compare.
    """

    label: str
    title: str
    pictures: int
    images: int
    share: float | None
    low: float
    high: float
    posts: int
    reposts: int
    photos: int
    sensitive_to_prompts: bool | None


@dataclass(frozen=True, kw_only=True)
class PartTally:
    """One class in a part of the posts, those of one source or in one language: `value` says which one.

    It is counted of that part's images, posts and photos. `low` and `high` are a 95 % interval as in ClassTally.
    """

    value: str
    label: str
    images: int
    images_total: int
    share: float | None
    low: float
    high: float
    posts: int
    posts_total: int
    photos: int
    photos_total: int


@dataclass(frozen=True, kw_only=True)
class GroupTally:
    """A picture in several posts, by the image that stands for it: its images, and the posts that show any of them.

    `first_seen` is the time of the first of these posts ("2014-04-22T21:30:00Z"), None if none states its time; `label`
    what the model says of that image.
    """

    picture: str
    images: int
    posts: int
    photos: int
    first_seen: str | None
    label: str


@dataclass(frozen=True, kw_only=True)
class EngagementOf:
    """What the posts with one class got: likes, reposts and replies, `total` in all, and a post's median and quartiles.

    The `posts` are originals that state any and show the class, be it beside another: classes can add up to more than
    there are. Quartiles are interpolated between the two nearest (type 7 of Hyndman and Fan 1996,
    doi:10.1080/00031305.1996.10473566); None of no posts.
    """

    label: str
    posts: int
    total: int
    median: float | None
    p25: float | None
    p75: float | None


@dataclass(frozen=True, kw_only=True)
class Engagement:
    """What posts with pictures are weighted by: likes, reposts and replies, `total` in all.

    Of these `posts`, `weighing` state any, `reposts` are others' and count with those, and `unstated` state none.
    `classes` are what those that state any got, by what they show.
    """

    posts: int
    weighing: int
    reposts: int
    unstated: int
    total: int
    classes: tuple[EngagementOf, ...]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """The result of a run for one model and one label set. Totals are the denominators of the classes' counts.

    `precision` and `devices` are those that the vectors were computed in and on, None and empty where run.json doesn't
    tell. What was not computed is None: the shares under other wordings (`robustness`), those without pictures of words
    (`without_text`), what the precision changes (`check`), and `agreement`, without hand labels.

    `numbers` are all that there is to publish. `languages` are the first parts of language tags ("en" of
    "en-GB"), "(not stated)", or "(no language code)" where there is something else. `largest` are the pictures in the
    most posts, and in more than one. Of `not_compared` images it isn't known whether they have near-duplicates: an
    older version downloaded them. `review` is how the
    labelling stands, and why there are no corrected numbers, where there are none.
    """

    run: str
    model: str
    model_key: str
    labels: str
    labels_key: str
    margin: float
    pictures: int
    images: int
    posts: int
    photos: int
    classes: tuple[ClassTally, ...]
    numbers: tuple[Number, ...]
    engagement: Engagement
    largest: tuple[GroupTally, ...]
    not_compared: int
    review: Review
    agreement: Agreement | None
    sources: tuple[PartTally, ...]
    languages: tuple[PartTally, ...]
    coverage: Coverage
    timeline: Timeline
    precision: str | None
    devices: tuple[str, ...]
    check: PrecisionCheck | None
    without_text: WithoutText | None
    robustness: tuple[VariantTally, ...] | None

    @property
    def kinds_compared(self) -> tuple[str, ...]:
        """The kinds of other wordings that the shares were compared with; none where there is nothing to compare."""
        return kinds_compared(self.robustness or ())

    def number(self, kind: str, label: str, unit: str = PICTURES) -> Number | None:
        """The share of a class in a unit, raw, corrected or its bound; None if there is none."""
        wanted = (kind, SHARE, label, unit)
        return next((each for each in self.numbers if (each.kind, each.measure, each.label, each.unit) == wanted), None)

    def compared(self, measure: str, unit: str = PICTURES) -> Number | None:
        """The corrected `difference` or `ratio` of the first two classes, whichever has more; None if there is none."""
        pair = {each.label for each in self.classes[:2]}
        wanted = (CORRECTED, measure, unit)
        found = (each for each in self.numbers if (each.kind, each.measure, each.unit) == wanted)
        return next((each for each in found if {each.label, each.versus} == pair), None)

    def largest_move(self, label: str) -> float:
        """By how much the share of a class changes at most, up or down, with the wording of the prompts."""
        own = [each.change for each in self.robustness or () if each.label == label]
        return max((abs(change) for change in own if change is not None), default=0.0)

    def to_dataframe(self, *, by: By = "class") -> pandas.DataFrame:
        """The classes as a pandas DataFrame, as in tally.csv; `by` else as in the file of that name in FILES."""
        import pandas

        return pandas.DataFrame(self.rows(by), columns=self._columns(by))

    def to_csv(self, by: By = "class") -> str:
        """The classes as CSV; `by` else each source, each language, each bin of time, or with their engagement."""
        return as_csv(self.rows(by), self._columns(by))

    def rows(self, by: By = "class") -> list[dict[str, Any]]:
        """The same as plain rows, each with its denominators."""
        match by:
            case "class":
                return self._rows_by_class()
            case "source":
                return self._rows_by_part("source", self.sources)
            case "language":
                return self._rows_by_part("language", self.languages)
            case "time":
                return self._rows_by_time()
            case "engagement":
                return self._rows_by_engagement()

    def _columns(self, by: By) -> list[str]:
        """What the columns are called, also where there is no row."""
        return list(self._rows_by_class()[0] if by == "class" else _COLUMNS[by])

    def _rows_by_class(self) -> list[dict[str, Any]]:
        """Their `kind` is raw, but for what begins with `corrected`."""
        without = {each.label: each for each in self.without_text.classes} if self.without_text else {}
        return [
            {
                "label": each.label,
                "kind": RAW,
                "pictures": each.pictures,
                "pictures_total": self.pictures,
                **{f"pictures_{name}": value for name, value in self._share(RAW, each.label).items() if name != "n"},
                **{f"corrected_{name}": value for name, value in self._share(CORRECTED, each.label).items()},
                "images": each.images,
                "images_total": self.images,
                "share": each.share,
                "low_95": each.low,
                "high_95": each.high,
                "posts": each.posts,
                "posts_total": self.posts,
                "reposts": each.reposts,
                "photos": each.photos,
                "photos_total": self.photos,
                "collected_completely": self.coverage.collected_completely,
                "sensitive_to_prompts": each.sensitive_to_prompts,
                **{
                    f"{_COLUMN_NAMES.get(name, name)}_without_text": getattr(without.get(each.label), name, None)
                    for name in ("images", "images_total", "share", "low", "high")
                },
            }
            for each in self.classes
        ]

    def _share(self, kind: str, label: str) -> dict[str, float | int | None]:
        """The share of a class among distinct pictures, by the names of columns."""
        found = self.number(kind, label)
        names = {"share": "value", "low_95": "low", "high_95": "high", "n": "n"}
        return {name: getattr(found, field, None) for name, field in names.items()}

    def _rows_by_part(self, name: str, parts: tuple[PartTally, ...]) -> list[dict[str, Any]]:
        complete = {"kind": RAW, "collected_completely": self.coverage.collected_completely}
        return [{name if own == "value" else own: of for own, of in _named(each).items()} | complete for each in parts]

    def _rows_by_time(self) -> list[dict[str, Any]]:
        bins = {each.start: each for each in self.timeline.bins}
        rows = []
        for each in self.timeline.rows:
            own = asdict(bins[each.start])
            of_bin = {name: own[name] for name in ("end", "posts_collected", "attachments", "had")}
            rows.append(_named(each) | of_bin | {"kind": RAW, "new_pictures_total": own["new_pictures"]})
        return rows

    def _rows_by_engagement(self) -> list[dict[str, Any]]:
        return [_named(each) | {"posts_total": self.engagement.weighing} for each in self.engagement.classes]

    def to_json(self) -> str:
        """All of it as JSON."""
        facts = {each.name: _plain(getattr(self, each.name)) for each in fields(self)}
        facts["coverage"] = self.coverage.facts()
        facts["interval"] = "95 %; which errors are in it, and which are not, is said with each of the numbers"
        return json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def numbers_csv(self) -> str:
        """All numbers to publish as CSV."""
        return numbers_csv(self.numbers)

    def robustness_csv(self) -> str:
        """The classes under every other wording of the prompts as CSV."""
        rows = [asdict(each) for each in self.robustness or ()]
        return as_csv(rows, [each.name for each in fields(VariantTally)])


def _named(row: Any) -> dict[str, Any]:
    """A row of a table by the names of its columns."""
    return {_COLUMN_NAMES.get(name, name): value for name, value in asdict(row).items()}


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
