"""Posts from an export that somebody already has: JSON Lines, CSV or Parquet, a post per line.

The usual column names of collectors are found by themselves; others are named (`columns={"media": "Bild"}`). A line
that can't be read is a Rejected with its number and reason, and the rest goes on. Files stream: memory stays flat.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import itertools
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any

from dateutil import parser as dateparser

from hashtag_photos.errors import SourceError, UsageError
from hashtag_photos.http import Local
from hashtag_photos.records import Attachment, Post, Rejected, storable

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
_FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
_PEEK = 1000  # records looked at before anything is collected
_FIRST_YEAR, _LAST_YEAR = 1990, 2100  # before the web, and after anybody's time: not when a post was made


@dataclass(frozen=True, kw_only=True)
class Exported:
    """An export. Make one with `exported()`."""

    path: str
    columns: Mapping[str, str] = field(default_factory=dict)
    files: str | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.columns) - set(ALIASES))
        if unknown:
            raise UsageError(
                f"columns: there is no field {unknown[0]!r}; the fields are {', '.join(ALIASES)}", subject=unknown[0]
            )

    @property
    def title(self) -> str:
        return f"posts of {self.path}"

    def asked(self) -> dict[str, Any]:
        return {"kind": "exported", "path": self.path, "columns": dict(self.columns), "files": self.files}

    def check(self) -> None:
        if self.files is not None and not Path(self.files).is_dir():
            raise SourceError(
                f"{self.files}: no such folder (given as the place of local pictures)", subject=self.files
            )
        first = list(itertools.islice(self._records(), _PEEK))
        if not first:
            raise SourceError(
                f"{self.path}: there are no posts in it; export again, or give another file with --posts",
                subject=self.path,
            )
        names = list(dict.fromkeys(name for each in first if not isinstance(each, Rejected) for name in each[1]))
        for wanted, name in self.columns.items():
            if names and name not in names:
                raise SourceError(
                    f"{self.path}: there is no column {name!r} for {wanted}; the columns are {_listed(names)}",
                    subject=name,
                )
        if names and not _columns_of("media", names, self.columns):
            raise SourceError(
                f"{self.path}: no column with the addresses of pictures among {_listed(names)}; "
                "name it with --columns media=NAME",
                subject=self.path,
            )
        posts = list(itertools.islice(self.posts(), _PEEK))
        if not any(isinstance(each, Post) for each in posts):
            bad = next(each for each in posts if isinstance(each, Rejected))
            raise SourceError(
                f"{self.path}: no line can be read as a post (line {bad.line}: {bad.reason}); "
                "one JSON object, or one CSV row under a header, is expected for each post",
                subject=self.path,
            )

    def state(self) -> str:
        digest = hashlib.sha256()
        with _opened(self.path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def size(self) -> int:
        if Path(self.path).suffix.lower() == ".parquet":
            return sum(1 for _ in self._records())
        with _opened(self.path, "rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))

    def posts(self) -> Iterator[Post | Rejected]:
        last: Post | None = None
        for post in self._posts_by_line():
            if isinstance(post, Post) and last is not None and (post.source, post.id) == (last.source, last.id):
                more = tuple(each for each in post.attachments if each not in last.attachments)
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

    def _posts_by_line(self) -> Iterator[Post | Rejected]:
        layouts: dict[tuple[str, ...], dict[str, list[str]]] = {}  # lines mostly share one set of columns
        anonymous: Counter[str] = Counter()
        for record in self._records():
            if isinstance(record, Rejected):
                yield record
                continue
            line, values = record
            names = tuple(values)
            if names not in layouts:
                layouts[names] = {field: _columns_of(field, names, self.columns) for field in ALIASES}
            try:
                post = self._post(values, layouts[names])
            except (ValueError, TypeError, AttributeError) as error:
                yield Rejected(line=line, reason=str(error))
                continue
            if not post.id:  # neither id nor address: known by what is in it, and by how often that came before
                digest = _digest(values)
                anonymous[digest] += 1
                post = replace(post, id=f"row-{digest}-{anonymous[digest]}")
            yield post

    def local(self) -> AbstractContextManager[Local]:
        if self.files is not None and not Path(self.files).is_dir():
            raise SourceError(
                f"{self.files}: the folder of local pictures isn't there now; bring it back, then run the same command "
                "again",
                subject=self.files,
            )
        return nullcontext(Local(files=(Path(self.files),) if self.files else ()))

    def _records(self) -> Iterator[tuple[int, dict[str, Any]] | Rejected]:
        kind = _FORMATS.get(Path(self.path).suffix.lower())
        if kind is None:
            raise SourceError(
                f"{self.path}: the format can't be told from its name; it must end in {', '.join(_FORMATS)}",
                subject=self.path,
            )
        return {"jsonl": _json_lines, "csv": _csv_rows, "parquet": _parquet_rows}[kind](self.path)

    def _post(self, values: dict[str, Any], layout: Mapping[str, list[str]]) -> Post:
        def get(name: str) -> Any:
            """The field from the first of its columns that isn't empty."""
            return next((values[column] for column in layout[name] if not _empty(values[column])), None)

        created_at, time_problem = _time(get("created_at"))
        url = _text(get("url"))
        return Post(
            source=_text(get("source")) or "exported",
            id=_id(get("id")) or url or "",
            url=url,
            author=_text(_named(get("author"), "username", "screen_name", "handle", "acct", "name", "id")),
            created_at=created_at,
            time_problem=time_problem,
            text=_text(get("text")),
            language=_text(get("language")),
            hashtags=tuple(_hashtags(get("hashtags"))),
            likes=_count(get("likes")),
            reposts=_count(get("reposts")),
            replies=_count(get("replies")),
            sensitive=_truth(get("sensitive")),
            attachments=tuple(self._attachments(get("media"), get("alt"))),
        )

    def _attachments(self, media: Any, alt: Any) -> Iterator[Attachment]:
        items = _media_items(media)
        alts = alt if isinstance(alt, list) else [alt] if alt is not None and len(items) == 1 else []
        for number, item in enumerate(items):
            if isinstance(item, Mapping):
                url, described = _named(item, *_MEDIA_URL), _named(item, *_MEDIA_ALT)
            else:
                url, described = item, alts[number] if number < len(alts) else None
            # an attachment without an address is still an attachment: the downloader says that it can't be had
            yield Attachment(url=self._address(_text(url) or ""), alt=_text(described))

    def _address(self, url: str) -> str:
        """Web addresses as they are; anything else is a local file, below the folder that the user named."""
        if not url or re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", url):
            return url
        if url.startswith("//"):
            return f"https:{url}"
        return (Path(self.files or Path(self.path).parent) / url).absolute().as_uri()


