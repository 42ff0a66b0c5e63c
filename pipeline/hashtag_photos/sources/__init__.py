"""Where posts come from: servers, exports, folders of pictures, the sample; all of them yield Post.

A source is a small frozen value. `asked()` is what run.json remembers of it, `restore()` makes it again from that;
`check()` raises before anything is written; `state()` says whether there can be anything new; `local()` is open while
the run downloads and says what on this machine the downloader may touch for it (see http.Local).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import date
from typing import Any, Protocol

from hashtag_photos.errors import SourceError, UsageError
from hashtag_photos.http import Local
from hashtag_photos.records import Post, Rejected
from hashtag_photos.sources.bluesky_api import Bluesky
from hashtag_photos.sources.bluesky_api import bluesky as bluesky
from hashtag_photos.sources.exports import Exported
from hashtag_photos.sources.exports import exported as exported
from hashtag_photos.sources.folders import Folder
from hashtag_photos.sources.folders import folder as folder
from hashtag_photos.sources.mastodon_api import Mastodon
from hashtag_photos.sources.mastodon_api import mastodon as mastodon
from hashtag_photos.sources.sample import Sample
from hashtag_photos.sources.sample import sample as sample
from hashtag_photos.sources.visit import Bookmark, Visit
from hashtag_photos.sources.x_search import X
from hashtag_photos.sources.x_search import x as x

__all__ = ["Source", "bluesky", "exported", "folder", "mastodon", "restore", "sample", "search", "x"]


class Source(Protocol):
    """What every source can do."""

    @property
    def title(self) -> str:
        """What it is, for people."""

    @property
    def recognised(self) -> str | None:
        """What was found out about it that the user didn't say. Raises SourceError if it can't be read."""

    def asked(self) -> dict[str, Any]:
        """What to remember: plain values, `kind` among them."""

    def check(self) -> None:
        """Raise SourceError if there is nothing here to collect."""

    def state(self) -> str | None:
        """Changes when there may be new posts; None if only collecting can tell."""

    def size(self) -> int | None:
        """About how many posts there are, for a progress bar; None if that can't be told."""

    def posts(self, visit: Visit = ...) -> Iterator[Post | Rejected | Bookmark]:
        """Every post, a Rejected for what is none, and a Bookmark wherever it can go on from later.

        Raises visit.Stopped where it ends before its end.
        """

    def local(self) -> AbstractContextManager[Local]:
        """What on this machine the downloader may reach, while this is open."""


_KINDS: dict[str, Any] = {
    "bluesky": Bluesky,
    "exported": Exported,
    "folder": Folder,
    "mastodon": Mastodon,
    "sample": Sample,
    "x": X,
}


def search(where: str, hashtag: str, *, since: str | date | None = None, until: str | date | None = None) -> Source:
    """A search from its name: `mastodon:SERVER`, `bluesky` or `x`; these two also with `:SERVER`.

    Raises UsageError for a place that there isn't, and for what is no hashtag or time.
    """
    kind, _, server = where.strip().partition(":")
    if kind == "mastodon" and server:
        return mastodon(hashtag, server, since=since, until=until)
    if kind == "bluesky":
        return bluesky(hashtag, since=since, until=until, **({"server": server} if server else {}))
    if kind == "x":
        return x(hashtag, since=since, until=until, **({"server": server} if server else {}))
    raise UsageError(
        f"{where!r} is no place to search: give mastodon:SERVER (such as mastodon:mastodon.social), bluesky or x",
        subject=where,
    )


def restore(asked: Mapping[str, Any]) -> Source:
    """The source that `asked()` described. Raises SourceError for a kind that this version doesn't know."""
    values = dict(asked)
    kind = values.pop("kind", None)
    if kind not in _KINDS:
        raise SourceError(
            f"posts come from a source {kind!r} that this version of hashtag-photos doesn't know", subject=kind
        )
    made: Source = _KINDS[kind](**values)
    return made
