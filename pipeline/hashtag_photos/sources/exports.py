"""Posts from an export that somebody already has: JSON, CSV or Parquet, of a known tool or with any columns.

The format is recognised by its first records (see formats/); what no known tool wrote is read by the usual column
names of collectors, and others are named (`columns={"media": "Bild"}`). A record that can't be read is a Rejected with
its line and reason, and the rest goes on. Files stream: memory stays flat.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from hashtag_photos.errors import SourceError, UsageError
from hashtag_photos.http import Local
from hashtag_photos.records import Attachment, Post, Rejected, same_picture
from hashtag_photos.sources.fields import (
    count,
    empty,
    hashtags,
    ident,
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
    "id": ("id", "post_id", "tweet_id", "status_id", "id_str", "uri"),
    "source": ("source", "platform"),
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
        return f"posts of {self.path}"

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
        first = _first(records(self.path))
        if not first:
            raise SourceError(
                f"{self.path}: there are no posts in it; export again, or give another file with --posts "
                "(a folder of pictures is given with --images)",
                subject=self.path,
            )
        if self._format is None:
            self._check_columns(first)
        posts = _first(self.posts())
        if not any(isinstance(each, Post) for each in posts):
            bad = next(each for each in posts if isinstance(each, Rejected))
            raise SourceError(
                f"{self.path}: no line can be read as a post (line {bad.line}: {bad.reason}); "
                "one JSON object, or one CSV row under a header, is expected for each post",
                subject=self.path,
            )

    def _check_columns(self, first: Iterable[tuple[int, Any] | Rejected]) -> None:
        found = [each[1] for each in first if not isinstance(each, Rejected)]
        names = list(dict.fromkeys(name for values in found if isinstance(values, Mapping) for name in values))
        repeated = [name.partition(REPEATED)[0] for name in names if REPEATED in name]
        if repeated:
            raise SourceError(
                f"{self.path}: two columns are named {repeated[0]!r}; rename one, so that the right one is read",
                subject=self.path,
            )
        for wanted, name in self.columns.items():
            if names and name not in names:
                raise SourceError(
                    f"{self.path}: there is no column {name!r} for {wanted}; the columns are {_listed(names)}",
                    subject=name,
                )
        if names and not _columns_of("media", names, self.columns):
            raise SourceError(
                f"{self.path}: no column with the addresses of pictures among {_listed(names)}; "
                "name it with --columns media=NAME, or the tool that wrote the export with --format",
                subject=self.path,
            )

    def state(self) -> str:
        return fingerprint(self.path)

    def size(self) -> int | None:
        return lines_of(self.path)

    def posts(self, visit: Visit = Visit()) -> Iterator[Post | Rejected]:  # noqa: B008  it is frozen
        last: Post | None = None
        for post in self._posts_by_line():
            if last is not None and post.__class__ is Post and post.id == last.id and post.source == last.source:
                had = {same_picture(each.url) for each in last.attachments}
                more = tuple(each for each in post.attachments if same_picture(each.url) not in had)
                if more:  # a row per picture, as some exports have it: one post with all of them
                    last = replace(last, attachments=last.attachments + more)
                    continue
            if last is not None:
                yield last
                last = None
            if isinstance(post, Post):
                last = post
            else:
                yield post
        if last is not None:
            yield last

    @cached_property
    def _format(self) -> Format | None:
        """The format asked for, or the one that most of the first records are of; None for columns of any names."""
        if self.format is not None or self.columns:
            return FORMATS.get(self.format or _COLUMNS)
        first = [each[1] for each in _first(records(self.path)) if not isinstance(each, Rejected)]
        matching = {each: sum(map(each.matches, first)) for each in FORMATS.values()}
        best = max(matching, key=lambda each: matching[each])
        return best if matching[best] else None

    def _posts_by_line(self) -> Iterator[Post | Rejected]:
        read = self._format.read if self._format else self._reader()
        anonymous = _Anonymous()
        for record in records(self.path):
            if isinstance(record, Rejected):
                yield record
                continue
            line, values = record
            try:
                found = list(read(values))
            except (ValueError, TypeError, AttributeError, KeyError) as error:
                yield Rejected(line=line, reason=str(error))
                continue
            for post in found:
                if isinstance(post, Rejected):  # one post of a record that has several
                    yield replace(post, line=line)
                elif post.id:
                    yield post
                else:
                    yield replace(post, id=anonymous.name(values))

    def _reader(self) -> Callable[[Any], Iterable[Post | Rejected]]:
        layouts: dict[tuple[str, ...], _Layout] = {}  # lines mostly share one set of columns

        def read(values: Any) -> Iterable[Post | Rejected]:
            if not isinstance(values, Mapping):
                hint = " (a list of posts becomes lines with: jq -c '.[]')" if isinstance(values, list) else ""
                raise ValueError(f"not a JSON object{hint}")
            names = tuple(values)
            if names not in layouts:
                layouts[names] = _Layout(names, self.columns)
            return (self._post(values, layouts[names]),)

        return read

    def local(self) -> AbstractContextManager[Local]:
        if self.files is not None and not Path(self.files).is_dir():
            raise SourceError(
                f"{self.files}: the folder of local pictures isn't there now; bring it back, then run the same command "
                "again",
                subject=self.files,
            )
        files = self.files or (self.path if Path(self.path).is_dir() else None)  # pictures lie beside their metadata
        return nullcontext(Local(files=(Path(files),) if files else ()))

    def _post(self, values: Mapping[str, Any], layout: _Layout) -> Post:
        columns = layout.columns

        def get(name: str) -> Any:
            """The field from the first of its columns that isn't empty."""
            for column in columns[name]:
                value = values[column]
                plain = value.__class__ is str and value and value[0] not in " [{\t\n"  # as most are
                if plain or not empty(value):
                    return value
            return None

        created_at, time_problem = stated_time(get("created_at"))
        url = text(get("url"))
        return Post(
            source=text(get("source")) or "exported",
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
            attachments=tuple(self._attachments(get("media"), get("alt"))),
            collected_at=stated_time(get("collected_at"))[0],
            extra={name: values[name] for name in layout.others if not empty(values[name])} or None,
        )

    def _attachments(self, media: Any, alt: Any) -> Iterator[Attachment]:
        items = media_items(media)
        alts = alt if isinstance(alt, list) else [alt] if alt is not None and len(items) == 1 else []
        for number, item in enumerate(items):
            # an attachment without an address is still an attachment: the downloader says that it can't be had
            if not isinstance(item, Mapping):
                described = alts[number] if number < len(alts) else None
                yield Attachment(url=self._address(text(item) or ""), alt=text(described))
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


