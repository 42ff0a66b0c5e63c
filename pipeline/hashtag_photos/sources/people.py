"""Leaving people out of what a source said beyond the fields of a post.

It goes by the names of members, so it can't be perfect: a text that mentions somebody is kept as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

# fmt: off
_PEOPLE = frozenset({
    "account", "accounts", "actor", "artist", "author", "authors", "autor", "auteur", "autora", "avatar",
    "benutzer", "bio", "biography", "blog", "channel", "coauthor", "coauthors", "commenter", "compte", "creator",
    "cuenta", "did", "displayname", "email", "follower", "followers", "from", "fullname", "handle", "konto",
    "mention", "mentions", "mentioned", "nick", "nickname", "nutzer", "owner", "people", "person", "photographer",
    "poster", "posted", "profile", "publisher", "realname", "replied", "reposted", "reposter", "retweeted",
    "retweeter", "screenname", "sender", "submitter", "tagged", "uploader", "user", "username", "users", "usertags",
    "usuario", "utilisateur", "verfasser", "via",
})
# whose names are not a person's
_THINGS = frozenset({
    "app", "application", "category", "challenge", "city", "column", "country", "domain", "effect", "entity", "event",
    "field", "file", "geo", "hashtag", "list", "location", "music", "place", "poi", "song", "sound", "sticker", "tag",
    "topic", "track", "venue",
})
# fmt: on
_HANDLE = re.compile(r"@\w[\w.-]*(@[\w.-]+)?")
_DEEPEST = 50
_STEP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")


def without_people(values: Mapping[str, Any], author: str | None = None) -> dict[str, Any]:
    """The members of an object, and of the objects in it, but for people: what is named as a person's is, what is a
    handle (@ann), and what is the author's name."""
    return _object(values, author, frozenset(), 0)


def _object(values: Mapping[str, Any], author: str | None, within: frozenset[str], depth: int) -> dict[str, Any]:
    kept = {}
    for name, value in values.items():
        words = _words(str(name))
        of_a_person = not _PEOPLE.isdisjoint(words) or ("name" in words and _THINGS.isdisjoint(words | within))
        if not of_a_person and not _names(value, author):
            kept[name] = _inside(value, author, words, depth + 1)
    return kept


def _inside(value: Any, author: str | None, within: frozenset[str], depth: int) -> Any:
    if depth > _DEEPEST:
        return "nested too deeply"
    if isinstance(value, Mapping):
        return _object(value, author, within, depth)
    if isinstance(value, (list, tuple)):
        return [_inside(each, author, within, depth + 1) for each in value if not _names(each, author)]
    return value


def _names(value: Any, author: str | None) -> bool:
    if not isinstance(value, str) or not value:
        return False
    return value == author or (value[0] == "@" and _HANDLE.fullmatch(value) is not None)


@lru_cache(maxsize=10_000)
def _words(name: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _STEP.split(name) if word)
