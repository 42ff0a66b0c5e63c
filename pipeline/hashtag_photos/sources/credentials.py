"""Secrets that servers ask for: from the environment, or from a file `.env` in the current folder.

They are read when they are needed, handed to the client library, and stored nowhere. What a server or a library says
goes through `scrub` before anybody sees it.
"""

from __future__ import annotations

import os
from pathlib import Path

from hashtag_photos.errors import SourceError

_SHORTEST = 6  # letters; what is shorter stands in other words too
_handed_out: set[str] = set()


def secret(name: str) -> str | None:
    """The secret of this name, or None if there is none. Raises SourceError if .env stands in a run folder."""
    from dotenv import dotenv_values

    value = os.environ.get(name)
    if not value and Path(".env").is_file():
        if Path("run.json").exists():
            raise SourceError(
                ".env stands in a run folder, which is handed on: move it out, and run the command from there",
                subject=".env",
            )
        try:
            value = dotenv_values(".env", interpolate=False).get(name)
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f".env can't be read ({error}): save it as UTF-8 text", subject=".env") from None
    value = (value or "").strip()
    if value:
        keep_secret(value)
    return value or None


def keep_secret(value: str) -> None:
    """Have a secret that a server gave, such as a session's, scrubbed as well."""
    if len(value) >= _SHORTEST:
        _handed_out.add(value)


def needed(name: str, what: str) -> str:
    """The secret of this name. Raises SourceError, with what to do, if there is none."""
    value = secret(name)
    if value is None:
        raise SourceError(
            f"{name} is not set: {what}; put it into the environment, or as {name}=… into a file .env here",
            subject=name,
        )
    return value


def scrub(text: str) -> str:
    """A text without any secret that was handed out."""
    for value in _handed_out:
        text = text.replace(value, "…")
    return text
