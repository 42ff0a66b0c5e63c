"""Posts of X as its website gets them: what Zeeschuimer captures, and 4CAT's NDJSON of it.

Since 2023 that is GraphQL: `rest_id`, `legacy` and `core`, sometimes wrapped in `{"tweet": …}`. The author's name has
moved twice since. Before, it was the shape of the old API ("adaptive"): `legacy` and `user`, with an `id` that lost its
last digits. A repost shows the pictures, the text and the hashtags of the original, which it holds whole.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hashtag_photos.records import Attachment, Post
from hashtag_photos.sources.fields import beyond, dig, empty, hashtags, stated_time, text, truth
from hashtag_photos.sources.formats import Format
from hashtag_photos.sources.formats.captured import META, collected_at, inner, listed, picture, stated_count, sure_id
from hashtag_photos.sources.formats.x_api import SOURCE, address

_GONE = {"TweetTombstone", "TweetUnavailable"}
_KINDS = {"photo": "photo", "video": "video", "animated_gif": "gif"}
_READ = (
    *(META, "__typename", "id", "rest_id", "type", "legacy", "core", "user", "note_tweet", "promoted"),
    *("possibly_sensitive", "quoted_status_result"),
    # large, and about other things or people than the post
    *("card", "quotedRefResult", "superFollowsReplyUserResult", "author_community_relationship"),
)
_LEGACY = frozenset(
    (
        *("id", "id_str", "created_at", "full_text", "text", "lang", "possibly_sensitive"),
        *("favorite_count", "retweet_count", "reply_count", "retweeted_status_id", "retweeted_status_id_str"),
        *("quoted_status_id", "quoted_status_id_str", "in_reply_to_status_id", "in_reply_to_status_id_str"),
        # people: the author, who is answered, and whose browser it was
        *("user_id", "user_id_str", "in_reply_to_user_id", "in_reply_to_user_id_str", "in_reply_to_screen_name"),
        *("favorited", "retweeted", "bookmarked"),
    )
)


def post(record: Mapping[str, Any]) -> Post:
    """One post. Raises ValueError for an advertisement, a post that is gone, and one without a sure id."""
    values = _unwrapped(record)
    post_id = _id(values)
    if values.get("__typename") in _GONE or "tombstone" in values:
        raise ValueError(f"a post that X doesn't show: {text(dig(values, 'tombstone', 'text', 'text')) or 'no reason'}")
    if values.get("promoted") is True:
        raise ValueError(f"post {post_id} is an advertisement (promoted)")
    if post_id is None:
        raise ValueError("a post without an id that is sure to its last digit")
    legacy = _contents(values)
    if not legacy:
        raise ValueError(f"post {post_id} has no contents")
    held = _unwrapped(inner(legacy, "retweeted_status_result", "result"))
    original = held if _contents(held) else {}
    sensitive = _sensitive(values)
    created_at, time_problem = stated_time(legacy.get("created_at"))
    return Post(
        source=SOURCE,
        id=post_id,
        url=address(post_id),
        author=_author(values, post_id),
        created_at=created_at,
        time_problem=time_problem,
        text=_text(original) or _text(values),
        language=text(legacy.get("lang")),
        hashtags=tuple(_hashtags(original or values)),
        likes=stated_count(legacy.get("favorite_count")),
        reposts=stated_count(legacy.get("retweet_count")),
        replies=stated_count(legacy.get("reply_count")),
        sensitive=_sensitive(original) if sensitive is None else sensitive,
        repost_of=_id(held) or sure_id(legacy.get("retweeted_status_id_str")),
        attachments=tuple(_attachments(original)) or tuple(_attachments(values)),
        collected_at=collected_at(values),
        extra={**beyond(values, *_READ), **_references(legacy), **_facts(legacy)},
    )


def _unwrapped(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A post without the wrapper of those whose visibility is limited; what stood beside the wrapper stays."""
    wrapped = values.get("tweet")
    if not isinstance(wrapped, Mapping):
        return values
    return {**{name: value for name, value in values.items() if name != "tweet"}, **wrapped}


def _id(values: Mapping[str, Any]) -> str | None:
    """The post's id. The member `id` is Zeeschuimer's own and often rounded."""
    return sure_id(values.get("rest_id")) or sure_id(dig(values, "legacy", "id_str"))


