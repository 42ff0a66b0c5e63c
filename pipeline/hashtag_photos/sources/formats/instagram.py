"""Posts of Instagram as its website gets them: what Zeeschuimer captures, and 4CAT's NDJSON of it.

Three shapes: lists of items (`code`, `image_versions2`), the older graph (`shortcode`, `display_url`, `edge_…`), and
since 2026 Polaris items of grids, which hold little. A post's id is its shortcode, as in 4CAT's tables: the number that
items have is not in all of them, and the id made of it ends in the author's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hashtag_photos.records import Attachment, Post
from hashtag_photos.sources.fields import beyond, count, dig, text
from hashtag_photos.sources.formats import Format
from hashtag_photos.sources.formats.captured import (
    META,
    collected_at,
    inner,
    listed,
    made_at,
    picture,
    stated_count,
    web,
)

SOURCE = "instagram"
_MOST_PICTURES = 20  # that a post can have
# Up to the next space or mark. Letters alone would end at the vowel signs of many scripts, and at emoji
_HASHTAG = re.compile(
    r"[#＃](?!\ufe0f)([^\s#＃!-/:-@\[-^`{-~\u00a1-\u00bf\u2000-\u200b\u200e-\u206f\u3000-\u303f\uff01-\uff0f\uff1a-\uff20]+)"
)
_ITEM = ("image_versions2", "carousel_media", "display_uri")
_OBJECTS = ("image_versions2", "carousel_media", "user", "owner", "caption")
_READ = (
    *(META, "__typename", "id", "pk", "strong_id__", "code", "shortcode", "media_type", "is_video", "product_type"),
    *("taken_at", "taken_at_timestamp", "caption", "user", "owner", "accessibility_caption", "link", "is_ad"),
    *("like_count", "comment_count", "like_and_view_counts_disabled"),
    *("image_versions2", "video_versions", "carousel_media", "carousel_media_count", "display_uri"),
    *("display_url", "display_resources", "thumbnail_resources", "thumbnail_src", "dimensions", "video_url"),
    *("edge_media_to_caption", "edge_sidecar_to_children", "edge_media_preview_like", "edge_media_preview_comment"),
    # large, and about other things or people than the post
    *("edge_media_to_comment", "edge_media_to_parent_comment", "edge_media_to_tagged_user", "edge_liked_by"),
    *("edge_media_to_hoisted_comment", "edge_media_to_sponsor_user", "edge_web_media_to_related_media"),
    *("edge_related_profiles", "comments", "preview_comments", "facepile_top_likers", "top_likers", "usertags"),
    *("fb_user_tags", "coauthor_producers", "invited_coauthor_producers", "sponsor_tags", "clips_metadata"),
    *("music_metadata", "video_dash_manifest", "dash_info", "carousel_media_ids", "organic_tracking_token"),
)


def post(record: Mapping[str, Any]) -> Post:
    """One post. Raises ValueError for an advertisement, and for a post without a shortcode."""
    values = _unwrapped(record)
    code = _code(values)
    if _is_advertisement(values):
        raise ValueError(f"post {code} is an advertisement")
    if code is None:
        raise ValueError("a post without its shortcode")
    created_at, time_problem = made_at(values.get("taken_at") or values.get("taken_at_timestamp"))
    caption = _caption(values)
    return Post(
        source=SOURCE,
        id=code,
        url=_address(values, code),
        author=_author(values),
        created_at=created_at,
        time_problem=time_problem,
        text=caption,
        hashtags=tuple(hashtags_in(caption or "")),
        likes=_likes(values),
        replies=_comments(values),
        attachments=tuple(_attachments(values)),
        collected_at=collected_at(values),
        extra=beyond(values, *_READ),
        partial=values.get("_zs_partial") is True,
    )


def hashtags_in(caption: str) -> Iterator[str]:
    """The hashtags of a caption, each once: Instagram states them nowhere else."""
    yield from dict.fromkeys(_HASHTAG.findall(caption))


def _unwrapped(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first captures left the graph's `{"node": …}` around a post."""
    node = record.get("node")
    if not isinstance(node, Mapping):
        return record
    return {**{name: value for name, value in record.items() if name != "node"}, **node}


def _code(values: Mapping[str, Any]) -> str | None:
    code = values.get("code") or values.get("shortcode")
    return code if isinstance(code, str) and re.fullmatch(r"[\w-]+", code, re.ASCII) else None


def _address(values: Mapping[str, Any], code: str) -> str | None:
    """Where the post stands. The shortcode of a story kept as a highlight leads to some other post."""
    if values.get("_zs_instagram_view") == "highlight_reels":
        return None
    return f"https://www.instagram.com/p/{code}/"


