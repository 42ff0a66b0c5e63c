"""What the browser extension Zeeschuimer captured: one line per item, with the platform's own post in `data`.

An item is captured wherever it was on the screen: searches, profiles, threads, and advertisements. Seen twice, it is in
the file twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hashtag_photos.records import Post
from hashtag_photos.sources.fields import text
from hashtag_photos.sources.formats import Format, instagram, tiktok, x_web
from hashtag_photos.sources.formats.captured import META

_PLATFORMS: dict[str, Callable[[Mapping[str, Any]], Post]] = {
    "twitter.com": x_web.post,  # what X's captures are called to this day
    "x.com": x_web.post,
    "twitter": x_web.post,
    "instagram.com": instagram.post,
    "tiktok.com": tiktok.post,
}


def _matches(record: Any) -> bool:
    return isinstance(record, Mapping) and "source_platform" in record and isinstance(record.get("data"), Mapping)


def _read(record: Any) -> Iterator[Post]:
    if not isinstance(record, Mapping) or "source_platform" not in record:
        raise ValueError("not a capture of Zeeschuimer")
    platform = text(record.get("source_platform")) or "a capture that doesn't name its platform"
    if platform not in _PLATFORMS:
        raise ValueError(f"{platform} is not read: this version reads X, Instagram and TikTok")
    data = record.get("data")
    if not isinstance(data, Mapping):
        raise ValueError("a capture without data")
    yield _PLATFORMS[platform]({**data, META: record})


FORMATS = (Format(name="zeeschuimer", title="Zeeschuimer capture", matches=_matches, read=_read),)
