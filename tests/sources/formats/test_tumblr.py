from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from captures import FIXTURES, assert_always_read_or_rejected, fixture, read_one, records

from hashtag_photos import sources
from hashtag_photos.records import Attachment, Post, Rejected

FILES = ("tumblr.ndjson", "tumblr-2016.ndjson")


def record(number: int) -> dict[str, Any]:
    return records("tumblr.ndjson")[number]


def address(name: str) -> str:
    return f"https://64.media.tumblr.com/b06fe71cc4ab47e9/s1280x1920/{name}"


@pytest.mark.parametrize("name", FILES)
def test_is_recognised(name: str) -> None:
    assert sources.exported(FIXTURES / name).format_title == "Tumblr posts (4CAT's NDJSON, or the API's)"


def test_a_post_of_blocks() -> None:
    assert fixture("tumblr.ndjson")[0] == Post(
        source="tumblr",
        id="777000000000000001",
        url="https://anna.tumblr.com/post/777000000000000001/ice",
        author="anna",
        created_at=datetime(2025, 3, 6, 14, 14, 56, tzinfo=UTC),
        text="Ice\nand snow",
        hashtags=("winter", "ice lake"),
        likes=1,
        reposts=1,
        replies=0,
        attachments=(
            Attachment(url=address("aaa.jpg"), alt="Frozen lake", kind="photo", width=1280, height=960),
            Attachment(url=address("bbb.gif"), kind="gif", width=1280, height=960),
            Attachment(url=address("film.jpg"), kind="video", width=640, height=360),
        ),
        extra={
            "type": "blocks",
            "original_type": "photo",
            "slug": "ice",
            "reblog_key": "HaEp3NlH",
            "note_count": 2,
        },
    )


def test_a_reblog_shows_its_trail() -> None:
    reblog = fixture("tumblr.ndjson")[1]
    assert isinstance(reblog, Post)
    assert (reblog.id, reblog.repost_of, reblog.text) == ("777000000000000003", "776000000000000000", "so good")
    assert reblog.attachments == (
        Attachment(url=address("ccc.jpg"), alt="A cat", kind="photo", width=1280, height=960),
    )
    assert "bert" not in str(reblog.extra)


def test_an_exact_number_is_an_id_and_what_nobody_knows_is_kept() -> None:
    reblog = fixture("tumblr.ndjson")[2]
    assert isinstance(reblog, Post)
    assert (reblog.id, reblog.repost_of) == ("777000000000000005", "775000000000000009")
    assert (reblog.text, reblog.attachments) == ("mine", ())
    assert (reblog.extra or {})["glow"] == "embers"


def test_a_photo_post_of_the_older_form() -> None:
    assert fixture("tumblr-2016.ndjson")[0] == Post(
        source="tumblr",
        id="644000000000000001",
        url="https://anna.tumblr.com/post/644000000000000001/ice",
        author="anna",
        created_at=datetime(2021, 3, 6, 14, 14, 56, tzinfo=UTC),
        text="Ice & snow",
        hashtags=("winter",),
        attachments=(
            Attachment(url=address("ddd.jpg"), kind="photo", width=1280, height=960),
            Attachment(url=address("eee.gif"), kind="gif", width=500, height=500),
        ),
        extra={"type": "photo", "slug": "ice", "reblog_key": "HaEp3NlH", "note_count": 2, "state": "published"},
    )


def test_a_text_post_and_a_video_of_the_older_form() -> None:
    _, walk, skating, without_id = fixture("tumblr-2016.ndjson")
    assert isinstance(walk, Post)
    assert (walk.text, walk.repost_of) == ("We went", "643000000000000001")
    assert walk.attachments == (
        Attachment(url="https://64.media.tumblr.com/aa/fff.jpg", alt="a path", kind="photo", width=800, height=600),
    )
    assert not {"bert", "cy"} & set((walk.extra or {}).values())
    assert isinstance(skating, Post)
    assert skating.attachments == (Attachment(url=address("thumb.jpg"), kind="video", width=480, height=270),)
    assert without_id == Rejected(line=4, reason="a post without id")


def test_a_picture_without_an_address_is_counted(tmp_path: Path) -> None:
    post = read_one(tmp_path, {**record(0), "content": [{"type": "image", "media": []}, {"type": "video"}]})
    assert isinstance(post, Post)
    assert post.attachments == (Attachment(url="", kind="photo"), Attachment(url="", kind="video"))


@pytest.mark.parametrize("time", [0, "0", None])
def test_no_time_is_not_1970(time: Any, tmp_path: Path) -> None:
    post = read_one(tmp_path, {**record(0), "timestamp": time, "date": None})
    assert isinstance(post, Post)
    assert (post.created_at, post.time_problem) == (None, None)


def test_a_rounded_id_is_rejected(tmp_path: Path) -> None:
    found = read_one(tmp_path, {**record(2), "id": 7.77e17})
    assert isinstance(found, Rejected)
    assert "has lost its last digits" in found.reason


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("number", range(3))
def test_broken_records_are_read_or_rejected(name: str, number: int, tmp_path: Path) -> None:
    assert_always_read_or_rejected(tmp_path, records(name)[number], format="tumblr")


def test_a_table_of_ones_own_is_not_of_the_api(tmp_path: Path) -> None:
    row = {
        **{"id": "1", "blog_name": "sea", "post_url": "https://a.example/1", "content": "the sea"},
        **{"note_count": "5", "reblog_key": "x", "image_url": "https://a.example/1.jpg"},
    }
    post = read_one(tmp_path, row)
    assert isinstance(post, Post)
    assert (post.source, [each.url for each in post.attachments]) == ("exported", ["https://a.example/1.jpg"])
