"""Posts as Tumblr's API v2 gives them, and as 4CAT stores them: in blocks (NPF), or in the older form of one type each.

A reblog holds the posts that it passes on as its trail, the first one first; most often the pictures are only there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any

from hashtag_photos.records import Attachment, Post
from hashtag_photos.sources.fields import beyond, dig, hashtags, ident, plain, text
from hashtag_photos.sources.formats import Format
from hashtag_photos.sources.formats.captured import listed, made_at, picture, stated_count

SOURCE = "tumblr"
_HTML = ("body", "caption", "description", "answer")  # where the older form has its text, with pictures in it
_READ = (
    *("id", "id_string", "blog_name", "blog", "post_url", "timestamp", "date", "tags", "content", "layout", "trail"),
    *("like_count", "reblog_count", "reply_count", "parent_post_url", "photos", *_HTML),
    *("thumbnail_url", "thumbnail_width", "thumbnail_height"),
    # large, said before, or about others
    *("notes", "reblog", "player", "summary", "object_type", "short_url", "tumblelog_uuid"),
)
_LISTS = ("content", "photos", "trail", "tags")
_OTHERS = ("reblogged_", "parent_tumblelog", "asking_")  # people and blogs beside the post's own


def post(values: Mapping[str, Any]) -> Post:
    """One post. Raises ValueError if it has no id."""
    post_id = ident(values.get("id_string")) or ident(values.get("id"))
    if not post_id:
        raise ValueError("a post without id")
    trail = _trail(values)
    created_at, time_problem = made_at(values.get("timestamp") or values.get("date"))
    unread = beyond(values, *_READ)
    return Post(
        source=SOURCE,
        id=post_id,
        url=text(values.get("post_url")),
        author=text(values.get("blog_name")) or text(dig(values, "blog", "name")),
        created_at=created_at,
        time_problem=time_problem,
        text=_text(values) or text("\n\n".join(filter(None, map(_text, trail)))),
        hashtags=hashtags(listed(values, "tags")),
        likes=stated_count(values.get("like_count")),
        reposts=stated_count(values.get("reblog_count")),
        replies=stated_count(values.get("reply_count")),
        repost_of=_passes_on(values, trail, post_id),
        attachments=tuple(each for part in (values, *trail) for each in _attachments(part)),
        extra={name: value for name, value in unread.items() if not name.startswith(_OTHERS)},
    )


def id_in(address: Any) -> str | None:
    """The id of the post that stands at an address, in either of the forms that Tumblr has had."""
    match = re.search(r"(?:/post/|tumblr\.com/[^/]+/)(\d+)", text(address) or "")
    return match[1] if match else None


def kind(address: str, mime: Any = None) -> str:
    """Whether a picture is a photo or moves."""
    return "gif" if mime == "image/gif" or re.search(r"\.gifv?(?=$|[?#])", address) else "photo"


def _trail(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The posts that a reblog passes on. The older form lists the post itself among them."""
    return [each for each in listed(values, "trail") if isinstance(each, Mapping) and not each.get("is_current_item")]


def _passes_on(values: Mapping[str, Any], trail: list[Mapping[str, Any]], own_id: str) -> str | None:
    """The id of the post that this one reblogs: the last of its trail whose id is stated."""
    stated = (
        id_in(values.get("parent_post_url")),
        values.get("reblogged_from_id"),
        *(dig(each, "post", "id") for each in reversed(trail)),
    )
    ids = (str(each) for each in stated if re.fullmatch(r"\d+", str(each)))
    return next((each for each in ids if each != own_id), None)


def _text(values: Mapping[str, Any]) -> str | None:
    blocks = (dig(block, "text") for block in listed(values, "content") if dig(block, "type") == "text")
    in_blocks = text("\n".join(filter(None, map(text, blocks))))
    return in_blocks or next(filter(None, (plain(values.get(name)) for name in _HTML)), None)


def _attachments(values: Mapping[str, Any]) -> Iterator[Attachment]:
    for block in listed(values, "content"):
        if dig(block, "type") == "image":
            yield _image(_widest(block, "media"), dig(block, "alt_text"))
        elif dig(block, "type") == "video":
            yield _cover(_widest(block, "poster"))
    for photo in listed(values, "photos"):
        yield _image(dig(photo, "original_size"), None)
    for html in (values.get(name) for name in _HTML):
        yield from _in_html(html)
    if values.get("type") == "video" and not listed(values, "content"):
        yield _cover({name: values.get(f"thumbnail_{name}") for name in ("url", "width", "height")})


def _widest(block: Any, name: str) -> Any:
    """The sizes of a picture begin with the widest."""
    sizes = dig(block, name)
    return dig(sizes, 0) if isinstance(sizes, list) else sizes


def _image(size: Any, alt: Any) -> Attachment:
    url = text(dig(size, "url")) or ""
    of = kind(url, dig(size, "type"))
    return picture(url, alt=alt, kind=of, width=dig(size, "width"), height=dig(size, "height"))


def _cover(size: Any) -> Attachment:
    return picture(dig(size, "url"), kind="video", width=dig(size, "width"), height=dig(size, "height"))


class _Images(HTMLParser):
    """The pictures that stand in the HTML of a text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.found.append(dict(attrs))


def _in_html(html: Any) -> Iterator[Attachment]:
    parser = _Images()
    parser.feed(html if isinstance(html, str) else "")
    parser.close()
    for each in parser.found:
        size = {"width": each.get("data-orig-width"), "height": each.get("data-orig-height")}
        yield _image({"url": each.get("src"), **size}, each.get("alt"))


def _matches(record: Any) -> bool:
    """A post of a blog; gallery-dl adds its `category` to one."""
    return (
        isinstance(record, Mapping)
        and "blog_name" in record
        and "post_url" in record
        and (isinstance(record.get("content"), list) or "reblog_key" in record)
        and any(isinstance(record.get(name), list) for name in _LISTS)
        and "category" not in record
    )


def _read(record: Any) -> Iterator[Post]:
    if not isinstance(record, Mapping) or not _is_post(record):
        raise ValueError("not a record of Tumblr's API")
    yield post(record)


def _is_post(values: Mapping[str, Any]) -> bool:
    """Whether it is a post at all, be it a broken one."""
    if "category" in values:  # gallery-dl's
        return False
    listing = any(isinstance(values.get(name), list) for name in _LISTS)
    return "reblog_key" in values or listing if "blog_name" in values else "post_url" in values and listing


FORMATS = (Format(name="tumblr", title="Tumblr posts (4CAT's NDJSON, or the API's)", matches=_matches, read=_read),)
