"""What the exports of well-known tools look like: how to know one, and how to read its records as posts.

A record is one JSON value or one CSV row. A format changes over the years and its tool doesn't say so: `matches` looks
for what its versions have in common, and `read` takes what it finds, each member wherever it has been. Members that
nobody knows are kept in `Post.extra`. A record that is no post (an advertisement, a comment, a deleted post) is a
ValueError that says so, and ends in rejected.csv.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hashtag_photos.records import Post, Rejected


@dataclass(frozen=True, kw_only=True)
class Format:
    """An export format. `name` is what --format takes, `title` is for people.

    `matches` says of one record whether it is of this format; `read` gives its posts, or raises ValueError. Where a
    record has several posts, those that can't be read are Rejected. With a `row_per_picture`, records of one post that
    follow each other are one post with all their pictures.
    """

    name: str
    title: str
    matches: Callable[[Any], bool]
    read: Callable[[Any], Iterable[Post | Rejected]]
    row_per_picture: bool = False
