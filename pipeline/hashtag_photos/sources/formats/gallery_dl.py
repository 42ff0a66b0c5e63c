"""What gallery-dl writes: its JSON (-j, with or without output.jsonl), and the metadata beside downloaded pictures.

A record of -j is a row [kind, …]: 2 is a post, 3 one file of it with the post's metadata again, 6 an address that is
only queued, -1 an error. A record of metadata is the object alone, per file or per post: a file's address is in it for
some sites, for some it can be made again, and where the picture lies beside its metadata, that is its address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hashtag_photos.records import Attachment, Post
from hashtag_photos.sources.fields import beyond, count, dig, hashtags, ident, named, plain, stated_time, text, truth
from hashtag_photos.sources.formats import Format, bluesky, tiktok, tumblr, x_api
from hashtag_photos.sources.formats.captured import inner, listed, picture, stated_count, web
from hashtag_photos.sources.formats.tables import still

Meta = Mapping[str, Any]
_POST, _FILE, _QUEUED, _ERROR = 2, 3, 6, -1  # what a row of -j is
_ABOUT_ACCOUNTS = ("info", "avatar", "background", "banner")  # subcategories without posts
_MOST_PICTURES = 50  # of a post; a higher count is a wrong one
_ADDRESS = "__address__"  # a file's address, which a row of -j has beside its metadata
_EXCEPTION = re.compile(r"\w+(Error|Exception)")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_PHOTOS = ("jpg", "jpeg", "png", "webp", "avif", "heic", "heif", "bmp", "tiff", "jxl")
_FILMS = ("mp4", "m4v", "mov", "webm", "m3u8", "mpd", "ts")
_NO_PICTURES = ("mp3", "m4a", "aac", "ogg", "oga", "opus", "wav", "flac", "vtt", "srt", "txt", "html")
_READ = (  # gallery-dl's own members: about the download and its files
    *("category", "subcategory", "count", "num", "filename", "extension", "width", "height", "date", "__file__"),
    *(_ADDRESS, "bitrate", "duration", "width_original", "height_original", "hash"),
)
_FILED = frozenset({"category", "subcategory", "extension", "filename", "num", "count"})
_PEOPLE = ("author", "user", "owner", "account", "artist", "uploader", "mentions", "fullname", "coauthors")


@dataclass(frozen=True, kw_only=True)
class _Site:
    """How gallery-dl describes a site's posts: the post without its pictures, the picture of a file, and the pictures
    that the metadata of a post states without its files. `known_by` are members of each of its posts."""

    known_by: frozenset[str]
    post: Callable[[Meta], Post]
    file: Callable[[Meta], Attachment]
    pictures: Callable[[Meta], tuple[Attachment, ...]]


def _read(record: Any) -> Iterator[Post]:
    if isinstance(record, Mapping):
        if len(_FILED & record.keys()) < 2:
            raise ValueError("not a record of gallery-dl")
        yield _post(record, _of_file if "extension" in record or "filename" in record else _of_post)
        return
    kind, meta = (record[0], record[-1]) if isinstance(record, list) and record else (None, None)
    if kind == _POST and isinstance(meta, Mapping):
        yield _post(meta, lambda meta: ())  # its files follow
    elif kind == _FILE and isinstance(meta, Mapping):
        yield _post({**meta, _ADDRESS: record[1]}, _of_file)
    elif kind == _QUEUED:
        raise ValueError("an address that gallery-dl queued, and no post: with -J it follows them")
    elif kind == _ERROR and isinstance(meta, Mapping):
        raise ValueError(f"an error of gallery-dl, and no post: {meta.get('error')}: {meta.get('message')}")
    elif isinstance(kind, str) and len(record) == 2 and _EXCEPTION.fullmatch(kind):
        raise ValueError(f"an error of gallery-dl, and no post: {kind}: {text(meta)}")
    else:
        raise ValueError("not a record of gallery-dl" + (f": a row of kind {kind}" if isinstance(kind, int) else ""))


def _post(meta: Meta, attachments: Callable[[Meta], tuple[Attachment, ...]]) -> Post:
    if Path(str(meta.get("__file__"))).name == "info.json":
        raise ValueError("info.json is about the download: the post in it has files of its own")
    if meta.get("subcategory") in _ABOUT_ACCOUNTS and _site(meta) is not _ANY:
        raise ValueError(f"about an account, and no post: {meta.get('category')} {meta.get('subcategory')}")
    post = _site(meta).post(meta)
    extra = {name: value for name, value in (post.extra or {}).items() if not name.startswith(_PEOPLE)}
    return replace(post, attachments=attachments(meta), extra=extra)


def _site(meta: Meta) -> _Site:
    """The site by its category. Of Mastodon that is the server's name, so that it is known by its members."""
    if {"account", "created_at"} <= set(meta) and ("instance" in meta or "favourites_count" in meta):
        return _MASTODON
    return _SITES.get(str(meta.get("category")), _ANY)


