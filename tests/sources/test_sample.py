"""The sample is what the issue of the project says it is, and its server is a real one."""

import csv
import hashlib
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from conftest import SAMPLE

from hashtag_photos import sources
from hashtag_photos.records import Post

MEDIA = SAMPLE / "www/media"


@pytest.fixture(scope="module")
def posts() -> list[Post]:
    source = sources.sample()
    source.check()
    found = list(source.posts())
    assert all(isinstance(post, Post) for post in found)
    return found


@pytest.fixture(scope="module")
def truth() -> list[dict[str, str]]:
    with (SAMPLE / "truth.csv").open() as file:
        return list(csv.DictReader(file))


def test_it_tells_the_story(posts: list[Post], truth: list[dict[str, str]]) -> None:
    label = {Path(row["file"]).name: row["label"] for row in truth}
    by_day: dict[str, Counter[str]] = {}
    for post in posts:
        assert "#myHarborPD" in post.text
        for attachment in post.attachments:
            shown = label.get(attachment.url.rpartition("/")[2])
            if shown:
                by_day.setdefault(f"{post.created_at:%d}", Counter())[shown] += 1
    first, second, third = (by_day[day] for day in sorted(by_day))
    assert first["friendly"] > first["conflict_and_force"]
    assert all(day["conflict_and_force"] > day["friendly"] for day in (second, third))


def test_its_pictures_are_about_ninety_and_of_every_kind(posts: list[Post], truth: list[dict[str, str]]) -> None:
    assert 95 <= len(posts) <= 110
    drawn = [row for row in truth if not row["edit"]]
    assert 85 <= len(drawn) <= 95
    assert {row["edit"] for row in truth} == {"", "recompressed", "cropped", "bordered"}
    assert {row["label"] for row in truth} == {"friendly", "conflict_and_force", "neither"}
    assert any(not post.attachments for post in posts)
    urls = Counter(attachment.url for post in posts for attachment in post.attachments)
    assert max(urls.values()) > 1, "some are posted twice"
    missing = [url for url in urls if not (MEDIA / url.rpartition("/")[2]).exists()]
    assert 3 <= len(missing) <= 6, "a few links are dead"


def test_truth_is_of_the_files_that_are_served(truth: list[dict[str, str]]) -> None:
    hashes = {hashlib.sha256(path.read_bytes()).hexdigest() for path in MEDIA.iterdir()}
    assert {row["sha256"] for row in truth} <= hashes
    assert len(hashes - {row["sha256"] for row in truth}) == 3, "a page, one cut short, one far too large"
    assert sum(path.stat().st_size for path in MEDIA.iterdir()) < 5_000_000


def test_its_server_is_real_and_ends_with_the_download(truth: list[dict[str, str]]) -> None:
    with sources.sample().local() as local:
        (base,) = local.routes.values()
        name = Path(truth[0]["file"]).name
        with urllib.request.urlopen(f"{base}/media/{name}") as answer:
            assert hashlib.sha256(answer.read()).hexdigest() == truth[0]["sha256"]
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{base}/media/none.jpg")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{base}/../truth.csv")
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{base}/media/{name}")