def _is_advertisement(values: Mapping[str, Any]) -> bool:
    link = text(values.get("link")) or ""
    return (
        values.get("product_type") == "ad"
        or values.get("is_ad") is True
        or link.startswith("https://www.facebook.com/ads/ig_redirect")
    )


def _author(values: Mapping[str, Any]) -> str | None:
    """The author's name; their number where the name isn't there."""
    people = (inner(values, "user"), inner(values, "owner"))
    names = (person.get(name) for name in ("username", "pk", "id") for person in people)
    return next((name for name in map(text, names) if name), None)


def _caption(values: Mapping[str, Any]) -> str | None:
    caption = values.get("caption")
    return (
        text(dig(caption, "text"))
        or text(caption)
        or text(dig(values, "edge_media_to_caption", "edges", 0, "node", "text"))
    )


def _likes(values: Mapping[str, Any]) -> int | None:
    """Likes, unless their number is hidden: Instagram then gives some other one."""
    if values.get("like_and_view_counts_disabled") is True:
        return None
    stated = (
        values.get("like_count"),
        *(dig(values, f"edge_{of}", "count") for of in ("media_preview_like", "liked_by")),
    )
    return _first_count(*stated)


def _comments(values: Mapping[str, Any]) -> int | None:
    edges = ("media_preview_comment", "media_to_parent_comment", "media_to_comment")
    return _first_count(values.get("comment_count"), *(dig(values, f"edge_{of}", "count") for of in edges))


def _first_count(*stated: Any) -> int | None:
    return next((number for number in map(stated_count, stated) if number is not None), None)


def _attachments(values: Mapping[str, Any]) -> Iterator[Attachment]:
    """One picture per member of a carousel, in its order; those that a grid's item only counts are named too."""
    members = listed(values, "carousel_media") or [
        dig(edge, "node") for edge in listed(values, "edge_sidecar_to_children", "edges")
    ]
    shown = [member if isinstance(member, Mapping) else {} for member in members] or [values]
    for each in shown:
        yield _picture(each)
    for _ in range(min(count(values.get("carousel_media_count")) or 0, _MOST_PICTURES) - len(shown)):
        yield Attachment(url="")


def _picture(values: Mapping[str, Any]) -> Attachment:
    url, width, height = next((each for each in _versions(values) if web(each[0])), ("", None, None))
    return picture(url, alt=values.get("accessibility_caption"), kind=_kind(values), width=width, height=height)


def _versions(values: Mapping[str, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """A picture's addresses and sizes, the best first: the first candidate, as larger ones after it are cropped."""
    candidate = inner(values, "image_versions2", "candidates", 0)
    yield candidate.get("url"), candidate.get("width"), candidate.get("height")
    largest = inner(values, "display_resources", -1)
    yield largest.get("src"), largest.get("config_width"), largest.get("config_height")
    size = inner(values, "dimensions")
    yield values.get("display_url"), size.get("width"), size.get("height")
    yield values.get("display_uri"), None, None
    largest = inner(values, "thumbnail_resources", -1)
    yield largest.get("src"), largest.get("config_width"), largest.get("config_height")


def _kind(values: Mapping[str, Any]) -> str | None:
    shape = str(values.get("__typename"))
    is_video = values.get("is_video")
    if values.get("media_type") == 2 or is_video is True or "Video" in shape or values.get("video_versions"):
        return "video"
    if values.get("media_type") == 1 or is_video is False or "Image" in shape or "Photo" in shape:
        return "photo"
    return None


def _matches(record: Any) -> bool:
    if not isinstance(record, Mapping) or "source_platform" in record:
        return False
    values = _unwrapped(record)
    if "shortcode" in values:
        return _has_edge(values)
    named = "code" in values and ("id" in values or "pk" in values)
    return named and any(name in values for name in _ITEM) and bool(inner(values, "user") or inner(values, "owner"))


def _has_edge(values: Mapping[str, Any]) -> bool:
    return any(name.startswith("edge_") and isinstance(value, Mapping) for name, value in values.items())


def _read(record: Any) -> Iterator[Post]:
    if not isinstance(record, Mapping) or "source_platform" in record or not _is_post(_unwrapped(record)):
        raise ValueError("not a record of Instagram's website")
    yield post(record)


def _is_post(values: Mapping[str, Any]) -> bool:
    """Whether it is a post at all, be it a broken one."""
    return ("code" in values or "shortcode" in values) and (
        "display_uri" in values
        or any(isinstance(values.get(name), Mapping | list) for name in _OBJECTS)
        or _has_edge(values)
    )


FORMATS = (
    Format(
        name="instagram",
        title="Instagram posts as its website gets them (4CAT's NDJSON)",
        matches=_matches,
        read=_read,
    ),
)