def _of_file(meta: Meta) -> tuple[Attachment, ...]:
    """The picture of one file: none for a sound, and of a video its still, if an address of that is stated."""
    is_sound = "audio" in (meta.get("type"), dig(meta, "media", "type")) or meta.get("audio_url")
    if is_sound or meta.get("extension") in _NO_PICTURES:
        return ()
    found = _site(meta).file(meta)
    beside = _beside(meta) if meta.get("extension") not in _FILMS else None
    return (replace(found, url=beside or found.url),)


def _of_post(meta: Meta) -> tuple[Attachment, ...]:
    """The pictures that a post's metadata states; else as many as it counts, which can't be had without their files."""
    number = min(count(meta.get("count")) or 0, _MOST_PICTURES)
    return _site(meta).pictures(meta) or (Attachment(url=""),) * number


def _beside(meta: Meta) -> str | None:
    """The picture that lies where its metadata does, under the same name without .json."""
    place = str(meta.get("__file__"))
    file = Path(place.removesuffix(".json"))
    with suppress(OSError):  # no name that a file can have
        if file != Path(place) and file.is_file():
            return file.absolute().as_uri()
    return None


def _kind(meta: Meta) -> str | None:
    extension = str(meta.get("extension")).lower()
    if extension in _FILMS:
        return "video"
    return "gif" if extension == "gif" else "photo" if extension in _PHOTOS else None


def _attachment(meta: Meta, url: Any, *, alt: Any = None, kind: str | None) -> Attachment:
    return picture(still(url), alt=alt, kind=kind, width=meta.get("width"), height=meta.get("height"))


def _date(value: Any) -> datetime | None:
    """A time as gallery-dl writes it, in UTC; what it couldn't read is no time."""
    if not _TIME.fullmatch(str(value)):
        return None
    return stated_time(value)[0]


def _nothing(meta: Meta) -> tuple[Attachment, ...]:
    return ()


# X


def _twitter_post(meta: Meta) -> Post:
    post_id, original = ident(meta.get("tweet_id")), ident(meta.get("retweet_id"))
    if not post_id:
        raise ValueError("no tweet_id: about an account, and no post")
    if original in ("0", post_id):
        original = None
    author = meta.get("user" if original else "author")  # of a retweet `author` is whose post it was
    unread = beyond(
        meta,
        *(*_READ, "tweet_id", "retweet_id", "content", "lang", "hashtags", "sensitive", "description", "type"),
        *("favorite_count", "retweet_count", "reply_count", "reply_to", "quote_by", "date_original", "source_id"),
    )
    return Post(
        source=x_api.SOURCE,
        id=post_id,
        url=x_api.address(post_id),
        author=text(dig(author, "name")) or text(dig(author, "id")),
        created_at=_date(meta.get("date")),
        text=text(meta.get("content")),
        language=text(meta.get("lang")),
        hashtags=hashtags(meta.get("hashtags")),
        likes=stated_count(meta.get("favorite_count")),
        reposts=stated_count(meta.get("retweet_count")),
        replies=stated_count(meta.get("reply_count")),
        sensitive=truth(meta.get("sensitive")),
        repost_of=original,
        extra={name: value for name, value in unread.items() if str(value) != "0" or not name.endswith("_id")},
    )


def _twitter_file(meta: Meta) -> Attachment:
    """Of a photo the address can be made again; of a video only the film has one, or its preview."""
    of = meta.get("type")
    kind = {"photo": "photo", "video": "video", "animated_gif": "gif", "preview": "video"}.get(str(of)) or _kind(meta)
    url = still(meta.get(_ADDRESS))
    name, extension = text(meta.get("filename")), text(meta.get("extension"))
    if not url and name and of in ("photo", None) and extension in _PHOTOS and "bitrate" not in meta:
        url = f"https://pbs.twimg.com/media/{name}?format={extension}&name=orig"
    return _attachment(meta, url, alt=meta.get("description"), kind=kind)


