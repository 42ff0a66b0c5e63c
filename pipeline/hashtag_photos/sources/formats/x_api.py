"""Posts as X's API v2 gives them, in a page with its includes, or flattened so that each post holds what it refers to.

The public description of the API renamed members in 2026 (tweets -> posts, retweet -> repost): both are read. A repost
(a retweet) is a post of its own that shows the pictures, the text and the hashtags of the original.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import Any

from hashtag_photos.records import Attachment, Post, Rejected
from hashtag_photos.sources.fields import beyond, count, dig, ident, stated_time, text, truth
from hashtag_photos.sources.formats import Format
from hashtag_photos.sources.formats.captured import inner

SOURCE = "x"
_READ = (
    *("id", "text", "note_tweet", "note_post", "author_id", "author", "author_user", "created_at", "lang", "entities"),
    *("attachments", "public_metrics", "possibly_sensitive", "referenced_tweets", "referenced_posts", "__twarc"),
    *("in_reply_to_user", "in_reply_to_user_id"),
)
_COUNTED = ("like_count", "retweet_count", "repost_count", "reply_count")
_EDITS = ("edit_history_tweet_ids", "edit_history_post_ids")
_OBJECTS = ("public_metrics", "entities", "attachments", "author", "author_user", "__twarc", "edit_controls", "geo")
_LISTS = (*_EDITS, "referenced_tweets", "referenced_posts")
_INCLUDED = ("media", "tweets", "posts", "users", "polls", "places", "topics")


def address(post_id: str) -> str:
    """Where a post of X stands, without its author's name."""
    return f"https://x.com/i/web/status/{post_id}"


def members(includes: Any) -> dict[str, dict[str, Any]]:
    """The includes of a page by what they are found by: media by media_key, posts and users by id."""
    found: dict[str, dict[str, Any]] = {"media": {}, "posts": {}, "users": {}}
    for name, kind, key in (
        ("media", "media", "media_key"),
        ("tweets", "posts", "id"),
        ("posts", "posts", "id"),
        ("users", "users", "id"),
    ):
        listed = dig(includes, name)
        for each in listed if isinstance(listed, list) else ():
            if isinstance(each, Mapping) and each.get(key):
                found[kind][str(each[key])] = each
    return found


