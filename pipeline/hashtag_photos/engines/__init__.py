"""Who can do the work of the stages: this machine, or a Ray cluster. `find_engine` finds them by name."""

from __future__ import annotations

from hashtag_photos.errors import UsageError
from hashtag_photos.stages.engine import LOCAL, Engine

NAMES = ("local", "ray")


def find_engine(name: str) -> Engine:
    """The engine of this name: local or ray. Raises UsageError for another, or if Ray isn't installed."""
    if name == "local":
        return LOCAL
    if name == "ray":
        from hashtag_photos.engines.ray import Ray

        return Ray()
    raise UsageError(f"there is no engine {name!r}: choose {' or '.join(NAMES)}", subject=name)