# Instagram


def _instagram_post(meta: Meta) -> Post:
    post_id = ident(meta.get("post_shortcode")) or ident(meta.get("post_id"))
    if not post_id:
        raise ValueError("neither post_shortcode nor post_id: about an account, and no post")
    return Post(
        source="instagram",
        id=post_id,
        url=text(meta.get("post_url")),
        author=text(meta.get("username")) or text(meta.get("owner_id")),
        created_at=_date(meta.get("post_date")) or _date(meta.get("date")),
        text=text(meta.get("description")),
        hashtags=hashtags(meta.get("tags")),
        likes=stated_count(meta.get("likes")) or None,  # 0 is also what gallery-dl writes for a hidden count
        extra=beyond(
            meta,
            *(*_READ, "post_shortcode", "post_url", "post_date", "likes", "liked", "pinned", "description", "tags"),
            *("username", "sidecar_media_id", "sidecar_shortcode", "media_id", "shortcode", "display_url"),
            *("video_url", "audio_url", "tagged_users"),
        ),
    )


def _instagram_file(meta: Meta) -> Attachment:
    """The picture, or a video's cover. There are no alternative texts; `description` is the post's."""
    kind = "video" if meta.get("video_url") else _kind(meta)
    return _attachment(meta, web(meta.get("display_url")) or meta.get(_ADDRESS), kind=kind)


# Bluesky


def _bluesky_post(meta: Meta) -> Post:
    """gallery-dl writes a post's record among the members of its view: they are put where the API has them."""
    did, key = text(dig(meta, "author", "did")), text(meta.get("post_id"))
    uri = text(meta.get("uri")) or (f"at://{did}/app.bsky.feed.post/{key}" if did and key else None)
    if not uri:
        raise ValueError("no uri: about an account, and no post")
    labels = meta.get("labels")
    record = {name: meta.get(name) for name in ("text", "createdAt", "langs", "facets", "tags", "reply")}
    rest = beyond(
        meta,
        *(*_READ, *record, "labels", "uri", "post_id", "embed", "instance", "hashtags", "uris", "quote_by", "viewer"),
        *("author", "description"),
    )
    handle = dig(meta, "author", "handle")
    author = {"did": did, "handle": None if handle == "handle.invalid" else handle}
    of_record = {"labels": labels} if isinstance(labels, Mapping) else {}  # the author's own stand in the record
    of_view = {"labels": labels} if isinstance(labels, list) else {}
    post = bluesky.post({**rest, **of_view, "uri": uri, "author": author, "record": {**record, **of_record}})
    return replace(post, hashtags=post.hashtags or hashtags(meta.get("hashtags")))


def _bluesky_file(meta: Meta) -> Attachment:
    kind = _kind(meta)
    url = meta.get(_ADDRESS) or _bluesky_address(meta, meta.get("filename"))
    # the address of a video's own file looks like that of a picture
    return _attachment(meta, None if kind == "video" else url, alt=meta.get("description"), kind=kind)


def _bluesky_address(meta: Meta, cid: Any) -> str:
    did = text(dig(meta, "author", "did"))
    return f"https://cdn.bsky.app/img/feed_fullsize/plain/{did}/{cid}@jpeg" if did and text(cid) else ""


def _bluesky_pictures(meta: Meta) -> tuple[Attachment, ...]:
    """What the record embeds: it names pictures by their hash, which their address is made of."""
    embed = inner(meta, "embed", "media") or inner(meta, "embed")
    if "video" in embed:
        return (Attachment(url="", alt=text(embed.get("alt")), kind="video"),)
    return tuple(
        picture(
            _bluesky_address(meta, dig(each, "image", "ref", "$link")),
            alt=dig(each, "alt"),
            kind="photo",
            width=dig(each, "aspectRatio", "width"),
            height=dig(each, "aspectRatio", "height"),
        )
        for each in listed(embed, "images") or listed(embed, "items")
    )


# Mastodon


