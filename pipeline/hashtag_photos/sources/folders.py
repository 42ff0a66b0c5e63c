"""A folder of pictures: each file is a post with one attachment, known by its path below the folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashtag_photos.errors import SourceError
from hashtag_photos.http import Local
from hashtag_photos.records import Attachment, Post
from hashtag_photos.sources.visit import Visit


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder of pictures. Make one with `folder()`."""

    path: str

    @property
    def title(self) -> str:
        return f"pictures in {self.path}"

    @property
    def recognised(self) -> None:
        return None

    def asked(self) -> dict[str, Any]:
        return {"kind": "folder", "path": self.path}

    def check(self) -> None:
        if not Path(self.path).is_dir():
            raise SourceError(
                f"{self.path}: no such folder; give a folder of pictures with --images", subject=self.path
            )
        if next(self._files(), None) is None:
            raise SourceError(
                f"{self.path}: there are no files in it; give a folder of pictures with --images", subject=self.path
            )

    def state(self) -> None:
        return None  # listing it is as cheap as any way to tell

    def size(self) -> int:
        return sum(1 for _ in self._files())

    def posts(self, visit: Visit = Visit()) -> Iterator[Post]:  # noqa: B008  it is frozen
        for file in self._files():
            yield Post(
                source="folder",
                id=file.relative_to(self.path).as_posix().encode(errors="backslashreplace").decode(),
                attachments=(Attachment(url=file.as_uri()),),
            )

    def local(self) -> AbstractContextManager[Local]:
        if not Path(self.path).is_dir():
            raise SourceError(
                f"{self.path}: the folder of pictures isn't there now; bring it back, then run the same command again",
                subject=self.path,
            )
        return nullcontext(Local(files=(Path(self.path),)))

    def _files(self) -> Iterator[Path]:
        """Every file below, in one order everywhere. Left out are hidden ones (.DS_Store and the like) and run folders.

        A link to a folder is not followed, but listed as if it were a file: so it is counted as missing.
        """
        for folder, folders, names in os.walk(self.path, onerror=_unreadable):
            if "run.json" in names:
                folders.clear()
                continue
            links = [name for name in folders if Path(folder, name).is_symlink()]
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in links)
            for name in sorted([*names, *links]):
                if not name.startswith("."):
                    yield Path(folder, name)


def _unreadable(error: OSError) -> None:
    raise SourceError(
        f"{error.filename}: can't be read ({error.strerror}); its pictures would be left out in silence",
        subject=error.filename,
    )


def folder(path: str | Path) -> Folder:
    """Every file below a folder, each as a post of its own. Reading raises SourceError."""
    return Folder(path=str(Path(path).expanduser().resolve()))
