"""What the readers of tables share: cells are text, and a cell may hold several addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hashtag_photos.sources.fields import empty
from hashtag_photos.sources.formats.captured import web

_FILM = re.compile(r"\.(mp4|m4v|mov|webm|m3u8|mpd)(?=$|[?#])", re.IGNORECASE)


def stating(row: Any) -> dict[str, Any]:
    """The columns of a row, with None for cells that say nothing. Raises ValueError for what is no row."""
    if not isinstance(row, Mapping):
        raise ValueError("not a row of a table")
    return {
        # most begin with a letter or a digit, and say something
        str(name): cell if cell.__class__ is str and cell[:1].isalnum() else None if empty(cell) else cell
        for name, cell in row.items()
    }


def still(url: Any) -> str:
    """The address of a picture, or "" for what is none: no address, or that of a video's own file."""
    address = web(url)
    return "" if _FILM.search(address) else address
