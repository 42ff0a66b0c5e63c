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

SOURCE = "x"
_READ = (
    *("id", "text", "note_tweet", "note_post", "author_id", "author", "author_user", "created_at", "lang", "entities"),
    *("attachments", "public_metrics", "possibly_sensitive", "referenced_tweets", "referenced_posts", "__twarc"),
    *("in_reply_to_user", "in_reply_to_user_id"),
)


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
        for each in dig(includes, name) or ():
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
    if "data" not in record:  # a page without posts
        return "meta" in record and set(record) <= {"errors", "includes", "meta", "__twarc"}
    return (
        isinstance(record["data"], list | Mapping)
        and "source_platform" not in record
        and any(name in record for name in ("includes", "meta", "__twarc", "matching_rules"))
    )


def _is_flat(record: Mapping[str, Any]) -> bool:
    return {"id", "text"} <= set(record) and any(
        name in record for name in ("public_metrics", "edit_history_tweet_ids", "edit_history_post_ids")
    )


def _read(record: Mapping[str, Any]) -> Iterator[Post | Rejected]:
    if not _is_page(record):
        yield post(record, members(None))
        return
    includes = members(record.get("includes"))
    retrieved = dig(record, "__twarc", "retrieved_at")
    for values in page_posts(record):
        try:
            yield post({**values, "__twarc": {"retrieved_at": retrieved}} if retrieved else values, includes)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            yield Rejected(line=None, reason=f"post {text(values.get('id'))}: {error}")


FORMATS = (Format(name="x-api", title="X API v2 (pages, twarc, 4CAT)", matches=_matches, read=_read),)
