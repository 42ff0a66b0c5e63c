import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from captures import FIXTURES, broken, read_one, written
from captures import read as read_records
from csv_rows import read_row

from hashtag_photos import sources
from hashtag_photos.records import Attachment, Post, Rejected
from hashtag_photos.tables import posts_table

SEA = Attachment(url="https://pbs.twimg.com/media/FNa.jpg", alt="the sea", kind="photo", width=1200, height=800)
STILL = Attachment(url="https://pbs.twimg.com/ext_tw_video_thumb/12/pu/img/v.jpg", kind="video", width=1280, height=720)
COLLECTED = datetime(2022, 3, 5, 12, tzinfo=UTC)


def read(name: str) -> list[Post | Rejected]:
    source = sources.exported(FIXTURES / name)
    source.check()
    return list(source.posts())


@pytest.mark.parametrize(
    ("name", "collected_at", "lost"),
    [
        ("x-api-pages-2022.jsonl", COLLECTED, Attachment(url="")),
        ("x-api-page-2026.json", None, Attachment(url="")),
        ("twarc2-flat-2022.jsonl", COLLECTED, Attachment(url="")),
        ("4cat-x-api-2023.ndjson", None, Attachment(url="")),
    ],
)
def test_the_same_posts_however_they_were_stored(name: str, collected_at: datetime | None, lost: Attachment) -> None:
    assert sources.exported(FIXTURES / name).format_title == "X API v2 (pages, twarc, 4CAT)"
    repost, own = read(name)[:2]
    assert repost == Post(
        source="x",
        id="1500000000000000002",
        url="https://x.com/i/web/status/1500000000000000002",
        author="cy",
        created_at=datetime(2022, 3, 5, 10, tzinfo=UTC),
        text="look #sea https://t.co/a",
        language="en",
        hashtags=("sea",),
        likes=0,
        reposts=4,
        replies=0,
        repost_of="1500000000000000001",
        attachments=(SEA,),
        collected_at=collected_at,
        extra={"conversation_id": "1500000000000000002", "public_metrics": {"quote_count": 0}},
    )
    assert isinstance(own, Post)
    assert (own.id, own.text, own.hashtags) == ("1500000000000000003", "Tom & me #sea", ("sea",))
    assert own.author == ("7" if name.startswith("4cat") else "bo")
    assert own.attachments == (STILL, lost), "a picture that isn't described is still one of the post's"
    assert own.extra is not None
    assert own.extra["referenced_posts"] == [{"type": "quoted", "id": "1499999999999999999"}]


def test_a_post_of_a_page_that_can_not_be_read_leaves_the_others() -> None:
    rejected, bare = read("x-api-pages-2022.jsonl")[2:]
    assert rejected == Rejected(line=2, reason="post None: a post without id")
    assert isinstance(bare, Post)
    assert (bare.id, bare.author, bare.attachments) == ("1400000000000000001", "9", ())


def test_a_post_that_could_not_be_looked_up_is_none() -> None:
    (rejected,) = read("4cat-x-api-2023.ndjson")[2:]
    assert rejected == Rejected(line=3, reason="post 1600000000000000001 could not be looked up: Could not find tweet")


def test_an_unknown_member_is_kept(tmp_path: Path) -> None:
    record = json.loads((FIXTURES / "twarc2-flat-2022.jsonl").read_text().splitlines()[0])
    (tmp_path / "p.jsonl").write_text(json.dumps({**record, "brand_new": {"a": 1}}))
    (post,) = sources.exported(tmp_path / "p.jsonl").posts()
    assert isinstance(post, Post)
    assert post.extra is not None
    assert post.extra["brand_new"] == {"a": 1}


def records() -> list[Any]:
    names = ("x-api-pages-2022.jsonl", "twarc2-flat-2022.jsonl", "4cat-x-api-2023.ndjson")
    return [json.loads(line) for name in names for line in (FIXTURES / name).read_text().splitlines()[:2]]


@pytest.mark.parametrize("record", records())
def test_nothing_that_is_wrong_or_missing_raises(record: Any, tmp_path: Path) -> None:
    lines = [json.dumps(changed) + "\n" for changed in broken(record, 6)]
    (tmp_path / "p.jsonl").write_text("".join(lines))
    found = list(sources.exported(tmp_path / "p.jsonl", format="x-api").posts())
    assert len(found) > len(lines) / 2
    posts_table([each for each in found if isinstance(each, Post)])
    assert all(each.reason for each in found if isinstance(each, Rejected))


def test_unread_counts_and_polls_are_kept(tmp_path: Path) -> None:
    record = flat() | {
        "public_metrics": {"like_count": 1, "impression_count": 9, "quote_count": 2, "bookmark_count": 3},
        "attachments": {"poll_ids": ["15"]},
    }
    post = read_one(tmp_path, record)
    assert isinstance(post, Post)
    assert post.extra is not None
    assert post.extra["public_metrics"] == {"impression_count": 9, "quote_count": 2, "bookmark_count": 3}
    assert post.extra["attachments"] == {"poll_ids": ["15"]}


def test_members_of_a_page_that_are_no_objects_are_rejected(tmp_path: Path) -> None:
    page = {"data": [None, {"id": "1", "text": "sea"}, "oops"], "meta": {"result_count": 3}}
    first, post, last = read_records(tmp_path, page)
    reason = "post None: a member of the page's data that is no object"
    assert first == last == Rejected(line=1, reason=reason)
    assert isinstance(post, Post)
    assert post.id == "1"


@pytest.mark.parametrize(
    "record",
    [
        {"id": "1", "text": "sea", "public_metrics": "5", "media_url": "https://a.example/1.jpg"},
        {"id": "1", "text": "sea", "edit_history_tweet_ids": "1", "media_url": "https://a.example/1.jpg"},
        {"id": "1", "text": "sea", "meta": {"page": 1}, "data": [], "media_url": "https://a.example/1.jpg"},
        {"id": "1", "text": "sea", "includes": [], "data": {}, "media_url": "https://a.example/1.jpg"},
    ],
)
def test_records_of_ones_own_are_not_the_apis(record: dict[str, Any], tmp_path: Path) -> None:
    assert sources.exported(written(tmp_path, record)).format_title == "any columns"
    post = read_one(tmp_path, record)
    assert isinstance(post, Post)
    assert [each.url for each in post.attachments] == ["https://a.example/1.jpg"]


def test_a_row_of_a_table_is_not_the_apis(tmp_path: Path) -> None:
    row = {"id": "1", "text": "sea", "public_metrics": "{'like_count': 1}", "media_url": "https://a.example/1.jpg"}
    post = read_row(tmp_path, row)
    assert isinstance(post, Post)
    assert (post.source, [each.url for each in post.attachments]) == ("exported", ["https://a.example/1.jpg"])


@pytest.mark.parametrize("record", [5, None, "x", [], {}, {"id": "1", "text": "sea", "media_urls": ""}])
def test_what_is_no_record_of_the_api_is_rejected(record: Any, tmp_path: Path) -> None:
    found, _ = read_records(tmp_path, record, "nor this", format="x-api")
    assert found == Rejected(line=1, reason="not a record of X API v2")


def flat() -> dict[str, Any]:
    record: dict[str, Any] = json.loads((FIXTURES / "twarc2-flat-2022.jsonl").read_text().splitlines()[1])
    return record
