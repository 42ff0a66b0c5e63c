"""4CAT's tables of X, Bluesky, Instagram, TikTok and Tumblr.

One reader for all of them: what differs is where a table has a field of a post, and which pictures its columns hold.
4CAT writes a default where it doesn't know a value; those are not taken for values. The tables have neither alternative
texts nor sizes, and of TikTok's photos and of the trails of Tumblr no pictures: 4CAT's NDJSON does.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hashtag_photos.records import Attachment, Post
from hashtag_photos.sources.fields import count, ident, joined, literal, text, truth
from hashtag_photos.sources.formats import Format, bluesky, tumblr, x_api
from hashtag_photos.sources.formats.captured import made_at, picture, stated_count, web
from hashtag_photos.sources.formats.tables import stating, still

Row = Mapping[str, Any]
_MOST_PICTURES = 20  # that a post of Instagram can have

# Not kept: who wrote, was shown, tagged or answered, in which page that was seen, and what the read columns say too.
# That a row is a retweet is said by Post.repost_of alone, where the table names whom it repeats.
_LEFT = frozenset(
    (
        *("verified", "is_verified", "mentions", "mentioned", "usertags", "coauthors", "coauthor_fullnames"),
        *(
            "coauthor_ids",
            "retweeted_user",
            "quoted_user",
            "quote_author",
            "quote_body",
            "quote_images",
            "quote_videos",
        ),
        *("replied_user", "replied_author", "replied_to_user", "reply_to", "music_author", "reblog_trail"),
        *("replies", "asking_name", "asking_url", "subject", "blog_description", "blog_url", "blog_uuid"),
        *("blog_last_updated", "collected_from_url", "post_source_domain", "is_retweet", "link", "unix_timestamp"),
        *("timestamp_full", "missing_fields", "id"),
    )
)
_UNMAPPED = "<common.lib.item_mapping.MissingMappedField"  # what 4CAT writes by mistake for what it doesn't know
_AUTHORS_REACH = ("author_followers", "author_following", "author_likes", "author_videos")


def _nothing(row: Row) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class _Table:
    """A platform's table. `columns` are those of each field, the most certain first; `read` those that `pictures` and
    the like take for themselves."""

    source: str
    title: str
    known_by: frozenset[str]
    columns: Mapping[str, tuple[str, ...]]
    read: tuple[str, ...]
    pictures: Callable[[Row], Iterator[Attachment]]
    address: Callable[[Row], str | None]
    sensitive: Callable[[Row], bool | None] = _nothing
    repost_of: Callable[[Row], str | None] = _nothing
    check: Callable[[Row], None] = _nothing


def _post(table: _Table, cells: Any) -> Post:
    if not isinstance(cells, Mapping) or sum(name not in cells for name in table.known_by) > 1:
        raise ValueError(f"not a row of {table.title}")
    row = _told(cells)
    column = {
        field: next((name for name in names if row.get(name) is not None), "") for field, names in table.columns.items()
    }
    stated = {field: row.get(name) for field, name in column.items()}
    table.check(row)
    created_at, time_problem = made_at(None if stated["created_at"] == "undefined" else stated["created_at"])
    author = text(stated["author"])
    read = {*column.values(), *table.read}
    return Post(
        source=table.source,
        id=row["id"],
        url=table.address(row),
        author=None if author == "REDACTED" else author,
        created_at=created_at,
        time_problem=time_problem,
        text=_plain(table, stated["text"]),
        language=next((each for each in _parts(stated.get("language")) if each != "N/A"), None),
        hashtags=tuple(tag.lstrip("#") for tag in _parts(stated["hashtags"])),
        likes=None if truth(row.get("likes_hidden")) else stated_count(stated["likes"]),
        reposts=stated_count(stated.get("reposts")),
        replies=stated_count(stated["replies"]),
        sensitive=table.sensitive(row),
        repost_of=table.repost_of(row),
        attachments=tuple(table.pictures(row)),
        extra={
            name: cell
            for name, cell in row.items()
            if cell is not None
            and name not in read
            and name not in _LEFT
            and (name in _AUTHORS_REACH or not name.startswith("author"))
        },
    )


def _told(cells: Any) -> dict[str, Any]:
    """The columns of a row, without the defaults that 4CAT puts where it doesn't know a value, and the id as text."""
    row = stating(cells)
    post_id = ident(row.get("id"))
    if not post_id:
        raise ValueError("a row without id")
    row["id"] = post_id
    unknown = [name.strip() for name in str(row.get("missing_fields")).split(",")]
    unmapped = [name for name, cell in row.items() if cell.__class__ is str and cell.startswith(_UNMAPPED)]
    row.update(dict.fromkeys(name for name in (*unknown, *unmapped) if name in row and name != "id"))
    return row


