"""Posts as Bluesky's AppView gives them (app.bsky.feed.defs#postView), and as 4CAT stores them.

4CAT writes the objects of the Python SDK: the same members in snake_case, some records left in camelCase. Both are
read. A post's pictures are those of the view, which have addresses; its own record names them by hash only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from hashtag_photos.records import Attachment, Post
from hashtag_photos.sources.fields import beyond, count, dig, ident, stated_time, text
from hashtag_photos.sources.formats import Format

SOURCE = "bluesky"
SENSITIVE = {
    "porn",
    "sexual",
    "nudity",
    "graphic-media",
    "gore",
}  # labels that Bluesky's own app hides behind a warning
_READ = ("uri", "author", "record", "embed", "like_count", "repost_count", "reply_count", "labels", "4CAT_metadata")
_RECORD = (
    *("text", "created_at", "langs", "tags", "facets", "reply", "embed", "labels", "py_type", "$type"),
    "entities",  # what facets were before: people too
)


def post(view: Mapping[str, Any]) -> Post:
    """One post view. Raises ValueError if it has no address."""
    view = _snake(view)
    uri = ident(view.get("uri"))
    if not uri:
        raise ValueError("a post without uri")
    record = _snake(view.get("record") or {})
    created_at, time_problem = stated_time(record.get("created_at"))
    extra = beyond(view, *_READ, "py_type", "$type")
    if unread := beyond(record, *_RECORD):
        extra["record"] = unread
    if reply := dig(record, "reply", "parent", "uri"):
        extra["reply_to"] = reply
    return Post(
        source=SOURCE,
        id=uri,
        url=address(uri),
        author=_author(view.get("author")),
        created_at=created_at,
        time_problem=time_problem,
        text=text(record.get("text")),
        language=text(dig(record, "langs", 0)),
        hashtags=tuple(hashtags(record)),
        likes=count(view.get("like_count")),
        reposts=count(view.get("repost_count")),
        replies=count(view.get("reply_count")),
        sensitive=_sensitive(view, record),
        attachments=tuple(_attachments(_snake(view.get("embed") or {}))),
        collected_at=stated_time(dig(view, "4CAT_metadata", "collected_at"))[0],
        extra=extra,
    )


def _author(author: Any) -> str | None:
    """The handle, which is a name; the account's identifier where there is none that holds."""
    handle = text(dig(author, "handle"))
    return text(dig(author, "did")) if handle in (None, "handle.invalid") else handle


def address(uri: str) -> str | None:
    """Where a post stands on the web."""
    match = re.fullmatch(r"at://([^/]+)/app\.bsky\.feed\.post/([^/]+)", uri)
    return f"https://bsky.app/profile/{match[1]}/post/{match[2]}" if match else None


def hashtags(record: Mapping[str, Any]) -> Iterator[str]:
    """The tags of a record: those in its text (facets), then those beside it (tags), each once."""
    seen: set[str] = set()
    features = (each for facet in record.get("facets") or () for each in dig(facet, "features") or ())
    for tag in (*(dig(each, "tag") for each in features), *(record.get("tags") or ())):
        if isinstance(tag, str) and tag and tag.casefold() not in seen:
            seen.add(tag.casefold())
            yield tag.lstrip("#")


def _sensitive(view: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    labels = [*(view.get("labels") or ()), *(dig(record, "labels", "values") or ())]
    return any(dig(label, "val") in SENSITIVE for label in labels)


def _attachments(embed: Mapping[str, Any]) -> Iterator[Attachment]:
    if isinstance(embed.get("media"), Mapping):  # a quoted post beside the pictures
        yield from _attachments(_snake(embed["media"]))
        return
    for each in embed.get("images") or embed.get("items") or ():
        image = _snake(each)
        size = _size(image)
        yield Attachment(
            url=text(image.get("fullsize") or image.get("thumb")) or "",
            alt=text(image.get("alt")),
            kind="photo",
            **size,
        )
    if "playlist" in embed:
        yield Attachment(
            url=text(embed.get("thumbnail")) or "", alt=text(embed.get("alt")), kind="video", **_size(embed)
        )
    link = _snake(embed.get("external") or {})
    # the app posts a GIF as a link to a picture; other links are links, and their thumbnails not the post's pictures
    if urlsplit(text(link.get("uri")) or "").path.lower().endswith(".gif"):
        yield Attachment(url=text(link.get("uri")) or "", alt=text(link.get("description")), kind="gif")


def _size(media: Mapping[str, Any]) -> dict[str, int | None]:
    ratio = media.get("aspect_ratio")
    return {"width": count(dig(ratio, "width")), "height": count(dig(ratio, "height"))}


def _snake(values: Mapping[str, Any]) -> dict[str, Any]:
    return {re.sub(r"(?<=[a-z])([A-Z])", lambda m: f"_{m[1].lower()}", name): value for name, value in values.items()}


def _is_view(record: Any) -> bool:
    return (
        isinstance(record, Mapping)
        and str(record.get("uri", "")).startswith("at://")
        and isinstance(record.get("record"), Mapping)
        and isinstance(record.get("author"), Mapping)
    )


def _read(record: Any) -> Iterator[Post]:
    if not isinstance(record, Mapping) or not _is_post(record):
        raise ValueError("not a record of Bluesky")
    yield post(record)


def _is_post(view: Mapping[str, Any]) -> bool:
    """Whether it is a post at all, be it a broken one: by its contents, or by its address."""
    addressed = "record" in view and str(view.get("uri")).startswith("at://")
    return addressed or isinstance(view.get("record"), Mapping)


FORMATS = (Format(name="bluesky", title="Bluesky posts (4CAT's NDJSON, or the API's)", matches=_is_view, read=_read),)
