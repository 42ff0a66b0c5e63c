"""What the tests of captured websites share: their files, and every way in which a record may be broken."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hashtag_photos import sources
from hashtag_photos.records import Post, Rejected
from hashtag_photos.tables import posts_table

FIXTURES = Path(__file__).parent / "fixtures"
_WRONG = (None, 5, -1, 10**12, 1.9e18, True, "x", "0", [], {}, [None], [5], ["x"], [{}], {"x": 5})


def fixture(name: str) -> list[Post | Rejected]:
    """The posts of a file in the order of its lines."""
    return sorted(sources.exported(FIXTURES / name).posts(), key=lambda each: each.line or 0)


def records(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FIXTURES / name).read_text(encoding="utf-8").splitlines()]


def read(folder: Path, *records: Any, format: str | None = None) -> list[Post | Rejected]:
    return list(sources.exported(written(folder, *records), format=format).posts())


def written(folder: Path, *records: Any) -> Path:
    path = folder / "records.ndjson"
    path.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    return path


def read_one(folder: Path, record: Any, format: str | None = None) -> Post | Rejected:
    (only,) = read(folder, record, format=format)
    return only


def broken(record: Any, levels: int) -> Iterator[Any]:
    """The record with each member of its first levels taken away, or made something that it isn't."""
    for path in list(_paths(record, levels)):
        for wrong in (*_WRONG, ...):
            changed = copy.deepcopy(record)
            holder = changed
            for step in path[:-1]:
                holder = holder[step]
            if wrong is ...:
                del holder[path[-1]]
            else:
                holder[path[-1]] = wrong
            yield changed


def _paths(value: Any, levels: int) -> Iterator[tuple[str | int, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members if levels else ():
        yield (name,)
        yield from ((name, *rest) for rest in _paths(member, levels - 1))


def assert_always_read_or_rejected(folder: Path, record: Any, *, format: str, levels: int = 12) -> None:
    """However it is broken, a record is a post that can be stored, or one that is rejected for a reason."""
    changed = list(broken(record, levels))
    between = [
        line for each in changed for line in (each, "no record")
    ]  # posts of one id are one if nothing is between
    found = read(folder, *between, format=format)
    assert len(found) == len(between)
    posts = [each for each in found if isinstance(each, Post)]
    assert all(each.id for each in posts)
    assert posts_table(posts).num_rows == len(posts)
    assert all(each.reason for each in found if isinstance(each, Rejected))
