"""The nouns that travel between stages, and how each stands in a table.

A post has attachments; an attachment that was fetched and is an image is a photo; distinct bytes are an image. Tables
are append-only, so an attachment that was asked for again has a row per attempt and the last one counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from itertools import accumulate
from operator import attrgetter
from typing import Any

import pyarrow as pa


class PhotoStatus(StrEnum):
    """What became of an attachment. Each is either permanent or temporary: only temporary ones are worth a retry."""

    OK = "ok"
    # permanent
    GONE = "gone"  # 404 or 410, or a file that isn't there
    REFUSED = "refused"  # any other answer in the 400s
    OPTED_OUT = "opted_out"  # the server asks that machines leave it alone (X-Robots-Tag: noai)
    BLOCKED = "blocked"  # an address that must not be asked: private, loopback, outside the named folder
    BAD_ADDRESS = "bad_address"  # no address at all, or neither http nor https
    NOT_AN_IMAGE = "not_an_image"
    BROKEN = "broken"  # an image by its first bytes that can't be decoded to the end
    TOO_LARGE = "too_large"  # more bytes or pixels than the caps
    # temporary
    TIMEOUT = "timeout"
    SERVER_ERROR = "server_error"  # an answer in the 500s
    RATE_LIMITED = "rate_limited"  # 429
    UNREACHABLE = "unreachable"  # no such host, no connection, no valid certificate
    INTERRUPTED = "interrupted"  # the connection ended before the file did

    @property
    def temporary(self) -> bool:
        """Whether asking again later may help."""
        return self in _TEMPORARY


_TEMPORARY = frozenset(
    {
        PhotoStatus.TIMEOUT,
        PhotoStatus.SERVER_ERROR,
        PhotoStatus.RATE_LIMITED,
        PhotoStatus.UNREACHABLE,
        PhotoStatus.INTERRUPTED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A picture of a post, by its address (http, https or file): a photo, or the still of a `gif` or a `video`.

    Width and height are pixels, as the source stated them.
    """

    url: str
    alt: str | None = None
    kind: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A post as its source stated it. Its key is (source, id); times are UTC.

    A stated time that is impossible or uncertain stands in `time_problem`, and `created_at` is then empty. A repost (a
    retweet, a boost, a reblog) names the post it shows in `repost_of`, and its attachments are that post's. `extra` is
    what the source said beyond these fields; `collected_at` is when, if that was not now; `line` is where it stands;
    `partial` is whether the source may have more of it elsewhere.
    """

    source: str
    id: str
    url: str | None = None
    author: str | None = None
    created_at: datetime | None = None
    time_problem: str | None = None
    edited_at: datetime | None = None
    text: str | None = None
    language: str | None = None
    hashtags: tuple[str, ...] = ()
    likes: int | None = None
    reposts: int | None = None
    replies: int | None = None
    sensitive: bool | None = None
    repost_of: str | None = None
    attachments: tuple[Attachment, ...] = ()
    collected_at: datetime | None = None
    extra: Mapping[str, Any] | None = None
    line: int | None = field(default=None, compare=False)
    partial: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """What a source holds and could not be taken as a post: counted and listed, never dropped in silence."""

    line: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incomplete:
    """A source whose posts are not all there, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """What became of one attachment in one attempt. Its key is (source, post_id, position); sizes are bytes, pixels."""

    source: str
    post_id: str
    position: int
    url: str
    status: PhotoStatus
    attempt: int
    fetched_at: datetime
    reason: str | None = None
    http_status: int | None = None
    final_url: str | None = None
    sha256: str | None = None
    size: int | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    animated: bool | None = None
    phash: str | None = None


