"""Posts from an export that somebody already has: JSON, CSV or Parquet, of a known tool or with any columns.

The format is recognised by its first records (see formats/); what no known tool wrote is read by the usual column
names of collectors, and others are named (`columns={"media": "Bild"}`). A record that can't be read is a Rejected with
its line and reason, and the rest goes on. Files stream: memory stays flat.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import pickle
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, TypeVar

from hashtag_photos.errors import SourceError, UsageError
from hashtag_photos.http import Local
from hashtag_photos.records import Attachment, Post, Rejected, same_picture
from hashtag_photos.sources.fields import (
    count,
    empty,
    hashtags,
    ident,
    literal,
    media_items,
    named,
    stated_time,
    text,
    truth,
)
from hashtag_photos.sources.files import REPEATED, fingerprint, lines_of, records
from hashtag_photos.sources.formats import Format
from hashtag_photos.sources.formats.known import FORMATS
from hashtag_photos.sources.visit import Stopped, Visit

T = TypeVar("T")

# What the exports of common collectors call each field, most specific first.
ALIASES: dict[str, tuple[str, ...]] = {
    "id": ("id_str", "id", "post_id", "tweet_id", "status_id", "uri"),  # a number may have lost its last digits
    "source": ("platform", "source"),
    "url": ("url", "post_url", "permalink", "tweet_url"),
    "author": (
        "author",
        "username",
        "user_name",
        "author_username",
        "screen_name",
        "handle",
        "account",
        "user",
        "author_id",
        "user_id",
    ),
    "created_at": (
        "created_at",
        "timestamp",
        "datetime",
        "date",
        "time",
        "created",
        "published_at",
        "published",
        "timestamp_utc",
        "posted_at",
    ),
    "collected_at": ("collected_at", "retrieved_at", "scraped_at", "collected_on"),
    "text": ("text", "full_text", "content", "body", "caption", "message", "tweet", "description"),
    "language": ("language", "lang"),
    "hashtags": ("hashtags", "tags"),
    "likes": ("likes", "like_count", "favorite_count", "favourites_count", "favorites", "likes_count", "num_likes"),
    "reposts": ("reposts", "retweet_count", "repost_count", "retweets", "reblogs_count", "share_count", "shares"),
    "replies": ("replies", "reply_count", "replies_count", "comment_count", "comments", "num_comments"),
    "sensitive": ("sensitive", "possibly_sensitive", "nsfw"),
    "media": (
        "media",
        "media_urls",
        "image_urls",
        "images",
        "photos",
        "pictures",
        "attachments",
        "media_attachments",
        "media_url",
        "image_url",
        "image",
        "photo",
        "picture",
        "attachment",
        "media_files",
    ),
    "alt": ("alt", "alt_text", "media_alt_texts", "alt_texts"),
}
_MEDIA_URL = (  # what is a picture's own address before what may be a page that shows it
    *("media_url_https", "media_url", "fullUrl", "full_url", "image_url", "url", "remote_url", "display_url"),
    *("src", "href", "file", "path"),
)
_MEDIA_ALT = ("alt", "alt_text", "ext_alt_text", "description")
_PLATFORMS = frozenset(
    (
        *("x", "twitter", "mastodon", "bluesky", "instagram", "tiktok", "tumblr", "threads", "facebook", "youtube"),
        *("reddit", "telegram", "weibo", "vk", "flickr", "pinterest", "gab", "truthsocial"),
    )
)
_COUNTS = ("likes", "reposts", "replies")
_PEEK = 1000  # records looked at before anything is collected
_COLUMNS = "columns"  # the format that is none: columns by their usual names


@dataclass(frozen=True, kw_only=True)
class Exported:
    """An export. Make one with `exported()`."""

    path: str
    columns: Mapping[str, str] = field(default_factory=dict)
    files: str | None = None
    format: str | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.columns) - set(ALIASES))
        if unknown:
            raise UsageError(
                f"columns: there is no field {unknown[0]!r}; the fields are {', '.join(ALIASES)}", subject=unknown[0]
            )
        if self.format is not None and self.format not in (_COLUMNS, *FORMATS):
            raise UsageError(
                f"there is no format {self.format!r}; the formats are {', '.join((_COLUMNS, *FORMATS))}",
                subject=self.format,
            )

    @property
    def title(self) -> str:
        return f"posts of {self.path}" + (f" as {self.format}" if self.format else "")

    @property
    def recognised(self) -> str | None:
        return f"{self._format.name}: {self._format.title}" if self._format else None

    @property
    def format_title(self) -> str:
        """What the export was recognised as, for people. Reading raises SourceError."""
        return self._format.title if self._format else "any columns"

    def asked(self) -> dict[str, Any]:
        return {
            "kind": "exported",
            "path": self.path,
            "columns": dict(self.columns),
            "files": self.files,
            "format": self.format,
        }

    def check(self) -> None:
        if self.files is not None and not Path(self.files).is_dir():
            raise SourceError(
                f"{self.files}: no such folder (given as the place of local pictures)", subject=self.files
            )
        if not _first(records(self.path)):
            raise SourceError(
                f"{self.path}: there are no posts in it; export again, or give another file with --posts "
                "(a folder of pictures is given with --images)",
                subject=self.path,
            )
        if self._format is None:
            self._check_columns()
        elif self.format is None:
            self._check_guess(self._format)
        bad: Rejected | None = None
        with suppress(Stopped):
            for each in self.posts():
                if isinstance(each, Post):
                    return
                bad = bad or each
        if bad is None:
            raise SourceError(f"{self.path}: there are no posts in it", subject=self.path)
        raise SourceError(
            f"{self.path}: no line can be read as a post (line {bad.line}: {bad.reason}); "
            "one JSON object, or one CSV row under a header, is expected for each post",
            subject=self.path,
        )

    def _check_columns(self) -> None:
        """Raise SourceError if the columns that are needed are nowhere. Objects need not have all of them."""
        names: dict[str, None] = {}
        missing: list[str] = []
        with suppress(Stopped):
            for record in records(self.path):
                values = {} if isinstance(record, Rejected) or not isinstance(record[1], Mapping) else record[1]
                names.update(dict.fromkeys(values))
                missing = [name for name in self.columns.values() if name not in names]
                if names and not missing and _columns_of("media", names, self.columns):
                    break
        repeated = [name.partition(REPEATED)[0] for name in names if REPEATED in name]
        if repeated:
            raise SourceError(
                f"{self.path}: two columns are named {repeated[0]!r}; rename one, so that the right one is read",
                subject=self.path,
            )
        if names and missing:
            wanted = next(field for field, name in self.columns.items() if name == missing[0])
            raise SourceError(
                f"{self.path}: there is no column {missing[0]!r} for {wanted}; the columns are {_listed(names)}",
                subject=missing[0],
            )
        if names and not _columns_of("media", names, self.columns):
            raise SourceError(
                f"{self.path}: no column with the addresses of pictures among {_listed(names)}; "
                "name it with --columns media=NAME, or the tool that wrote the export with --format",
                subject=self.path,
            )

    def _check_guess(self, guess: Format) -> None:
        """Raise SourceError if a format was recognised that finds no picture, where a column by its name has some."""
        if any(isinstance(each, Post) and each.attachments for each in _first(self.posts())):
            return
        for record in _first(records(self.path)):
            if isinstance(record, Rejected) or not isinstance(record[1], Mapping):
                continue
            for name in _columns_of("media", record[1], {}):
                if _may_be_an_address(record[1][name]):
                    raise SourceError(
                        f"{self.path}: looks like {guess.title}, but has its pictures in {name!r}: say which it is, "
                        f"with --format columns or --format {guess.name}",
                        subject=name,
                    )

    def state(self) -> str:
        return fingerprint(self.path)

    def size(self) -> int | None:
        return lines_of(self.path)

    def posts(self, visit: Visit = Visit()) -> Iterator[Post | Rejected]:  # noqa: B008  it is frozen
        if self._format is None or self._format.row_per_picture:
            yield from _merged(self._posts_by_line())
        else:
            yield from _whole_ones_first(self._posts_by_line())

    @cached_property
    def _format(self) -> Format | None:
        """The format asked for, or the one that most of the first records are of; None for columns of any names."""
        if self.format is not None or self.columns:
            return FORMATS.get(self.format or _COLUMNS)
        first = [each[1] for each in _first(records(self.path)) if not isinstance(each, Rejected)]
        matching = {each: sum(map(each.matches, first)) for each in FORMATS.values()}
        best = max(matching, key=lambda each: matching[each])
        return best if matching[best] * 2 > len(first) else None  # one stray line is not what the file is

    def _posts_by_line(self) -> Iterator[Post | Rejected]:
        with closing(_Anonymous()) as anonymous:
            yield from self._posts_of_records(anonymous)

    def _posts_of_records(self, anonymous: _Anonymous) -> Iterator[Post | Rejected]:
        layouts: dict[tuple[str, ...], _Layout] = {}  # lines mostly share one set of columns
        for record in records(self.path):
            if isinstance(record, Rejected):
                yield record
                continue
            line, values = record
            try:
                found = self._format.read(values) if self._format else (self._post(values, line, layouts),)
                found = list(found)
            except (ValueError, TypeError, AttributeError, KeyError) as error:
                yield Rejected(line=line, reason=str(error))
                continue
            except RecursionError:
                yield Rejected(line=line, reason="nested too deeply")
                continue
            for post in found:
                if isinstance(post, Rejected) or post.id:
                    yield replace(post, line=line) if post.line is None else post
                else:
                    yield replace(post, id=anonymous.name(values), line=line)

    def local(self) -> AbstractContextManager[Local]:
        if self.files is not None and not Path(self.files).is_dir():
            raise SourceError(
                f"{self.files}: the folder of local pictures isn't there now; bring it back, then run the same command "
                "again",
                subject=self.files,
            )
        files = self.files or (self.path if Path(self.path).is_dir() else None)  # pictures lie beside their metadata
        return nullcontext(Local(files=(Path(files),) if files else ()))

    def _post(self, values: Any, line: int, layouts: dict[tuple[str, ...], _Layout]) -> Post:
        if not isinstance(values, Mapping):
            hint = " (a list of posts becomes lines with: jq -c '.[]')" if isinstance(values, list) else ""
            raise ValueError(f"not a JSON object{hint}")
        names = tuple(values)
        if names not in layouts:
            layouts[names] = _Layout(names, self.columns)
        layout = layouts[names]
        stated = layout.read(values)
        get = stated.get
        # what stands in a column of ours and can't be what we take it for
        unread = {name: get(name) for name in _COUNTS if name in stated and count(get(name)) is None}
        created_at, time_problem = stated_time(layout.moment(values) if layout.parts else get("created_at"))
        collected_at, unclear = stated_time(get("collected_at"))
        if unclear:
            unread["collected_at"] = get("collected_at")
        url, media = text(get("url")), get("media")
        if media is None:
            unread |= layout.no_pictures(values)
        return Post(
            source=self._platform(get("source"), unread),
            id=ident(get("id")) or url or "",
            url=url,
            author=text(named(get("author"), "username", "screen_name", "handle", "acct", "name", "id")),
            created_at=created_at,
            time_problem=time_problem,
            text=text(get("text")),
            language=text(get("language")),
            hashtags=hashtags(get("hashtags")),
            likes=count(get("likes")),
            reposts=count(get("reposts")),
            replies=count(get("replies")),
            sensitive=truth(get("sensitive")),
            attachments=() if media is None else tuple(self._attachments(media, get("alt"), unread)),
            collected_at=collected_at,
            extra=layout.beyond(values) | unread or None,
            line=line,
        )

    def _platform(self, stated: Any, unread: dict[str, Any]) -> str:
        """The platform that a post is of, if the column is named, or holds one: on X it may be the app."""
        name = text(stated)
        if name is None or ("source" not in self.columns and name.casefold() not in _PLATFORMS):
            if name is not None:
                unread["source"] = name
            return "exported"
        return "x" if name.casefold() == "twitter" else name.casefold() if name.casefold() in _PLATFORMS else name

    def _attachments(self, media: Any, alt: Any, unread: dict[str, Any]) -> Iterator[Attachment]:
        items = media_items(media)
        alts = _alts(alt, len(items))
        if alts is None:
            unread["alt"] = alt  # which of them is whose can't be told
        for number, item in enumerate(items):
            # an attachment without an address is still an attachment: the downloader says that it can't be had
            if not isinstance(item, Mapping):
                yield Attachment(url=self._address(text(item) or ""), alt=text(alts[number]) if alts else None)
                continue
            yield Attachment(
                url=self._address(text(named(item, *_MEDIA_URL)) or ""),
                alt=text(named(item, *_MEDIA_ALT)),
                kind=text(item.get("type")),
                width=count(item.get("width")),
                height=count(item.get("height")),
            )

    def _address(self, url: str) -> str:
        """Web addresses as they are; anything else is a local file, below the folder that the user named."""
        if not url or url.startswith("https://") or re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", url):
            return url
        if url.startswith("//"):
            return f"https:{url}"
        return (Path(self.files or Path(self.path).parent) / url).absolute().as_uri()


def exported(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    files: str | Path | None = None,
    format: str | None = None,
) -> Exported:
    """Posts from a JSON, JSON Lines, CSV or Parquet file, or from a folder of JSON files.

    `format` is the tool that wrote it (see formats/), where that isn't to be recognised.

    `columns` names columns that have unusual names, as {field: column}. `files` is the folder below which local files
    may be attachments; without it none may.

    Raises UsageError for an unknown field or format; reading raises SourceError.
    """
    return Exported(
        path=str(Path(path).expanduser().resolve()),
        columns=dict(columns or {}),
        files=None if files is None else str(Path(files).expanduser().resolve()),
        format=format,
    )


def _first(items: Iterator[T]) -> list[T]:
    """The first of them, as far as they go."""
    found: list[T] = []
    with suppress(Stopped):  # that it breaks off is said when it is collected
        for item in itertools.islice(items, _PEEK):
            found.append(item)
    return found


def _whole_ones_first(posts: Iterable[Post | Rejected]) -> Iterator[Post | Rejected]:
    """Posts that a file has only a part of after all others: what has more of them then counts."""
    ended: Stopped | None = None
    with SpooledTemporaryFile(1 << 20) as held_back:
        try:
            for post in posts:
                if isinstance(post, Post) and post.partial:
                    pickle.dump(post, held_back)
                else:
                    yield post
        except Stopped as stopped:
            ended = stopped
        end = held_back.tell()
        held_back.seek(0)
        while held_back.tell() < end:
            yield pickle.load(held_back)
    if ended is not None:
        raise ended


def _merged(posts: Iterable[Post | Rejected]) -> Iterator[Post | Rejected]:
    """Rows of one post that follow each other as one post with all their pictures; rows that add nothing are repeats.

    Rows that say something else of it are not merged: their key is then not what it seems.
    """
    last: Post | None = None
    pictures: list[Attachment] = []  # of several rows
    had: set[str] = set()
    repeats = 0

    def whole() -> Iterator[Post]:
        if last is not None:
            merged = replace(last, attachments=tuple(pictures)) if pictures else last
            yield from itertools.repeat(merged, 1 + repeats)

    try:
        for post in posts:
            if last is not None and isinstance(post, Post) and post.id == last.id and _says_the_same(post, last):
                if not pictures:
                    pictures = list(last.attachments)
                    had = {same_picture(each.url) for each in pictures}
                more = [each for each in post.attachments if not each.url or same_picture(each.url) not in had]
                pictures += more
                had.update(same_picture(each.url) for each in more)
                repeats += not more and bool(post.attachments or not pictures)
                continue
            if pictures or repeats:
                yield from whole()
                pictures, repeats = [], 0
            elif last is not None:
                yield last
            last = None
            if isinstance(post, Post):
                last = post
            else:
                yield post
    except Stopped:
        yield from whole()
        raise
    yield from whole()


def _says_the_same(one: Post, other: Post) -> bool:
    return (one.source, one.text, one.created_at, one.author) == (
        other.source,
        other.text,
        other.created_at,
        other.author,
    )


class _Layout:
    """Which columns hold which field, and which hold none."""

    def __init__(self, names: tuple[str, ...], named: Mapping[str, str]) -> None:
        columns = {wanted: _columns_of(wanted, names, named) for wanted in ALIASES}
        self._present = [(wanted, found, wanted == "media") for wanted, found in columns.items() if found]
        plain = {_plain(name): name for name in names}
        # a table that has the day, the time and the zone apart
        parts = [plain[name] for name in ("date", "time", "timezone", "utc_offset") if name in plain]
        apart = "time" in plain and columns["created_at"][:1] == [plain.get("date")]
        self.parts = parts if apart else []
        taken = {name for each in columns.values() for name in each} | set(self.parts)
        self._others = [name for name in names if name not in taken]

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Each field from the first of its columns that says something."""
        stated = {}
        for wanted, columns, must_be_address in self._present:
            for column in columns:
                value = values[column]
                plain = value.__class__ is str and value and value[0] not in " [{\t\n"  # as most are
                if (plain or not empty(value)) and not (must_be_address and not _may_be_an_address(value)):
                    stated[wanted] = value
                    break
        return stated

    def no_pictures(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What stands in the columns of pictures of a post that has none."""
        columns = [name for wanted, found, _ in self._present if wanted in ("media", "alt") for name in found]
        return {name: values[name] for name in columns if not empty(values[name])}

    def moment(self, values: Mapping[str, Any]) -> str | None:
        """The stated time, where it stands in several columns."""
        return " ".join(filter(None, (text(values[name]) for name in self.parts))) or None

    def beyond(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What stands in other columns."""
        return {name: values[name] for name in self._others if not empty(values[name])}


def _columns_of(field: str, columns: Iterable[str], named: Mapping[str, str]) -> list[str]:
    """The columns that may hold a field: the one the user named, else the aliases there are, in their order."""
    if field in named:
        return [named[field]] if named[field] in columns else []
    by_plain_name: dict[str, list[str]] = {}
    for column in columns:
        by_plain_name.setdefault(_plain(column), []).append(column)
    return [column for alias in ALIASES[field] for column in by_plain_name.get(alias, ())]


def _plain(column: str) -> str:
    return re.sub(r"[\s-]+", "_", column.strip().lower())


def _may_be_an_address(value: Any) -> bool:
    """Whether a cell can hold pictures: `photo`, `0` and `yes` say only that there are some."""
    if isinstance(value, str) and value.startswith("http"):
        return True
    return not empty(value) and (not isinstance(value, (str, int, float)) or bool(re.search(r"[./\[{]", str(value))))


def _alts(alt: Any, pictures: int) -> list[Any] | None:
    """A cell of alternative texts as one for each picture; None if that can't be told."""
    if alt is None:
        return []
    if isinstance(alt, str):
        with suppress(ValueError):
            alt = literal(alt) if alt.startswith("[") else alt.split("|") if pictures > 1 else [alt]
    listed = alt if isinstance(alt, list) else [alt]
    return listed if len(listed) == pictures else None


class _Anonymous:
    """Names for records with neither id nor address: by what is in them, and by how often that came before.

    The counts are in a temporary database, on disk where they are many.
    """

    def __init__(self) -> None:
        self._counts: sqlite3.Connection | None = None

    def name(self, values: Any) -> str:
        """The same each time the file is read, whatever stands around the record."""
        if self._counts is None:
            self._counts = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._counts.execute("CREATE TABLE counts (digest TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID")
            self._counts.execute("BEGIN")
        digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:12]
        once_more = "INSERT INTO counts VALUES (?, 1) ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n"
        (count,) = self._counts.execute(once_more, (digest,)).fetchone()
        return f"row-{digest}-{count}"

    def close(self) -> None:
        if self._counts is not None:
            self._counts.close()


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