def _contents(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a post says, if it is more than its id: of some posts within others there is only that."""
    legacy = inner(values, "legacy")
    return legacy if legacy.keys() - {"id_str"} else {}


def _references(legacy: Mapping[str, Any]) -> dict[str, Any]:
    """What the post quotes and replies to, named as the API names it."""
    found = [
        {"type": kind, "id": post_id}
        for kind, member in (("quoted", "quoted_status_id_str"), ("replied_to", "in_reply_to_status_id_str"))
        if (post_id := sure_id(legacy.get(member)))
    ]
    return {"referenced_posts": found} if found else {}


def _facts(legacy: Mapping[str, Any]) -> dict[str, Any]:
    """The small facts that weren't read; lists and objects are about texts, addresses and people, but for the place."""
    found = {
        name: value
        for name, value in legacy.items()
        if name not in _LEGACY and (name == "place" or not isinstance(value, (dict, list))) and not empty(value)
    }
    return {"legacy": found} if found else {}


def _author(values: Mapping[str, Any], post_id: str) -> str | None:
    """The author's name as it is written after the @; its number where the name isn't there."""
    user = inner(values, "core", "user_results", "result")
    return text(
        dig(user, "core", "screen_name")
        or dig(user, "legacy", "screen_name")
        or dig(values, "user", "screen_name")
        or _author_of_media(values, post_id)
        or dig(values, "legacy", "user_id_str")
    )


def _author_of_media(values: Mapping[str, Any], post_id: str) -> str | None:
    """The name in the address of the post's own pictures; pictures taken from another post name that one's author."""
    for media in _media(values):
        match = re.match(rf"https?://(?:x|twitter)\.com/(\w+)/status/{post_id}/", text(media.get("expanded_url")) or "")
        if match:
            return match[1]
    return None


def _note(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a long post says in full."""
    return inner(values, "note_tweet", "note_tweet_results", "result")


def _text(values: Mapping[str, Any]) -> str | None:
    """The whole text; X writes &, < and > as HTML does."""
    legacy = inner(values, "legacy")
    whole = text(_note(values).get("text")) or text(legacy.get("full_text")) or text(legacy.get("text"))
    return None if whole is None else html.unescape(whole)


def _hashtags(values: Mapping[str, Any]) -> tuple[str, ...]:
    in_note = listed(_note(values), "entity_set", "hashtags")
    return hashtags(in_note or listed(values, "legacy", "entities", "hashtags"))


def _sensitive(values: Mapping[str, Any]) -> bool | None:
    stated = dig(values, "legacy", "possibly_sensitive")
    return truth(values.get("possibly_sensitive") if stated is None else stated)


def _media(values: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The media of a post, each once: `entities` names only some, and without their alternative texts."""
    seen: set[str] = set()
    for holder in ("extended_entities", "entities"):
        for media in listed(values, "legacy", holder, "media"):
            if not isinstance(media, Mapping):
                continue
            names = {str(media[name]) for name in ("id_str", "media_key", "media_url_https") if media.get(name)}
            if not names & seen:
                yield media
            seen |= names


def _attachments(values: Mapping[str, Any]) -> Iterator[Attachment]:
    for media in _media(values):
        size = inner(media, "original_info")
        yield picture(
            media.get("media_url_https"),
            alt=media.get("ext_alt_text"),
            kind=_KINDS.get(str(media.get("type")), text(media.get("type"))),
            width=size.get("width"),
            height=size.get("height"),
        )


def _matches(record: Any) -> bool:
    if not isinstance(record, Mapping) or "source_platform" in record:
        return False
    values = _unwrapped(record)
    if "rest_id" in values:
        return values.get("__typename") != "User" and any(inner(values, name) for name in ("legacy", "core"))
    return (values.get("type") == "adaptive" and bool(inner(values, "legacy"))) or (
        "__typename" in values and "tombstone" in values
    )


def _read(record: Any) -> Iterator[Post]:
    if not isinstance(record, Mapping) or "source_platform" in record or not _is_post(_unwrapped(record)):
        raise ValueError("not a record of X's website")
    yield post(record)


def _is_post(values: Mapping[str, Any]) -> bool:
    """Whether it is a post at all, be it a broken one, or one that is gone; users have the same members as posts."""
    marked = any(name in values for name in ("rest_id", "legacy", "tombstone"))
    return marked and values.get("__typename") != "User"


FORMATS = (
    Format(name="x-web", title="X posts as its website gets them (4CAT's NDJSON)", matches=_matches, read=_read),
)
