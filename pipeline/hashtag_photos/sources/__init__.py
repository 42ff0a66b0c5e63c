"""Where posts come from: one module each, all of them yield Post.

A source is a small frozen value. `asked()` is what run.json remembers of it, `restore()` makes it again from that;
`check()` raises before anything is written; `state()` says whether there can be anything new; `local()` is open while
the run downloads and says what on this machine the downloader may touch for it (see http.Local).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from hashtag_photos.errors import SourceError
from hashtag_photos.http import Local
from hashtag_photos.records import Post, Rejected
from hashtag_photos.sources.exports import Exported
from hashtag_photos.sources.exports import exported as exported
from hashtag_photos.sources.folders import Folder
from hashtag_photos.sources.folders import folder as folder
from hashtag_photos.sources.sample import Sample
from hashtag_photos.sources.sample import sample as sample

__all__ = ["Source", "exported", "folder", "restore", "sample"]


class Source(Protocol):
    """What every source can do."""

    @property
    def title(self) -> str:
        """What it is, for people."""

    def asked(self) -> dict[str, Any]:
        """What to remember: plain values, `kind` among them."""

    def check(self) -> None:
        """Raise SourceError if there is nothing here to collect."""

    def state(self) -> str | None:
        """Changes when there may be new posts; None if only collecting can tell."""

    def size(self) -> int | None:
        """About how many posts there are, for a progress bar."""

    def posts(self) -> Iterator[Post | Rejected]:
        """Every post, and a Rejected for every line that is none."""

    def local(self) -> AbstractContextManager[Local]:
        """What on this machine the downloader may reach, while this is open."""


_KINDS: dict[str, Any] = {"exported": Exported, "folder": Folder, "sample": Sample}


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
