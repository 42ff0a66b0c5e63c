"""The nouns that travel between stages.

A post has attachments; an attachment that was fetched and is an image is a photo; distinct bytes are an image. It
imports nothing heavy: how each stands in a table is in tables.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


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
    SVG = "svg"  # a drawing made of instructions, not a photo
    VIDEO = "video"
    BROKEN = "broken"  # an image by its first bytes that can't be decoded to the end
    TOO_LARGE = "too_large"  # more bytes or pixels than the caps
    PLACEHOLDER = "placeholder"  # 1x1, or a known picture that says "image removed"
    # temporary
    TIMEOUT = "timeout"
    SERVER_ERROR = "server_error"  # an answer in the 500s
    RATE_LIMITED = "rate_limited"  # 429
    UNREACHABLE = "unreachable"  # no such host, no connection, no valid certificate
    INTERRUPTED = "interrupted"  # the connection ended before the file did
    UNSUPPORTED = "unsupported"  # a picture that this machine can't decode: HEIC without its plug-in, too little memory

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
        PhotoStatus.UNSUPPORTED,
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
    window_hashes: str | None = None
    one_shade: float | None = None
    thumbnail: str | None = None


# servers whose addresses are signed: the same picture has another query, and often another host, each time it is stated
_SIGNED = re.compile(r"https?://[^/]*\.(?:cdninstagram\.com|fbcdn\.net|tiktokcdn[a-z-]*\.com)(/[^?]*)")


def same_picture(url: str) -> str:
    """What of an address is the same each time it is stated."""
    signed = _SIGNED.match(url)
    return signed[1] if signed else storable(url)


def storable(text: str) -> str:
    """Text as UTF-8 can hold it: half a letter (a lone surrogate, a stray byte of a header) becomes its \\u escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
