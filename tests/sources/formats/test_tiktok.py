from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from captures import FIXTURES, assert_always_read_or_rejected, fixture, read, read_one, records

from hashtag_photos import sources
from hashtag_photos.records import Attachment, Post, Rejected

FILE = "4cat-tiktok.ndjson"


def record(number: int) -> dict[str, Any]:
    return records(FILE)[number]


def address(name: str, host: str = "p16") -> str:
    return f"https://{host}-sign-va.tiktokcdn.com/tos-maliva-i/{name}?x-expires=1741356000&x-signature=Ex%3D"


def seen(second: int) -> datetime:
    return datetime(2025, 6, 5, 14, 12, second, 123000, tzinfo=UTC)


def test_is_recognised() -> None:
    assert sources.exported(FIXTURES / FILE).format_title == "TikTok posts as its website gets them (4CAT's NDJSON)"


def test_a_post_of_photos() -> None:
    assert fixture(FILE)[0] == Post(
        source="tiktok",
        id="7478000000000000001",
        url="https://www.tiktok.com/@anna.k/video/7478000000000000001",
        author="anna.k",
        created_at=datetime(2025, 3, 6, 14, 14, 56, tzinfo=UTC),
        text="Ice #winter #Lake",
        language="en",
        hashtags=("winter", "Lake"),
        likes=4,
        reposts=2,
        replies=1,
        attachments=(
            Attachment(url=address("1~tplv-photomode-image.jpeg"), kind="photo", width=1080, height=1440),
            Attachment(url=address("2~tplv-photomode-image.jpeg", "p19"), kind="photo", width=1080, height=1080),
        ),
        collected_at=seen(0),
        extra={"duetInfo": {"duetFromId": "0"}, "isAd": False, "locationCreated": "NL"},
    )


def test_a_video_of_2022_whose_author_is_a_name() -> None:
    assert fixture(FILE)[1] == Post(
        source="tiktok",
        id="7100000000000000002",
        url="https://www.tiktok.com/@anna.k/video/7100000000000000002",
        author="anna.k",
        created_at=datetime(2022, 5, 21, 8, 0, tzinfo=UTC),
        text="Skating",
        likes=40,
        reposts=0,
        replies=10,
        sensitive=True,
        attachments=(Attachment(url=address("origin2.jpeg"), kind="video"),),
        collected_at=seen(1),
        extra={},
    )


def test_a_video_with_a_list_of_covers_and_counts_as_text() -> None:
    assert fixture(FILE)[2] == Post(
        source="tiktok",
        id="7478000000000000003",
        url="https://www.tiktok.com/@bert/video/7478000000000000003",
        author="bert",
        created_at=datetime(2025, 3, 6, 14, 18, 20, tzinfo=UTC),
        hashtags=("ice",),
        likes=7,
        reposts=1,
        replies=0,
        attachments=(Attachment(url=address("share3.jpeg"), kind="video"),),
        collected_at=seen(2),
        extra={},
    )


def test_a_live_broadcast_is_rejected() -> None:
    assert fixture(FILE)[3] == Rejected(line=4, reason="7478000000000000004 is a live broadcast, not a post")


def test_heic_is_taken_where_there_is_nothing_else(tmp_path: Path) -> None:
    values = record(0)
    values["imagePost"]["images"][1]["imageURL"]["urlList"].pop()
    post = read_one(tmp_path, values)
    assert isinstance(post, Post)
    assert post.attachments[1].url == address("2~tplv-photomode-image.heic")


def test_a_video_without_a_cover_has_a_picture_that_can_not_be_had(tmp_path: Path) -> None:
    post = read_one(tmp_path, {**record(1), "video": {"cover": "D", "playAddr": "https://v16-webapp.tiktok.com/v.mp4"}})
    assert isinstance(post, Post)
    assert post.attachments == (Attachment(url="", kind="video"),)


def test_what_nobody_knows_is_kept_and_the_author_is_not(tmp_path: Path) -> None:
    post = read_one(tmp_path, {**record(1), "glow": "embers"})
    assert isinstance(post, Post)
    assert post.extra == {"glow": "embers"}


def test_without_a_name_there_is_a_number_and_no_address(tmp_path: Path) -> None:
    post = read_one(tmp_path, {**record(0), "author": {"id": "6800000000000000001"}})
    assert isinstance(post, Post)
    assert (post.author, post.url) == ("6800000000000000001", None)


@pytest.mark.parametrize("time", [0, "0", None])
def test_no_time_is_not_1970(time: Any, tmp_path: Path) -> None:
    post = read_one(tmp_path, {**record(0), "createTime": time})
    assert isinstance(post, Post)
    assert (post.created_at, post.time_problem) == (None, None)


@pytest.mark.parametrize("rounded", [7478000000000000000, 7.478e18, None, "7.478e18"])
def test_without_a_sure_id_there_is_no_post(rounded: Any, tmp_path: Path) -> None:
    assert read(tmp_path, {**record(0), "id": rounded}) == [
        Rejected(line=1, reason="a post without an id that is sure to its last digit")
    ]


@pytest.mark.parametrize("number", range(4))
def test_broken_records_are_read_or_rejected(number: int, tmp_path: Path) -> None:
    assert_always_read_or_rejected(tmp_path, record(number), format="tiktok")


@pytest.mark.parametrize(
    "more", [{"video": "https://a.example/v.mp4"}, {"createTime": 1741270496, "stats": "5", "challenges": "sea"}]
)
def test_a_table_of_ones_own_is_not_of_the_website(more: dict[str, Any], tmp_path: Path) -> None:
    post = read_one(tmp_path, {"id": "1", "desc": "sea", "image_url": "https://a.example/1.jpg", **more})
    assert isinstance(post, Post)
    assert (post.source, [each.url for each in post.attachments]) == ("exported", ["https://a.example/1.jpg"])
