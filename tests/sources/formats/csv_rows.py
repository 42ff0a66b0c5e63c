"""What the tests of tables share: rows of the fixtures, and every way in which a row may be broken."""

from __future__ import annotations

import csv
from pathlib import Path

from captures import FIXTURES

from hashtag_photos import sources
from hashtag_photos.records import Post, Rejected
from hashtag_photos.tables import posts_table

Row = dict[str, str]


def rows(name: str) -> list[Row]:
    with (FIXTURES / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_rows(folder: Path, *rows: Row, format: str | None = None) -> list[Post | Rejected]:
    path = folder / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return list(sources.exported(path, format=format).posts())


def read_row(folder: Path, row: Row, format: str | None = None) -> Post | Rejected:
    (only,) = read_rows(folder, row, format=format)
    return only


def assert_rows_always_read_or_rejected(folder: Path, row: Row, *, format: str) -> None:
    """Without any of its columns, with an empty or a wrong cell in it, a row is a post or is rejected for a reason."""
    for column in row:
        others = {name: cell for name, cell in row.items() if name != column}
        for changed in (others, {**row, column: ""}, {**row, column: "x"}, {**row, column: "[1, {"}):
            found = read_row(folder, changed, format=format)
            if isinstance(found, Rejected):
                assert found.line == 2
                assert found.reason
            else:
                assert found.id
                assert posts_table([found]).num_rows == 1
