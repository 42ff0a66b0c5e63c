from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from captures import FIXTURES, assert_always_read_or_rejected, fixture, read, read_one, records

from hashtag_photos import sources
from hashtag_photos.records import Post, Rejected

PLATFORMS = ("x", "instagram", "tiktok")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_is_recognised(platform: str) -> None:
    assert sources.exported(FIXTURES / f"zeeschuimer-{platform}.ndjson").format_title == "Zeeschuimer capture"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_capture_and_what_4cat_makes_of_it_are_the_same_posts(platform: str) -> None:
    posts = fixture(f"zeeschuimer-{platform}.ndjson")
    assert posts == fixture(f"4cat-{platform}.ndjson")
    assert sum(isinstance(each, Post) for each in posts) >= 3


@pytest.mark.parametrize("name", ["twitter.com", "x.com", "twitter"])
def test_x_by_any_of_its_names(name: str, tmp_path: Path) -> None:
    post = read_one(tmp_path, records("zeeschuimer-x.ndjson")[0] | {"source_platform": name})
    assert isinstance(post, Post)
    assert (post.source, post.id) == ("x", "1930000000000000001")


@pytest.mark.parametrize("platform", ["twitter-comments", "tiktok-comments", "gab.com", "linkedin.com"])
def test_what_is_not_read_is_rejected_by_name(platform: str, tmp_path: Path) -> None:
    good, other = records("zeeschuimer-tiktok.ndjson")[0], {"source_platform": platform, "data": {"id": "1"}}
    assert read(tmp_path, good, other)[1] == Rejected(
        line=2, reason=f"{platform} is not read: this version reads X, Instagram and TikTok"
    )


def test_the_first_captures_say_nothing_of_when(tmp_path: Path) -> None:
    first = ("source_platform", "source_platform_url", "source_url", "data")
    capture = {name: value for name, value in records("zeeschuimer-instagram.ndjson")[5].items() if name in first}
    post = read_one(tmp_path, capture)
    assert isinstance(post, Post)
    assert (post.id, post.collected_at) == ("CMfIllbnOLD", None)


def test_nothing_of_the_browser_is_kept(tmp_path: Path) -> None:
    capture = records("zeeschuimer-x.ndjson")[6]
    capture["data"]["glow"] = "embers"
    post = read_one(tmp_path, capture)
    assert isinstance(post, Post)
    assert post.extra == {"glow": "embers"}
    assert post.collected_at == datetime(2025, 6, 5, 14, 12, 6, 123000, tzinfo=UTC)


@pytest.mark.parametrize("data", [None, 5, "x", []])
def test_a_capture_of_nothing_is_rejected(data: Any, tmp_path: Path) -> None:
    capture = records("zeeschuimer-x.ndjson")[0] | {"data": data}
    assert read(tmp_path, capture, format="zeeschuimer") == [Rejected(line=1, reason="a capture without data")]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_broken_captures_are_read_or_rejected(platform: str, tmp_path: Path) -> None:
    capture = records(f"zeeschuimer-{platform}.ndjson")[0]
    assert_always_read_or_rejected(tmp_path, capture, format="zeeschuimer", levels=2)