def exported(
    path: str | Path, *, columns: Mapping[str, str] | None = None, files: str | Path | None = None
) -> Exported:
    """Posts from a JSON Lines, CSV or Parquet file.

    `columns` names columns that have unusual names, as {field: column}. `files` is the folder below which local files
    may be attachments; without it none may.

    Raises UsageError for an unknown field; reading raises SourceError.
    """
    return Exported(
        path=str(Path(path).expanduser().resolve()),
        columns=dict(columns or {}),
        files=None if files is None else str(Path(files).expanduser().resolve()),
    )


# Records of each format: (line, values) or Rejected


def _opened(path: str, mode: str, **options: Any) -> Any:
    try:
        return Path(path).open(mode, **options)
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file; give the export's path with --posts", subject=path) from None
    except IsADirectoryError:
        raise SourceError(f"{path}: is a folder; for a folder of pictures use --images", subject=path) from None
    except OSError as error:
        raise SourceError(f"{path}: can't be read ({error.strerror})", subject=path) from error


def _json_lines(path: str) -> Iterator[tuple[int, dict[str, Any]] | Rejected]:
    with _opened(path, "rb") as file:
        for line, raw in enumerate(file, start=1):
            if not raw.strip(b" \t\r\n\xef\xbb\xbf"):
                continue
            try:
                values = json.loads(raw.decode("utf-8-sig" if line == 1 else "utf-8"))
            except UnicodeDecodeError:
                yield Rejected(line=line, reason="not UTF-8 text")
            except (ValueError, RecursionError) as error:
                yield Rejected(line=line, reason=f"not JSON: {error}")
            else:
                if isinstance(values, dict):
                    yield line, values
                else:
                    hint = " (a list of posts becomes lines with: jq -c '.[]')" if isinstance(values, list) else ""
                    yield Rejected(line=line, reason=f"not a JSON object{hint}")