def page_posts(page: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The posts of a page, without those that it includes for reference alone."""
    data = page.get("data")
    listed = data if isinstance(data, list) else [data]
    return [each for each in listed if isinstance(each, Mapping)]


def post(values: Mapping[str, Any], includes: Mapping[str, Mapping[str, Any]]) -> Post:
    """One post of the API. Raises ValueError if it has no id."""
    post_id = ident(values.get("id"))
    if not post_id:
        raise ValueError("a post without id")
    if values.get("author_id") == "UNKNOWN":
        raise ValueError(f"post {post_id} could not be looked up: {text(values.get('subject')) or 'no reason given'}")
    original, original_id = _original(values, includes)
    shown = values if original is None else original
    created_at, time_problem = stated_time(values.get("created_at"))
    extra = beyond(values, *_READ)
    if metrics := beyond(inner(values, "public_metrics"), *_COUNTED):
        extra["public_metrics"] = metrics
    if attachments := beyond(inner(values, "attachments"), "media", "media_keys"):
        extra["attachments"] = attachments
    if references := [
        {"type": each.get("type"), "id": each.get("id")}
        for each in _references(values)
        if each.get("type") != "retweeted"
    ]:
        extra["referenced_posts"] = references
    return Post(
        source=SOURCE,
        id=post_id,
        url=address(post_id),
        author=_author(values, includes),
        created_at=created_at,
        time_problem=time_problem,
        text=_text(shown) if shown is not values and _text(shown) else _text(values),
        language=text(values.get("lang")),
        hashtags=tuple(_hashtags(shown)),
        likes=count(dig(values, "public_metrics", "like_count")),
        reposts=_reposts(values.get("public_metrics")),
        replies=count(dig(values, "public_metrics", "reply_count")),
        sensitive=truth(values.get("possibly_sensitive")),
        repost_of=original_id,
        attachments=tuple(_attachments(shown, includes) or _attachments(values, includes)),
        collected_at=stated_time(dig(values, "__twarc", "retrieved_at"))[0],
        extra=extra,
    )


def lacking_media(values: Mapping[str, Any], includes: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The id of the original of a repost whose pictures the page names, or may have, but doesn't hold."""
    original, original_id = _original(values, includes)
    if original_id is None:
        return None
    if original is None:
        return original_id
    keys = dig(original, "attachments", "media_keys") or []
    return original_id if any(isinstance(key, str) and key not in includes["media"] for key in keys) else None


def _reposts(metrics: Any) -> int | None:
    found = count(dig(metrics, "repost_count"))
    return count(dig(metrics, "retweet_count")) if found is None else found


def _references(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = values.get("referenced_posts") or values.get("referenced_tweets") or ()
    return [each for each in listed if isinstance(each, Mapping)]


def _original(
    values: Mapping[str, Any], includes: Mapping[str, Mapping[str, Any]]
) -> tuple[Mapping[str, Any] | None, str | None]:
    """What a repost shows, if that is at hand, and its id."""
    for each in _references(values):
        if each.get("type") in ("retweeted", "reposted") and each.get("id"):
            inlined = each if "text" in each else None
            return includes["posts"].get(str(each["id"]), inlined), str(each["id"])
    return None, None


def _author(values: Mapping[str, Any], includes: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The author's name as it is written after the @; its number where the name isn't there."""
    author = values.get("author") or values.get("author_user") or includes["users"].get(str(values.get("author_id")))
    return text(dig(author, "username") or values.get("author_username") or values.get("author_id"))


def _text(values: Mapping[str, Any]) -> str | None:
    """The whole text, also of a long post; X writes &, < and > as HTML does."""
    whole = dig(values, "note_post", "text") or dig(values, "note_tweet", "text") or text(values.get("text"))
    return None if whole is None else html.unescape(whole)


def _hashtags(values: Mapping[str, Any]) -> Iterator[str]:
    for holder in (dig(values, "note_post"), dig(values, "note_tweet"), values):
        if listed := dig(holder, "entities", "hashtags"):
            yield from (str(each["tag"]) for each in listed if isinstance(each, Mapping) and each.get("tag"))
            return


def _attachments(values: Mapping[str, Any], includes: Mapping[str, Mapping[str, Any]]) -> list[Attachment]:
    attachments = values.get("attachments") or {}
    inlined = {each["media_key"]: each for each in attachments.get("media") or () if each.get("media_key")}
    found = []
    for key in attachments.get("media_keys") or ():
        # 4CAT puts the object where the API has its key
        media = key if isinstance(key, Mapping) else inlined.get(key) or includes["media"].get(str(key), {})
        kind = media.get("type")
        found.append(
            Attachment(
                # one that X names and doesn't describe is still a picture of the post: it is counted as missing
                url=text(media.get("url") if kind == "photo" else media.get("preview_image_url") or media.get("url"))
                or "",
                alt=text(media.get("alt_text")),
                kind={"animated_gif": "gif"}.get(str(kind), text(kind)),
                width=count(media.get("width")),
                height=count(media.get("height")),
            )
        )
    return found


def _matches(record: Any) -> bool:
    return isinstance(record, Mapping) and (_is_page(record) or _is_flat(record))


def _is_page(record: Mapping[str, Any]) -> bool:
    """A page has posts, and what only X's pages say beside them; other APIs have `data` and `meta` too."""
    counted = "result_count" in inner(record, "meta")
    if "data" not in record:  # a page without posts
        return counted and record.keys() <= {"errors", "includes", "meta", "__twarc"}
    return (
        isinstance(record["data"], list | Mapping)
        and "source_platform" not in record
        and (
            counted
            or any(name in inner(record, "includes") for name in _INCLUDED)
            or isinstance(record.get("__twarc"), Mapping)
            or isinstance(record.get("matching_rules"), list)
        )
    )


def _is_flat(record: Mapping[str, Any]) -> bool:
    """A post has objects and lists as its members: a row of a table has none."""
    return (
        "id" in record
        and "text" in record
        and (
            isinstance(record.get("public_metrics"), Mapping)
            or any(isinstance(record.get(name), list) for name in _EDITS)
        )
    )


def _is_post(record: Mapping[str, Any]) -> bool:
    """Whether it is a post at all, be it a broken one."""
    return (
        "id" in record
        and ("text" in record or "author_id" in record)
        and "source_platform" not in record
        and (
            any(isinstance(record.get(name), Mapping) for name in _OBJECTS)
            or any(isinstance(record.get(name), list) for name in _LISTS)
        )
    )


def _read(record: Any) -> Iterator[Post | Rejected]:
    if isinstance(record, Mapping) and _is_page(record):
        yield from _of_page(record)
    elif isinstance(record, Mapping) and _is_post(record):
        yield post(record, members(None))
    else:
        raise ValueError("not a record of X API v2")


def _of_page(page: Mapping[str, Any]) -> Iterator[Post | Rejected]:
    includes = members(page.get("includes"))
    retrieved = dig(page, "__twarc", "retrieved_at")
    data = page.get("data", [])
    for values in data if isinstance(data, list) else [data]:
        try:
            if not isinstance(values, Mapping):
                raise ValueError("a member of the page's data that is no object")
            yield post({**values, "__twarc": {"retrieved_at": retrieved}} if retrieved else values, includes)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            yield Rejected(line=None, reason=f"post {text(dig(values, 'id'))}: {error}")


FORMATS = (Format(name="x-api", title="X API v2 (pages, twarc, 4CAT)", matches=_matches, read=_read),)
