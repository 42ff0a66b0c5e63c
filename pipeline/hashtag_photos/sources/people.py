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
    "account", "accounts", "actor", "author", "authors", "avatar", "bio", "biography", "blog", "channel",
    "coauthor", "coauthors", "creator", "did", "email", "follower", "followers", "fullname", "handle", "mention",
    "mentions", "mentioned", "nick", "nickname", "owner", "people", "person", "poster", "profile", "replied",
    "screenname", "tagged", "user", "username", "users", "usertags",
})
# fmt: on
_NAMES = frozenset({"full_name", "display_name", "real_name", "first_name", "last_name", "screen_name", "unique_id"})
_STEP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")


def without_people(values: Mapping[str, Any]) -> dict[str, Any]:
    """The members of an object, and of the objects in it, but for those that are named as a person's are."""
    return {name: _inside(value) for name, value in values.items() if not _personal(name)}


def _inside(value: Any) -> Any:
    if isinstance(value, Mapping):
        return without_people(value)
    return [_inside(each) for each in value] if isinstance(value, list | tuple) else value


@lru_cache(maxsize=10_000)
def _personal(name: str) -> bool:
    words = [word.lower() for word in _STEP.split(str(name)) if word]
    return not _PEOPLE.isdisjoint(words) or words == ["name"] or "_".join(words) in _NAMES