def _csv_rows(path: str) -> Iterator[tuple[int, dict[str, Any]] | Rejected]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with _opened(path, "r", encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header_line = file.readline()
        file.seek(0)
        delimiter = max(",;\t|", key=header_line.count)
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        header = next(rows, [])
        repeated = [name for name, count in Counter(header).items() if count > 1]
        if repeated:
            raise SourceError(
                f"{path}: two columns are named {repeated[0]!r}; rename one, so that neither is lost", subject=path
            )
        while True:
            line = rows.line_num + 1
            try:
                row = next(rows, None)
            except csv.Error as error:
                lost = f" (lines {line} to {rows.line_num} are lost by it)" if rows.line_num > line else ""
                yield Rejected(line=line, reason=f"not CSV: {error}{lost}")
                continue
            if row is None:
                return
            if not any(row):
                continue
            if len(row) != len(header):
                yield Rejected(line=line, reason=f"{len(row)} cells under {len(header)} columns")
            elif any("\udc80" <= letter <= "\udcff" for cell in row for letter in cell if letter > "\x7f"):
                yield Rejected(line=line, reason="not UTF-8 text (save it as UTF-8)")
            else:
                yield line, dict(zip(header, row, strict=True))


def _parquet_rows(path: str) -> Iterator[tuple[int, dict[str, Any]] | Rejected]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _opened(path, "rb") as file:
        try:
            line = 0
            for batch in pq.ParquetFile(file).iter_batches(batch_size=4096):
                for values in batch.to_pylist():
                    line += 1
                    yield line, values
        except (pa.ArrowException, OSError) as error:
            raise SourceError(
                f"{path}: is not a readable Parquet file ({str(error).splitlines()[0]})", subject=path
            ) from error


# Fields


def _columns_of(field: str, columns: Iterable[str], named: Mapping[str, str]) -> list[str]:
    """The columns that may hold a field: the one the user named, else the aliases there are, in their order."""
    if field in named:
        return [named[field]] if named[field] in columns else []
    by_plain_name = {re.sub(r"[\s-]+", "_", column.strip().lower()): column for column in columns}
    return [by_plain_name[alias] for alias in ALIASES[field] if alias in by_plain_name]


def _empty(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip() in ("", "[]", "{}")
    return value is None or value in ([], {}, ()) or (isinstance(value, float) and math.isnan(value))


def _media_items(media: Any) -> list[Any]:
    """A cell of media as a list: a list or an object as JSON or Python writes them, or addresses divided by blanks,
    commas, `;` or `|`."""
    if isinstance(media, str):
        media = media.strip()
        if media[:1] in ("[", "{"):
            return _media_items(_literal(media))
        divider = r"[\s|,;]+(?=https?://)" if "://" in media else r"[|;\n]"
        media = [part.strip(" |,;\n\t") for part in re.split(divider, media)]
    if isinstance(media, Mapping):
        keys = media.get("media_keys")
        media = [{"media_key": key} for key in keys] if isinstance(keys, list) else [media]
    if isinstance(media, list | tuple):
        return [item for item in media if not _empty(item)]
    if media is None:
        return []
    raise ValueError(f"media: neither an address nor a list of them: {media!r}")


def _literal(text: str) -> Any:
    """A list or an object as JSON writes it, or as Python does."""
    try:
        return json.loads(text)
    except ValueError:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise ValueError(f"not a list of addresses: {text[:60]!r}") from None


def _time(value: Any) -> tuple[datetime | None, str | None]:
    """A stated time as UTC, or what is wrong with it. A time without a zone is taken as UTC.

    What leaves something open (a day without a year, 05/04/2014, a zone by a name that several have) is no time: it
    would be filled in from the day or the machine of the run.
    """
    if value is None:
        return None, None
    try:
        if isinstance(value, datetime):
            time = value
        elif isinstance(value, bool):
            raise ValueError
        elif isinstance(value, int | float) or re.fullmatch(r"\d{9,13}(\.\d+)?", str(value)):
            number = float(value)
            time = datetime.fromtimestamp(number / 1000 if number > 1e11 else number, UTC)
        else:
            time = _parsed_time(str(value))
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        if not _FIRST_YEAR <= time.year <= _LAST_YEAR:
            raise ValueError
        return time, None
    except (ValueError, OverflowError, OSError):
        return None, f"not a time, or not a certain one: {str(value)[:60]}"


def _parsed_time(text: str) -> datetime:
    with suppress(ValueError):
        return datetime.fromisoformat(text)
    readings: set[datetime] = set()
    for default in (datetime(2001, 1, 1), datetime(2004, 12, 31)):  # noqa: DTZ001  what is missing shows by them
        for day_first in (True, False):
            with suppress(ValueError):
                readings.add(dateparser.parse(text, default=default, dayfirst=day_first, tzinfos=_zone))
    if len(readings) != 1:
        raise ValueError(text)
    (time,) = readings
    return time


def _zone(name: str | None, offset: int | None) -> tzinfo | None:
    if offset is not None:
        return timezone(timedelta(seconds=offset))
    if name is None:
        return None
    if name in ("UTC", "GMT", "Z"):
        return UTC
    raise ValueError(name)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, dict | list):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # an id that went through a spreadsheet
    return storable(str(value).strip()) or None


def _id(value: Any) -> str | None:
    """An id as text. One that lost its last digits would make different posts one: better no post than a wrong one."""
    if str(value).strip().lower() in ("nan", "none", "null"):
        return None
    if isinstance(value, float):
        rounded = abs(value) >= 2**53
    else:
        rounded = re.fullmatch(r"\d([.,]\d+)?[eE]\+\d\d", str(value).strip()) is not None
    if rounded:
        raise ValueError(f"id {value} has lost its last digits, as in a spreadsheet: export again with ids as text")
    return _text(value)


def _count(value: Any) -> int | None:
    try:
        count = value if isinstance(value, int) else int(float(str(value).replace(",", "")))
    except (ValueError, OverflowError):
        return None
    return count if abs(count) < 2**63 else None


def _truth(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
        str(value).strip().lower()
    )


def _hashtags(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        with suppress(ValueError):
            value = _literal(value) if value.lstrip().startswith("[") else re.split(r"[\s,;|]+", value)
    for item in value if isinstance(value, list) else ():
        tag = _text(_named(item, "text", "tag", "name"))
        if tag:
            yield tag.lstrip("#")


def _named(value: Any, *names: str) -> Any:
    """The first of these members that an object has; anything else as it is."""
    if not isinstance(value, Mapping):
        return value
    return next((value[name] for name in names if value.get(name)), None)


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