def _plain(table: _Table, cell: Any) -> str | None:
    stated = text(cell)
    return html.unescape(stated) if stated and table.source == x_api.SOURCE else stated  # X alone escapes &, < and >


def _parts(cell: Any) -> list[str]:
    """A cell that joins names by commas, or is a list as Python writes it: a name may have blanks in it."""
    if isinstance(cell, str):
        cell = _list(cell) or cell.split(",")
    return [part for each in cell if (part := text(each))] if isinstance(cell, list) else []


def _addresses(cell: Any) -> list[str]:
    return joined((_list(cell) if isinstance(cell, str) else None) or cell)


def _list(cell: str) -> list[Any] | None:
    """The first tables of Tumblr have lists as Python writes them."""
    try:
        found = literal(cell) if cell.lstrip().startswith("[") else None
    except ValueError:
        return None
    return found if isinstance(found, list) else None


# X


def _x_check(row: Row) -> None:
    if row.get("author") == "UNKNOWN":
        reason = text(row.get("subject")) or "no reason given"
        raise ValueError(f"post {row['id']} could not be looked up: {reason}")


def _x_pictures(row: Row) -> Iterator[Attachment]:
    """Since the tables name the page that a post was seen on, the stills of videos stand among the images."""
    mixed = "collected_from_url" in row
    for each in _addresses(row.get("images")):
        yield picture(each, kind=None if mixed else "photo")
    for each in () if mixed else _addresses(row.get("videos")):
        yield Attachment(url=still(each), kind="video")


def _x_sensitive(row: Row) -> bool | None:
    """The first tables of captures looked for it in the wrong place, and say no of every post."""
    stated = truth(row.get("possibly_sensitive"))
    blind = "is_withheld" in row and "collected_from_url" not in row
    return None if blind and not stated else stated


def _x_repost_of(row: Row) -> str | None:
    """Whom a retweet repeats: the original's id is not in the table."""
    user = text(row.get("retweeted_user"))
    return f"@{user}" if user and truth(row.get("is_retweet")) else None


# Bluesky


def _bluesky_sensitive(row: Row) -> bool | None:
    return any(label in bluesky.SENSITIVE for label in _parts(row["labels"])) if "labels" in row else None


def _bluesky_pictures(row: Row) -> Iterator[Attachment]:
    """Pictures, stills of videos and thumbnails of links, in no order and without saying which is which."""
    return (picture(each) for each in _addresses(row.get("images")))


# Instagram


def _instagram_check(row: Row) -> None:
    if row.get("type") == "comment":
        raise ValueError(f"{row['id']} is a comment, not a post")


def _is_first(row: Row) -> bool:
    """Whether the row is of the first tables, whose `url` is the picture's; later ones say where the post was seen."""
    return "mentioned" in row


def _instagram_address(row: Row) -> str | None:
    stated = web(row.get("url")) if not _is_first(row) else ""
    return stated or f"https://www.instagram.com/p/{row['id']}/"


def _instagram_pictures(row: Row) -> Iterator[Attachment]:
    """The pictures that are stated, and those that are only counted: older tables have but the first of several."""
    of = {"photo": "photo", "picture": "photo", "video": "video"}.get(str(row.get("media_type") or row.get("type")))
    cell = row.get("image_urls") or row.get("image_url") or (row.get("url") if _is_first(row) else None)
    found = [Attachment(url=still(each), kind=of) for each in _addresses(cell)]
    yield from found
    for _ in range(min(count(row.get("num_media")) or 0, _MOST_PICTURES) - len(found)):
        yield Attachment(url="", kind=of)


# TikTok


def _tiktok_pictures(row: Row) -> Iterator[Attachment]:
    """Its cover: every post has one. The cell is empty if its address had expired when the table was made."""
    yield picture(row.get("thumbnail_url"), kind="video")


# Tumblr


def _tumblr_pictures(row: Row) -> Iterator[Attachment]:
    for each in _addresses(row.get("image_urls") or row.get("images")):
        yield picture(each, kind=tumblr.kind(each))
    for each in _addresses(row.get("video_thumb_urls") or row.get("video_thumb")):
        yield picture(each, kind="video")