def _mastodon_post(meta: Meta) -> Post:
    uri = text(meta.get("uri"))
    if not uri:
        raise ValueError("a post without uri")
    original = inner(meta, "reblog")
    shown = original or meta
    created_at, time_problem = stated_time(meta.get("created_at"))
    return Post(
        source="mastodon",
        id=uri,
        url=text(meta.get("url")),
        author=_mastodon_author(meta),
        created_at=created_at,
        time_problem=time_problem,
        edited_at=stated_time(meta.get("edited_at"))[0],
        text=plain(shown.get("content")),
        language=text(shown.get("language")),
        hashtags=hashtags(shown.get("tags")),
        likes=stated_count(meta.get("favourites_count")),
        reposts=stated_count(meta.get("reblogs_count")),
        replies=stated_count(meta.get("replies_count")),
        sensitive=truth(shown.get("sensitive")),
        repost_of=text(original.get("uri")) or text(original.get("url")),
        extra=beyond(
            meta,
            *(*_READ, "uri", "url", "created_at", "edited_at", "content", "language", "tags", "favourites_count"),
            *("reblogs_count", "replies_count", "sensitive", "reblog", "media", "media_attachments", "instance"),
            *("instance_remote", "in_reply_to_account_id", "emojis", "card", "poll"),
            *("favourited", "reblogged", "muted", "bookmarked", "pinned", "filtered"),
        ),
    )


def _mastodon_author(meta: Meta) -> str | None:
    """The author's name with its server, which names of the asked server's own lack."""
    name, server = text(dig(meta, "account", "acct")), text(meta.get("instance"))
    return f"{name}@{server}" if name and server and "@" not in name else name


def _mastodon_file(meta: Meta) -> Attachment:
    return _mastodon_picture(inner(meta, "media") or {"url": meta.get(_ADDRESS)}, _kind(meta))


def _mastodon_picture(media: Meta, kind: str | None) -> Attachment:
    kind = {"image": "photo", "gifv": "gif", "video": "video"}.get(str(media.get("type")), kind)
    names = ("preview_url",) if kind in ("gif", "video") else ("url", "remote_url", "preview_url")
    url = next(filter(None, (still(media.get(name)) for name in names)), "")
    size = inner(media, "meta", "original")
    return picture(url, alt=media.get("description"), kind=kind, width=size.get("width"), height=size.get("height"))


def _mastodon_pictures(meta: Meta) -> tuple[Attachment, ...]:
    """gallery-dl takes the list of a post's files away, but not that of the one it boosts."""
    media = [each for each in listed(meta, "reblog", "media_attachments") if isinstance(each, Mapping)]
    return tuple(_mastodon_picture(each, None) for each in media if each.get("type") != "audio")


# Tumblr


def _tumblr_post(meta: Meta) -> Post:
    if meta.get("id") == "avatar":
        raise ValueError("about an account, and no post: tumblr avatar")
    return tumblr.post(beyond(meta, *_READ, "photo", "source", "keepreading", "reblogged"))


def _tumblr_file(meta: Meta) -> Attachment:
    """A photo of the post, or a picture in its text, which only the text has the address of."""
    photo, name = inner(meta, "photo"), text(meta.get("filename"))
    in_text = (each for each in tumblr.post(meta).attachments if name and f"/{name}." in each.url)
    stated = next(in_text, Attachment(url=""))
    url = photo.get("url") or meta.get(_ADDRESS) or stated.url
    kind = _kind(meta) or (tumblr.kind(url) if isinstance(url, str) else None)
    size = {name: photo.get(name) or meta.get(name) or getattr(stated, name) for name in ("width", "height")}
    return _attachment(size, meta.get("thumbnail_url") if kind == "video" else url, alt=stated.alt, kind=kind)


def _tumblr_pictures(meta: Meta) -> tuple[Attachment, ...]:
    return tumblr.post(meta).attachments


# TikTok


def _tiktok_post(meta: Meta) -> Post:
    return tiktok.post(beyond(meta, *_READ, "user", "title", "type", "image", "file_id", "img_id", "audio_id"))


def _tiktok_file(meta: Meta) -> Attachment:
    """A photo, or the cover of a video."""
    if meta.get("type") not in ("image", None) or meta.get("extension") in _FILMS:
        return tiktok.post(meta).attachments[0]
    url = meta.get(_ADDRESS) or dig(meta, "image", "imageURL", "urlList", 0)
    return _attachment(meta, url, kind="photo")


def _tiktok_pictures(meta: Meta) -> tuple[Attachment, ...]:
    return tiktok.post(meta).attachments


# any other site


