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


def test_a_run_folder_is_no_picture_of_anybody(tmp_path: Path) -> None:
    """`--images .` puts its own run folder, with copies of all pictures, below the pictures."""
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "runs/x/images").mkdir(parents=True)
    (tmp_path / "runs/x/run.json").write_text("{}")
    (tmp_path / "runs/x/images/b.jpg").write_bytes(b"")
    assert [post.id for post in sources.folder(tmp_path).posts()] == ["a.jpg"]


def test_a_link_to_a_folder_is_listed_and_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "pictures/more").symlink_to(tmp_path / "elsewhere")
    assert [post.id for post in sources.folder(tmp_path / "pictures").posts()] == ["more"]


def test_a_folder_that_is_away_now_stops_the_download(tmp_path: Path) -> None:
    """Its pictures are not gone for good: nothing may be written that says so."""
    for source in (sources.folder(tmp_path / "drive"), sources.exported(tmp_path / "p.csv", files=tmp_path / "drive")):
        with pytest.raises(SourceError, match=r"isn't there now; bring it back"):
            source.local()
