"""Posts from an export that somebody already has: JSON Lines, CSV or Parquet, a post per line.

The usual column names of collectors are found by themselves; others are named (`columns={"media": "Bild"}`). A line
that can't be read is a Rejected with its number and reason, and the rest goes on. Files stream: memory stays flat.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dateutil import parser as dateparser

from hashtag_photos.errors import SourceError, UsageError
from hashtag_photos.http import Local
from hashtag_photos.records import Attachment, Post, Rejected

# What the exports of common collectors call each field, most specific first.
ALIASES: dict[str, tuple[str, ...]] = {
    "id": ("id", "post_id", "tweet_id", "status_id", "id_str", "thread_id", "uri"),
    "source": ("source", "platform"),
    "url": ("url", "post_url", "permalink", "link", "tweet_url"),
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
_MEDIA_URL = ("url", "media_url_https", "media_url", "image_url", "src", "href", "file", "path")
_MEDIA_ALT = ("alt", "alt_text", "ext_alt_text", "description")
_FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
_PEEK = 1000  # records looked at before anything is collected


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
        readable = [record for record in first if not isinstance(record, Rejected)]
        if not readable:
            bad = first[0]
            assert isinstance(bad, Rejected)
            raise SourceError(
                f"{self.path}: no line can be read as a post (line {bad.line}: {bad.reason}); "
                "one JSON object, or one CSV row under a header, is expected for each post",
                subject=self.path,
            )
        names = list(dict.fromkeys(name for _, record in readable for name in record))
        for wanted, name in self.columns.items():
            if name not in names:
                raise SourceError(
                    f"{self.path}: there is no column {name!r} for {wanted}; the columns are {_listed(names)}",
                    subject=name,
                )
        if _find("media", names, self.columns) is None:
            raise SourceError(
                f"{self.path}: no column with the addresses of pictures among {_listed(names)}; "
                "name it with --columns media=NAME",
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
        layouts: dict[tuple[str, ...], dict[str, str]] = {}  # lines mostly share one set of columns
        for record in self._records():
            if isinstance(record, Rejected):
                yield record
                continue
            line, values = record
            names = tuple(values)
            if names not in layouts:
                layouts[names] = {field: found for field in ALIASES if (found := _find(field, names, self.columns))}
            try:
                yield self._post(line, values, layouts[names])
            except (ValueError, TypeError, AttributeError) as error:
                yield Rejected(line=line, reason=str(error))

    def local(self) -> AbstractContextManager[Local]:
        return nullcontext(Local(files=(Path(self.files),) if self.files else ()))

    def _records(self) -> Iterator[tuple[int, dict[str, Any]] | Rejected]:
        kind = _FORMATS.get(Path(self.path).suffix.lower())
        if kind is None:
            raise SourceError(
                f"{self.path}: the format can't be told from its name; it must end in {', '.join(_FORMATS)}",
                subject=self.path,
            )
        return {"jsonl": _json_lines, "csv": _csv_rows, "parquet": _parquet_rows}[kind](self.path)

    def _post(self, line: int, values: dict[str, Any], layout: Mapping[str, str]) -> Post:
        def get(name: str) -> Any:
            value = values.get(layout.get(name, ""))
            return None if isinstance(value, str) and not value.strip() else value

        created_at, time_problem = _time(get("created_at"))
        url = _text(get("url"))
        return Post(
            source=_text(get("source")) or "exported",
            # without an id the address is the key; without either, the line and what is in it
            id=_id(get("id")) or url or f"line-{line}-{_digest(values)}",
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
        rows = csv.reader(file, delimiter=delimiter)
        header = next(rows, [])
        while True:
            line = rows.line_num + 1
            try:
                row = next(rows, None)
            except csv.Error as error:
                yield Rejected(line=line, reason=f"not CSV: {error}")
                continue
            if row is None:
                return
            if not any(row):
                continue
            if len(row) != len(header):
                yield Rejected(line=line, reason=f"{len(row)} cells under {len(header)} columns")
            elif any("\udc80" <= letter <= "\udcff" for cell in row for letter in cell if letter > "\x7f"):
                yield Rejected(line=line, reason="not UTF-8 text")
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


def _find(name: str, columns: Iterable[str], named: Mapping[str, str]) -> str | None:
    """The column that holds a field: the one the user named, else the first alias there is."""
    if name in named:
        return named[name] if named[name] in columns else None
    by_plain_name = {re.sub(r"[\s-]+", "_", column.strip().lower()): column for column in columns}
    return next((by_plain_name[alias] for alias in ALIASES[name] if alias in by_plain_name), None)


def _media_items(media: Any) -> list[Any]:
    """A cell of media as a list: a list or an object as JSON, or addresses divided by spaces, commas, `;` or `|`."""
    if media is None:
        return []
    if isinstance(media, str):
        media = media.strip()
        if media[:1] in "[{":
            try:
                return _media_items(json.loads(media))
            except ValueError as error:
                raise ValueError(f"media: not a list of addresses: {media[:60]!r}") from error
        divider = r"[\s|]+|[,;]\s*(?=https?://)" if "://" in media else r"\s*[|;\n]\s*"
        return [part for part in re.split(divider, media) if part]
    if isinstance(media, Mapping):
        return [media]
    if isinstance(media, list | tuple):
        return list(media)
    raise ValueError(f"media: neither an address nor a list of them: {media!r}")


def _time(value: Any) -> tuple[datetime | None, str | None]:
    """A stated time as UTC, or what is wrong with it. A time without a zone is taken as UTC."""
    if value is None:
        return None, None
    try:
        if isinstance(value, datetime):
            time = value
        elif isinstance(value, int | float) or re.fullmatch(r"\d{9,13}(\.\d+)?", str(value)):
            number = float(value)
            time = datetime.fromtimestamp(number / 1000 if number > 1e11 else number, UTC)
        else:
            try:
                time = datetime.fromisoformat(str(value))
            except ValueError:
                time = dateparser.parse(str(value))
        return (time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)), None
    except (ValueError, OverflowError, OSError):
        return None, f"not a time: {str(value)[:60]}"


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, dict | list):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # an id that went through a spreadsheet
    return str(value).strip() or None


def _id(value: Any) -> str | None:
    """An id as text. One that lost its last digits would make different posts one: better no post than a wrong one."""
    rounded = (
        abs(value) >= 2**53 if isinstance(value, float) else re.fullmatch(r"\d([.,]\d+)?[eE]\+?\d+", str(value).strip())
    )
    if rounded:
        raise ValueError(f"id {value} has lost its last digits, as in a spreadsheet: export again with ids as text")
    return _text(value)


def _count(value: Any) -> int | None:
    if value is None or isinstance(value, dict | list):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        try:
            return int(float(str(value).replace(",", "")))
        except (ValueError, OverflowError):
            return None


def _truth(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
        str(value).strip().lower()
    )


def _hashtags(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else re.split(r"[\s,;|]+", value)
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