_TABLES = {
    "4cat-x": _Table(
        source=x_api.SOURCE,
        title="4CAT's table of X",
        known_by=frozenset({"id", "thread_id", "language_guess", "is_retweet", "hashtags"}),
        columns={
            # the other time is off by the zone of 4CAT's server in tables of the API
            "created_at": ("timestamp",),
            "author": ("author", "author_id"),
            "text": ("body",),
            "language": ("language_guess",),
            "hashtags": ("hashtags",),
            "likes": ("like_count",),
            "reposts": ("retweet_count",),
            "replies": ("reply_count",),
        },
        read=("images", "videos", "possibly_sensitive"),
        address=lambda row: x_api.address(row["id"]),
        pictures=_x_pictures,
        sensitive=_x_sensitive,
        repost_of=_x_repost_of,
        check=_x_check,
    ),
    "4cat-bluesky": _Table(
        source=bluesky.SOURCE,
        title="4CAT's table of Bluesky",
        known_by=frozenset({"id", "thread_id", "quoted_post", "replies_allowed", "images"}),
        columns={
            "created_at": ("created_at", "timestamp"),
            "author": ("author", "author_id"),
            "text": ("body",),
            "language": ("languages",),
            "hashtags": ("tags",),
            "likes": ("like_count",),
            "reposts": ("repost_count",),
            "replies": ("reply_count",),
        },
        read=("images", "labels", "timestamp"),
        address=lambda row: bluesky.address(row["id"]),
        pictures=_bluesky_pictures,
        sensitive=_bluesky_sensitive,
    ),
    "4cat-instagram": _Table(
        source="instagram",
        title="4CAT's table of Instagram",
        known_by=frozenset({"id", "thread_id", "parent_id", "unix_timestamp", "num_likes", "num_comments"}),
        columns={
            # the other time is that of 4CAT's server, in a zone that isn't stated
            "created_at": ("unix_timestamp",),
            "author": ("author", "author_id"),
            "text": ("body",),
            "hashtags": ("hashtags",),
            "likes": ("num_likes",),
            "replies": ("num_comments",),
        },
        read=("url", "image_url", "image_urls", "media_url", "media_urls", "num_media", "likes_hidden"),
        address=_instagram_address,
        pictures=_instagram_pictures,
        check=_instagram_check,
    ),
    "4cat-tiktok": _Table(
        source="tiktok",
        title="4CAT's table of TikTok",
        known_by=frozenset({"id", "thread_id", "tiktok_url", "thumbnail_url", "is_duet"}),
        columns={
            "created_at": ("timestamp", "unix_timestamp"),
            "author": ("author", "author_id"),
            "text": ("body",),
            "hashtags": ("hashtags",),
            "likes": ("likes", "amount_likes"),
            "reposts": ("shares", "amount_shares"),
            "replies": ("comments", "amount_comments"),
        },
        read=("tiktok_url", "thumbnail_url", "is_sensitive"),
        address=lambda row: text(row.get("tiktok_url")),
        pictures=_tiktok_pictures,
        sensitive=lambda row: truth(row.get("is_sensitive")) or None,
    ),
    "4cat-tumblr": _Table(
        source=tumblr.SOURCE,
        title="4CAT's table of Tumblr",
        known_by=frozenset({"id", "thread_id", "post_url", "post_slug", "tags"}),
        columns={
            "created_at": ("timestamp", "timestamp_full", "unix_timestamp"),
            "author": ("author",),
            "text": ("body", "body_reblogged"),
            "hashtags": ("tags",),
            "likes": ("like_count",),
            "reposts": ("reblog_count",),
            "replies": ("reply_count",),
        },
        read=("post_url", "image_urls", "images", "video_thumb_urls", "video_thumb", "parent_post_url"),
        address=lambda row: text(row.get("post_url")),
        pictures=_tumblr_pictures,
        repost_of=lambda row: tumblr.id_in(row.get("parent_post_url")),
    ),
}


def _format(name: str, table: _Table) -> Format:
    return Format(
        name=name,
        title=table.title,
        matches=lambda record: isinstance(record, Mapping) and table.known_by <= record.keys(),
        read=lambda record: (_post(table, record),),
    )


FORMATS = tuple(_format(name, table) for name, table in _TABLES.items())
