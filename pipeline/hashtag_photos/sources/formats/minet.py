"""minet's tables of X, Bluesky, Instagram and TikTok. Columns of the table that minet was given stand before its own.

Lists stand in a cell with | between them. What is aligned by that (addresses, kinds, alternative texts) is only taken
as aligned if there are as many: a | in an alternative text shifts the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hashtag_photos.records import Attachment, Post
from hashtag_photos.sources.fields import beyond, ident, text, truth
from hashtag_photos.sources.formats import Format, bluesky, x_api
from hashtag_photos.sources.formats.captured import made_at, picture, stated_count
from hashtag_photos.sources.formats.tables import stating, still

Row = Mapping[str, Any]
# People, but not how many follow them; what the read columns say too; times of an unstated zone
_LEFT = re.compile(
    r"(user|author|owner)(?!_(tweets|followers|friends|likes|lists|follower_count|following_count|video_count)$)(_.*)?"
    r"|.*(_user|_user_id|_user_did|_user_handle|_user_dids|_user_handles|_username)"
    r"|mentioned_.*|to_userid|duet_from_user_.*|music_author_name|profile|full_name|is_verified|coauthor_usernames|usertags_medias"
    r"|local_time|utc_time|did|card_thumbnail|video_(.*_)?cover"
)


@dataclass(frozen=True, kw_only=True)
class _Table:
    """A platform's table. `columns` are those of each field, the most certain first; `read` those that `pictures` and
    the like take for themselves."""

    source: str
    known_by: tuple[frozenset[str], ...]
    columns: Mapping[str, tuple[str, ...]]
    address: Callable[[str, Row], str | None]
    pictures: Callable[[Row], Iterator[Attachment]]
    read: tuple[str, ...]


def _post(row: Row) -> Post:
    table = _table_of(tuple(row))
    column = {
        field: next((name for name in names if row.get(name) is not None), "") for field, names in table.columns.items()
    }
    stated = {field: row.get(name) for field, name in column.items()}
    post_id = ident(stated["id"])
    if not post_id:
        raise ValueError("a row without id: what minet was asked for wasn't found")
    created_at, time_problem = made_at(stated["created_at"])
    unread = beyond(row, *column.values(), *table.read)
    return Post(
        source=table.source,
        id=post_id,
        url=table.address(post_id, row),
        author=text(stated["author"]),
        created_at=created_at,
        time_problem=time_problem,
        text=text(stated["text"]),
        language=next(iter(_parts(stated.get("language"))), None),
        hashtags=tuple(tag for tag in _parts(stated.get("hashtags")) if tag),
        likes=None if truth(row.get("like_and_view_counts_disabled")) else stated_count(stated["likes"]),
        reposts=stated_count(stated.get("reposts")),
        replies=stated_count(stated["replies"]),
        sensitive=truth(row.get("possibly_sensitive")),
        repost_of=ident(row.get("retweeted_id")),
        attachments=tuple(table.pictures(row)),
        extra={name: cell for name, cell in unread.items() if not _LEFT.fullmatch(name)},
    )


def _parts(cell: Any) -> list[str]:
    """The members of a cell, empty ones too: they hold the place of what isn't there."""
    stated = text(cell)
    return [] if stated is None else [part.strip() for part in str(cell).split("|")]


def _aligned(cell: Any, number: int) -> list[str | None]:
    """The members of a cell that has one for each of a number of pictures; nothing for each if it hasn't."""
    parts = _parts(cell) if number != 1 else [text(cell) or ""]
    return [part or None for part in parts] if len(parts) == number else [None] * number


def _x_pictures(row: Row) -> Iterator[Attachment]:
    """Photos; of a video only the film is stated, so that its still is one that can't be had.

    A row has the pictures of the post that it quotes too. Where the names of files tell them apart they are left out.
    """
    urls = _parts(row.get("media_urls")) or [""] * len(_parts(row.get("media_types")))
    described = [_aligned(row.get(name), len(urls)) for name in ("media_types", "media_alt_texts", "media_files")]
    every = list(zip(urls, *described, strict=True))
    own = [each for each in every if str(each[3]).startswith(f"{row.get('id')}_")]
    for url, kind, alt, file in every:
        if own and str(file).startswith(f"{row.get('quoted_id')}_"):
            continue
        yield Attachment(url=still(url), alt=alt, kind={"animated_gif": "gif"}.get(str(kind), kind))


def _bluesky_pictures(row: Row) -> Iterator[Attachment]:
    urls = _parts(row.get("media_urls"))
    described = [_aligned(row.get(name), len(urls)) for name in ("media_types", "media_thumbnails", "media_alt_texts")]
    for url, mime, thumbnail, alt in zip(urls, *described, strict=True):
        kind = {"image": "photo", "video": "video"}.get(str(mime).partition("/")[0])
        if mime in ("video/gif", "image/gif"):
            kind = "gif"
        yield Attachment(url=still(thumbnail if kind == "video" else url), alt=alt, kind=kind)