class _Layout:
    """Which columns hold which field, and which hold none."""

    def __init__(self, names: tuple[str, ...], named: Mapping[str, str]) -> None:
        self.columns = {wanted: _columns_of(wanted, names, named) for wanted in ALIASES}
        taken = {name for each in self.columns.values() for name in each}
        self.others = [name for name in names if name not in taken]


def _columns_of(field: str, columns: Iterable[str], named: Mapping[str, str]) -> list[str]:
    """The columns that may hold a field: the one the user named, else the aliases there are, in their order."""
    if field in named:
        return [named[field]] if named[field] in columns else []
    by_plain_name = {re.sub(r"[\s-]+", "_", column.strip().lower()): column for column in columns}
    return [by_plain_name[alias] for alias in ALIASES[field] if alias in by_plain_name]


class _Anonymous:
    """Names for records with neither id nor address: by what is in them, and by how often that came before.

    The counts are in a temporary database, on disk where they are many.
    """

    def __init__(self) -> None:
        self._counts: sqlite3.Connection | None = None

    def name(self, values: Any) -> str:
        """The same each time the file is read, whatever stands around the record."""
        if self._counts is None:
            self._counts = sqlite3.connect("", isolation_level=None)
            self._counts.execute("CREATE TABLE counts (digest TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID")
            self._counts.execute("BEGIN")
        digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:12]
        once_more = "INSERT INTO counts VALUES (?, 1) ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n"
        (count,) = self._counts.execute(once_more, (digest,)).fetchone()
        return f"row-{digest}-{count}"


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