def _any_post(meta: Meta) -> Post:
    """A post of a site that isn't known, by the names that its members usually have."""
    names = {
        "id": ("tweet_id", "post_id", "id", "uri", "shortcode", "gallery_id", "image_id"),
        "url": ("post_url", "permalink", "webpage_url", "page_url", "url"),
        "created_at": ("date", "created_at", "createdAt", "timestamp"),
        "text": ("content", "text", "caption", "description", "body", "title"),
        "hashtags": ("hashtags", "tags"),
        "likes": ("likes", "like_count", "favorite_count", "favourites_count"),
        "language": ("lang", "language"),
    }
    member = {field: next((name for name in names if meta.get(name)), "") for field, names in names.items()}
    stated = {field: meta.get(name) for field, name in member.items()}
    post_id, site = ident(stated["id"]), text(meta.get("category"))
    if not post_id or not site:
        raise ValueError("no category, or no id by any of its usual names")
    invalid = str(stated["created_at"]).startswith("[Invalid")
    created_at, time_problem = stated_time(None if invalid else stated["created_at"])
    author = next((meta[name] for name in ("author", "user", "username", "artist", "uploader") if meta.get(name)), None)
    return Post(
        source=site,
        id=post_id,
        url=web(stated["url"]) or None,
        author=text(named(author, "username", "name", "handle", "id")),
        created_at=created_at,
        time_problem=time_problem,
        text=text(stated["text"]),
        language=text(stated["language"]),
        hashtags=hashtags(stated["hashtags"]),
        likes=stated_count(stated["likes"]),
        extra=beyond(meta, *_READ, *member.values()),
    )


def _any_file(meta: Meta) -> Attachment:
    stated = (meta.get(name) for name in (_ADDRESS, "file_url", "image_url", "media_url", "display_url"))
    url = next(filter(None, map(still, stated)), "")
    return _attachment(meta, url, alt=meta.get("alt_text") or meta.get("alt"), kind=_kind(meta))


_ANY = _Site(post=_any_post, file=_any_file, pictures=_nothing, known_by=frozenset())
_MASTODON = _Site(
    post=_mastodon_post,
    file=_mastodon_file,
    pictures=_mastodon_pictures,
    known_by=frozenset({"account", "created_at", "uri", "visibility"}),
)
_SITES = {
    "twitter": _Site(
        post=_twitter_post,
        file=_twitter_file,
        pictures=_nothing,
        known_by=frozenset({"tweet_id", "retweet_id", "author"}),
    ),
    "instagram": _Site(
        post=_instagram_post,
        file=_instagram_file,
        pictures=_nothing,
        known_by=frozenset({"post_id", "post_shortcode"}),
    ),
    "bluesky": _Site(
        post=_bluesky_post,
        file=_bluesky_file,
        pictures=_bluesky_pictures,
        known_by=frozenset({"post_id", "cid", "createdAt"}),
    ),
    "tumblr": _Site(
        post=_tumblr_post,
        file=_tumblr_file,
        pictures=_tumblr_pictures,
        known_by=frozenset({"blog_name", "post_url", "reblog_key"}),
    ),
    "tiktok": _Site(
        post=_tiktok_post,
        file=_tiktok_file,
        pictures=_tiktok_pictures,
        known_by=frozenset({"id", "desc", "createTime", "author"}),
    ),
}


def _matches(record: Any) -> bool:
    if isinstance(record, Mapping):
        return "category" in record and "subcategory" in record and _is_its_own(record)
    if not isinstance(record, list) or len(record) < 2:
        return False
    kind, last = record[0], record[-1]
    return (
        (kind in (_POST, _FILE, _QUEUED) and isinstance(last, Mapping) and "category" in last)
        or (kind == _ERROR and isinstance(last, Mapping) and "error" in last)
        or (len(record) == 2 and isinstance(kind, str) and _EXCEPTION.fullmatch(kind) is not None)
    )


def _is_its_own(meta: Meta) -> bool:
    """Whether metadata are gallery-dl's, as its categories are words that a table of anybody's may have: by members
    that the posts of a site have, or as they lie beside a file of the kind that they name."""
    site = _site(meta)
    if site is not _ANY:
        return site.known_by <= meta.keys()
    return "filename" in meta and str(meta.get("__file__")).endswith(f".{meta.get('extension')}.json")


FORMATS = (
    Format(
        name="gallery-dl", title="gallery-dl's JSON or metadata", matches=_matches, read=_read, row_per_picture=True
    ),
)