def _instagram_pictures(row: Row) -> Iterator[Attachment]:
    """All pictures where the table has them, else the one that stands for the post."""
    urls, kinds = _parts(row.get("medias_url")), _parts(row.get("medias_type"))
    if not urls and not kinds:
        url = row.get("display_url") or row.get("main_thumbnail_url")
        kind = _instagram_kind(row.get("media_type") or truth(row.get("is_video")))
        yield picture(url, alt=row.get("accessibility_caption"), kind=kind)
        return
    stated = [kind for kind in kinds if kind != "None"]  # a member of an unknown kind has no address in the row
    for url, kind in zip(urls, _aligned("|".join(stated), len(urls)), strict=True):
        yield Attachment(url=still(url), kind=_instagram_kind(kind))
    for _ in range(len(kinds) - len(stated)):
        yield Attachment(url="")


def _instagram_kind(stated: Any) -> str | None:
    """By what a table calls it, or by whether it says that it is a video."""
    return {"GraphImage": "photo", "GraphVideo": "video", "False": "photo", "True": "video"}.get(str(stated))


def _tiktok_pictures(row: Row) -> Iterator[Attachment]:
    """The cover: the table has videos only."""
    covers = (still(row.get(name)) for name in ("video_cover", "video_origin_cover", "video_dynamic_cover"))
    yield Attachment(url=next(filter(None, covers), ""), kind="video")


def _tiktok_address(post_id: str, row: Row) -> str | None:
    name = text(row.get("author_unique_id"))
    return f"https://www.tiktok.com/@{name}/video/{post_id}" if name else None


_TABLES = (
    _Table(
        source=x_api.SOURCE,
        known_by=(frozenset({"id", "timestamp_utc", "user_screen_name", "retweeted_id", "media_urls"}),),
        columns={
            "id": ("id",),
            "created_at": ("timestamp_utc",),
            "author": ("user_screen_name", "user_id"),
            "text": ("text",),
            "language": ("lang",),
            "hashtags": ("hashtags",),
            "likes": ("like_count",),
            "reposts": ("retweet_count",),
            "replies": ("reply_count",),
        },
        address=lambda post_id, row: x_api.address(post_id),
        pictures=_x_pictures,
        read=(
            *("url", "media_urls", "media_types", "media_alt_texts", "media_files", "possibly_sensitive"),
            *("retweeted_id", "retweeted_timestamp_utc"),
        ),
    ),
    _Table(
        source=bluesky.SOURCE,
        known_by=(
            frozenset({"uri", "user_handle", "original_text", "media_urls"}),
            frozenset({"uri", "author_handle", "author_did", "langs"}),  # the first tables, without pictures
        ),
        columns={
            "id": ("uri",),
            "created_at": ("timestamp_utc", "created_at"),
            "author": ("user_handle", "author_handle", "user_did", "author_did"),
            "text": ("original_text", "text"),  # minet writes addresses and the quoted post into the other
            "language": ("user_langs", "langs"),
            "hashtags": ("hashtags",),
            "likes": ("like_count",),
            "reposts": ("repost_count",),
            "replies": ("reply_count",),
        },
        address=lambda post_id, row: bluesky.address(post_id),
        pictures=_bluesky_pictures,
        read=("url", "text", "media_urls", "media_types", "media_thumbnails", "media_alt_texts"),
    ),
    _Table(
        source="instagram",
        known_by=(
            frozenset({"shortcode", "caption", "mentioned_names", "taken_at_timestamp", "display_url"}),
            frozenset({"shortcode", "caption", "mentioned_names", "taken_at_timestamp", "medias_url"}),
        ),
        columns={
            "id": ("shortcode",),
            "created_at": ("taken_at_timestamp", "utc_time"),
            "author": ("username", "owner_id"),
            "text": ("caption",),
            "hashtags": ("hashtags",),
            "likes": ("like_count", "preview_like_count", "liked_by_count"),
            "replies": ("comment_count",),
        },
        address=lambda post_id, row: text(row.get("url")) or f"https://www.instagram.com/p/{post_id}/",
        pictures=_instagram_pictures,
        read=("url", "display_url", "main_thumbnail_url", "medias_url", "medias_type", "accessibility_caption"),
    ),
    _Table(
        source="tiktok",
        known_by=(frozenset({"id", "author_unique_id", "video_cover", "challenges_titles"}),),
        columns={
            "id": ("id",),
            "created_at": ("timestamp", "utc_time"),
            "author": ("author_unique_id", "author_id"),
            "text": ("description",),
            "hashtags": ("challenges_titles",),
            "likes": ("digg_count",),
            "reposts": ("share_count",),
            "replies": ("comment_count",),
        },
        address=_tiktok_address,
        pictures=_tiktok_pictures,
        read=("original_item",),
    ),
)


@lru_cache(maxsize=100)
def _table_of(columns: tuple[str, ...]) -> _Table:
    """The table with most of the columns that a known one has."""
    shares = {
        number: max(len(names.intersection(columns)) / len(names) for names in table.known_by)
        for number, table in enumerate(_TABLES)
    }
    best = max(shares, key=lambda number: shares[number])
    if shares[best] < 0.75:
        raise ValueError("not a row of minet's tables of X, Bluesky, Instagram or TikTok")
    return _TABLES[best]


def _matches(record: Any) -> bool:
    return isinstance(record, Mapping) and any(names <= record.keys() for table in _TABLES for names in table.known_by)


def _read(record: Any) -> Iterator[Post]:
    yield _post(stating(record))


FORMATS = (Format(name="minet", title="minet's tables (X, Bluesky, Instagram, TikTok)", matches=_matches, read=_read),)
