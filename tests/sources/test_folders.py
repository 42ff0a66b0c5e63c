from pathlib import Path

import pytest

from hashtag_photos import sources
from hashtag_photos.errors import SourceError


def test_every_visible_file_is_a_post(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.png", "deep/er/c d.jpg", ".DS_Store", ".hidden/x.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    source = sources.folder(tmp_path)
    source.check()
    posts = list(source.posts())
    assert [post.id for post in posts] == ["a.png", "b.jpg", "notes.txt", "deep/er/c d.jpg"]
    assert [post.attachments[0].url for post in posts] == [(tmp_path / post.id).as_uri() for post in posts]


def test_an_empty_or_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no files in it.*--images"):
        sources.folder(tmp_path).check()
    with pytest.raises(SourceError, match=r"no such folder.*--images"):
        sources.folder(tmp_path / "none").check()
