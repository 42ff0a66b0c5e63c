"""Posts of TikTok as its website gets them: what Zeeschuimer captures, and 4CAT's NDJSON of it.

A video shows by its cover, a photo post by its photos. TikTok has no alternative texts and marks no reposts. Its
addresses expire: what was captured long ago can't be had any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hashtag_photos.records import Attachment, Post
from hashtag_photos.sources.fields import beyond, dig, hashtags, text
from hashtag_photos.sources.formats import Format
from hashtag_photos.sources.formats.captured import (
    META,
    collected_at,
    listed,
    made_at,
    picture,
    stated_count,
    sure_id,
    web,
)

SOURCE = "tiktok"
_COVERS = ("cover", "originCover", "shareCover", "dynamicCover")
_SENSITIVE = 3  # the mask over videos that some may find disturbing; 4 is the one for flashing light
_READ = (
    *(META, "id", "desc", "contents", "createTime", "textLanguage", "author", "video", "imagePost", "maskType"),
    *("challenges", "textExtra", "stats", "statsV2"),
    # the author's again, where the page has them beside the post, and what is large and about others
    *("nickname", "uniqueId", "secUid", "signature", "music", "comments"),
)


def post(values: Mapping[str, Any]) -> Post:
    """One post. Raises ValueError for a live broadcast, and for a post without a sure id."""
    post_id = sure_id(values.get("id"))
    if values.get("liveRoomInfo"):
        raise ValueError(f"{post_id} is a live broadcast, not a post")
    if post_id is None:
        raise ValueError("a post without an id that is sure to its last digit")
    created_at, time_problem = made_at(values.get("createTime"))
    language = text(values.get("textLanguage"))
    return Post(
        source=SOURCE,
        id=post_id,
        url=_address(values, post_id),
        author=_name(values) or text(dig(values, "author", "id")) or text(values.get("authorId")),
        created_at=created_at,
        time_problem=time_problem,
        text=text(values.get("desc")),
        language=None if language == "un" else language,
        hashtags=tuple(_hashtags(values)),
        likes=_stat(values, "diggCount"),
        reposts=_stat(values, "shareCount"),
        replies=_stat(values, "commentCount"),
        sensitive=True if stated_count(values.get("maskType")) == _SENSITIVE else None,
        attachments=tuple(_photos(values)) or (_cover(values),),
        collected_at=collected_at(values),
        extra=_extra(values),
    )


def _extra(values: Mapping[str, Any]) -> dict[str, Any]:
    """What wasn't read. Pages that name the author beside the post do so in members called author… and avatar…"""
    unread = beyond(values, *_READ)
    return {name: value for name, value in unread.items() if not name.startswith(("author", "avatar"))}


def _name(values: Mapping[str, Any]) -> str | None:
    """The author's name as it is written after the @: pages with one post in them state it alone."""
    author = values.get("author")
    return text(dig(author, "uniqueId") if isinstance(author, Mapping) else author)


def _address(values: Mapping[str, Any], post_id: str) -> str | None:
    name = _name(values)
    return f"https://www.tiktok.com/@{name}/video/{post_id}" if name and re.fullmatch(r"[\w.]+", name) else None


def _hashtags(values: Mapping[str, Any]) -> Iterator[str]:
    """The hashtags that TikTok states, each once: in the post's list of them, and where they stand in its text."""
    in_text = [
        *listed(values, "textExtra"),
        *(each for part in listed(values, "contents") for each in listed(part, "textExtra")),
    ]
    names = [
        *(dig(each, "title") for each in listed(values, "challenges")),
        *(dig(each, "hashtagName") for each in in_text),
    ]
    seen: set[str] = set()
    for tag in hashtags(names):
        if tag.casefold() not in seen:
            seen.add(tag.casefold())
            yield tag


def _stat(values: Mapping[str, Any], name: str) -> int | None:
    stated = (stated_count(dig(values, member, name)) for member in ("stats", "statsV2"))
    return next((number for number in stated if number is not None), None)


def _photos(values: Mapping[str, Any]) -> Iterator[Attachment]:
    for image in listed(values, "imagePost", "images"):
        yield picture(
            _photo_address(image), kind="photo", width=dig(image, "imageWidth"), height=dig(image, "imageHeight")
        )


def _photo_address(image: Any) -> str:
    """The first address of a photo; HEIC, which few programs read, only if there is nothing else."""
    listings = (listed(image, name, "urlList") for name in ("imageURL", "displayImage"))
    found = [address for addresses in listings for each in addresses if (address := web(each))]
    return next((address for address in found if ".heic" not in address), found[0] if found else "")


def _cover(values: Mapping[str, Any]) -> Attachment:
    stated = (dig(values, "video", name) for name in _COVERS)
    each = (address for cover in stated for address in (cover if isinstance(cover, list) else [cover]))
    return picture(next(filter(None, map(web, each)), ""), kind="video")


def _matches(record: Any) -> bool:
    """A post has an id, a time and objects of TikTok's; gallery-dl adds its `category` to them."""
    return (
        isinstance(record, Mapping)
        and not any(name in record for name in ("source_platform", "category", "cid"))
        and "id" in record
        and "createTime" in record
        and any(isinstance(record.get(name), Mapping) for name in ("video", "imagePost", "stats", "liveRoomInfo"))
    )


def _read(record: Any) -> Iterator[Post]:
    if not isinstance(record, Mapping) or not _is_post(record):
        raise ValueError("not a record of TikTok's website")
    yield post(record)


def _is_post(values: Mapping[str, Any]) -> bool:
    """Whether it is a post at all, be it a broken one."""
    objects = ("video", "imagePost", "author", "stats", "statsV2", "liveRoomInfo")
    return (
        ("createTime" in values or "desc" in values)
        and not any(name in values for name in ("source_platform", "category"))
        and any(isinstance(values.get(name), Mapping) for name in objects)
    )


FORMATS = (
    Format(name="tiktok", title="TikTok posts as its website gets them (4CAT's NDJSON)", matches=_matches, read=_read),
)