_TIME = pa.timestamp("us", tz="UTC")
_ATTACHMENT = pa.struct(
    [
        ("url", pa.string()),
        ("alt", pa.string()),
        ("kind", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
    ]
)

POSTS = pa.schema(
    [
        ("source", pa.string()),
        ("id", pa.string()),
        ("url", pa.string()),
        ("author", pa.string()),
        ("created_at", _TIME),
        ("time_problem", pa.string()),
        ("edited_at", _TIME),
        ("text", pa.string()),
        ("language", pa.string()),
        ("hashtags", pa.list_(pa.string())),
        ("likes", pa.int64()),
        ("reposts", pa.int64()),
        ("replies", pa.int64()),
        ("sensitive", pa.bool_()),
        ("repost_of", pa.string()),
        ("attachments", pa.list_(_ATTACHMENT)),
        ("collected_at", _TIME),
        ("extra", pa.string()),  # JSON
    ]
)
_TEXTS = [each.name for each in POSTS if each.type == pa.string() and each.name != "extra"]

PHOTOS = pa.schema(
    [
        ("source", pa.string()),
        ("post_id", pa.string()),
        ("position", pa.int32()),
        ("url", pa.string()),
        ("status", pa.string()),
        ("attempt", pa.int32()),
        ("fetched_at", _TIME),
        ("reason", pa.string()),
        ("http_status", pa.int32()),
        ("final_url", pa.string()),
        ("sha256", pa.string()),
        ("size", pa.int64()),
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("animated", pa.bool_()),
        ("phash", pa.string()),
    ]
)


def embeddings_schema(dimension: int) -> pa.Schema:
    """One row per distinct image: sha256 and its unit vector of `dimension` float16 values."""
    return pa.schema([("sha256", pa.string()), ("vector", pa.list_(pa.float16(), dimension))])


def scores_schema(classes: Iterable[str]) -> pa.Schema:
    """One row per distinct image: its label, the margin between the two best classes, a probability per class."""
    return pa.schema(
        [("sha256", pa.string()), ("label", pa.string()), ("margin", pa.float32())]
        + [(probability_column(name), pa.float32()) for name in classes]
    )


def probability_column(class_name: str) -> str:
    """The column of a scores table that holds the probability of a class."""
    return f"p_{class_name}"


def posts_table(posts: Sequence[Post], **instead: list[Any]) -> pa.Table:
    """Posts as a table of the POSTS schema, with other columns `instead` of what the posts say."""
    own = [name for name in POSTS.names if name not in instead]
    columns: dict[str, list[Any]] = {name: list(map(attrgetter(name), posts)) for name in own} | instead
    for name in _TEXTS:
        columns[name] = [text if text is None or text.isascii() else storable(text) for text in columns[name]]
    columns["hashtags"] = [list(map(storable, tags)) for tags in columns["hashtags"]]
    columns["attachments"] = _attachments(columns["attachments"])
    columns["extra"] = [_as_json(extra) if extra else None for extra in columns["extra"]]
    return pa.Table.from_pydict(columns, schema=POSTS)


def _as_json(extra: Mapping[str, Any]) -> str:
    try:
        return _JSON.encode(extra)
    except RecursionError:
        return json.dumps({"unreadable": "nested too deeply"})


def _attachments(lists: Sequence[Sequence[Attachment]]) -> pa.Array:
    """A column of lists of attachments."""
    flat = [each for attachments in lists for each in attachments]
    members = [
        pa.array([_cell(value) for value in map(attrgetter(each.name), flat)], each.type) for each in _ATTACHMENT
    ]
    ends = accumulate(map(len, lists), initial=0)
    return pa.ListArray.from_arrays(list(ends), pa.StructArray.from_arrays(members, fields=list(_ATTACHMENT)))


def photos_table(photos: Iterable[Photo]) -> pa.Table:
    """Photos as a table of the PHOTOS schema."""
    return pa.Table.from_pylist([_row(photo) for photo in photos], schema=PHOTOS)


def _row(record: Any) -> dict[str, Any]:
    return {each.name: _cell(getattr(record, each.name)) for each in fields(record)}


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_cell(item) for item in value]
    return storable(value) if isinstance(value, str) else value


_JSON = json.JSONEncoder(default=str)
# servers whose addresses are signed: the same picture has another query, and often another host, each time it is stated
_SIGNED = re.compile(r"https?://[^/]*\.(?:cdninstagram\.com|fbcdn\.net|tiktokcdn[a-z-]*\.com)(/[^?]*)")


def same_picture(url: str) -> str:
    """What of an address is the same each time it is stated."""
    signed = _SIGNED.match(url)
    return signed[1] if signed else storable(url)


def storable(text: str) -> str:
    """Text as UTF-8 can hold it: half a letter (a lone surrogate, a stray byte of a header) becomes its \\u escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
