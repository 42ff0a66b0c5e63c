from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from captures import FIXTURES, assert_always_read_or_rejected, fixture, read, read_one, records

from hashtag_photos import sources
from hashtag_photos.records import Attachment, Post, Rejected

FILE = "4cat-x.ndjson"


def record(number: int) -> dict[str, Any]:
    return records(FILE)[number]


def test_is_recognised() -> None:
    assert sources.exported(FIXTURES / FILE).format_title == "X posts as its website gets them (4CAT's NDJSON)"


def test_a_post_with_two_pictures() -> None:
    assert fixture(FILE)[0] == Post(
        source="x",
        id="1930000000000000001",
        url="https://x.com/i/web/status/1930000000000000001",
        author="ana_x",
        created_at=datetime(2025, 6, 4, 10, 33, 38, tzinfo=UTC),
        text="High water & wind <3 #dike #Storm https://t.co/abc",
        language="en",
        hashtags=("dike", "Storm"),
        likes=3,
        reposts=1,
        replies=2,
        sensitive=False,
        attachments=(
            Attachment(
                url="https://pbs.twimg.com/media/GOxAAA.jpg",
                alt="A dike, and the sea behind it",
                kind="photo",
                width=1607,
                height=830,
            ),
            Attachment(url="https://pbs.twimg.com/media/GOyAAA.jpg", kind="photo", width=900, height=1200),
        ),
        collected_at=datetime(2025, 6, 5, 14, 12, 0, 123000, tzinfo=UTC),
        extra={
            "views": {"count": "1234", "state": "EnabledWithCount"},
            "source": '<a href="https://mobile.x.example" rel="nofollow">X Web App</a>',
            "edit_control": {"edit_tweet_ids": ["1930000000000000001"], "editable_until_msecs": "1749036818000"},
            "legacy": {"conversation_id_str": "1930000000000000001", "quote_count": 0, "bookmark_count": 0},
        },
    )


def test_a_repost_shows_the_original_and_its_long_text() -> None:
    assert fixture(FILE)[1] == Post(
        source="x",
        id="1930000000000000002",
        url="https://x.com/i/web/status/1930000000000000002",
        author="cy_z",
        created_at=datetime(2025, 6, 4, 11, 0, tzinfo=UTC),
        text="A long post about the dike & those who built it. " * 8 + "#dike #Deich",
        language="en",
        hashtags=("dike", "Deich"),
        likes=0,
        reposts=12,
        replies=0,
        sensitive=True,
        repost_of="1929000000000000007",
        attachments=(
            Attachment(
                url="https://pbs.twimg.com/ext_tw_video_thumb/1/pu/img/thumbBBB.jpg",
                alt="A crane at work",
                kind="video",
                width=1280,
                height=720,
            ),
        ),
        collected_at=datetime(2025, 6, 5, 14, 12, 1, 123000, tzinfo=UTC),
        extra={
            "views": {"state": "Enabled"},
            "legacy": {"conversation_id_str": "1930000000000000002", "quote_count": 0},
        },
    )


def test_a_wrapped_reply_of_2024_with_a_gif() -> None:
    assert fixture(FILE)[2] == Post(
        source="x",
        id="1870000000000000123",
        url="https://x.com/i/web/status/1870000000000000123",
        author="dee",
        created_at=datetime(2024, 12, 23, tzinfo=UTC),
        text="hello",
        language="en",
        likes=1,
        reposts=0,
        replies=0,
        attachments=(
            Attachment(url="https://pbs.twimg.com/tweet_video_thumb/GifCCC.jpg", kind="gif", width=480, height=270),
        ),
        collected_at=datetime(2025, 6, 5, 14, 12, 2, 123000, tzinfo=UTC),
        extra={
            "limitedActionResults": {"limited_actions": [{"action": "Reply"}]},
            "referenced_posts": [
                {"type": "quoted", "id": "1868000000000000001"},
                {"type": "replied_to", "id": "1869000000000000001"},
            ],
            "legacy": {"conversation_id_str": "1869000000000000001", "quote_count": 0, "is_quote_status": True},
        },
    )


def test_the_shape_of_2023_with_an_id_that_lost_its_last_digits() -> None:
    assert record(3)["id"] == 1610000000000000000
    assert fixture(FILE)[3] == Post(
        source="x",
        id="1610000000000000001",
        url="https://x.com/i/web/status/1610000000000000001",
        author="bo",
        created_at=datetime(2023, 1, 4, 10, 0, tzinfo=UTC),
        text="hi #x",
        language="und",
        hashtags=("x",),
        likes=9,
        reposts=8,
        replies=7,
        repost_of="1600000000000000009",
        attachments=(Attachment(url="https://pbs.twimg.com/media/FlDDD.jpg", kind="photo", width=640, height=480),),
        collected_at=datetime(2025, 6, 5, 14, 12, 3, 123000, tzinfo=UTC),
        extra={"legacy": {"conversation_id_str": "1610000000000000001", "source": "<a>Twitter</a>"}},
    )


def test_a_tombstone_and_an_advertisement_are_rejected() -> None:
    assert fixture(FILE)[4:6] == [
        Rejected(line=5, reason="a post that X doesn't show: This Post was deleted by the Post author. Learn more"),
        Rejected(line=6, reason="post 1930000000000000005 is an advertisement (promoted)"),
    ]


def test_without_its_author_a_post_is_named_by_the_address_of_its_own_picture() -> None:
    assert fixture(FILE)[6] == Post(
        source="x",
        id="1930000000000000006",
        url="https://x.com/i/web/status/1930000000000000006",
        author="eel",
        created_at=datetime(2025, 6, 4, 12, 30, tzinfo=UTC),
        text="Eel #dike",
        language="en",
        hashtags=("dike",),
        attachments=(Attachment(url="https://pbs.twimg.com/media/GOzEEE.jpg", kind="photo"),),
        collected_at=datetime(2025, 6, 5, 14, 12, 6, 123000, tzinfo=UTC),
        extra={},
    )


def test_a_picture_of_another_post_does_not_name_the_author(tmp_path: Path) -> None:
    values = record(6)
    values["legacy"]["entities"]["media"][0]["expanded_url"] = "https://x.com/other/status/99/photo/1"
    post = read_one(tmp_path, values)
    assert isinstance(post, Post)
    assert post.author == "4200000010"


def test_what_nobody_knows_is_kept(tmp_path: Path) -> None:
    post = read_one(tmp_path, {**record(6), "glow": {"of": "embers"}})
    assert isinstance(post, Post)
    assert post.extra == {"glow": {"of": "embers"}}


def test_a_repost_whose_original_is_gone_is_still_a_repost(tmp_path: Path) -> None:
    values = record(1)
    values["legacy"]["retweeted_status_result"]["result"]["tweet"] = {"rest_id": "1929000000000000007"}
    post = read_one(tmp_path, values)
    assert isinstance(post, Post)
    assert post.repost_of == "1929000000000000007"
    assert post.text == "RT @bo_y: A long post about the dike & those who built…"
    assert post.attachments == ()


def test_a_picture_without_an_address_is_still_one_of_the_post(tmp_path: Path) -> None:
    values = record(0)
    del values["legacy"]["extended_entities"]["media"][1]["media_url_https"]
    post = read_one(tmp_path, values)
    assert isinstance(post, Post)
    assert [each.url for each in post.attachments] == ["https://pbs.twimg.com/media/GOxAAA.jpg", ""]


def test_pictures_that_only_the_older_member_names_are_added(tmp_path: Path) -> None:
    values = record(0)
    values["legacy"]["entities"]["media"].append(
        {"id_str": "3", "media_url_https": "https://pbs.twimg.com/media/3.jpg"}
    )
    post = read_one(tmp_path, values)
    assert isinstance(post, Post)
    assert [each.url for each in post.attachments] == [
        "https://pbs.twimg.com/media/GOxAAA.jpg",
        "https://pbs.twimg.com/media/GOyAAA.jpg",
        "https://pbs.twimg.com/media/3.jpg",
    ]


@pytest.mark.parametrize("rounded", [2090457220026626600, 2.0904572200266266e18, None])
def test_without_a_sure_id_there_is_no_post(rounded: Any, tmp_path: Path) -> None:
    values = record(0) | {"rest_id": rounded, "id": "1930000000000000001"}
    values["legacy"]["id_str"] = rounded
    assert read(tmp_path, values) == [Rejected(line=1, reason="a post without an id that is sure to its last digit")]


def test_without_contents_there_is_no_post(tmp_path: Path) -> None:
    values = record(0) | {"legacy": {"id_str": "1930000000000000001"}}
    assert read(tmp_path, values) == [Rejected(line=1, reason="post 1930000000000000001 has no contents")]


@pytest.mark.parametrize("number", range(7))
def test_broken_records_are_read_or_rejected(number: int, tmp_path: Path) -> None:
    assert_always_read_or_rejected(tmp_path, record(number), format="x-web")


def test_small_facts_and_the_place_are_kept_and_people_are_not(tmp_path: Path) -> None:
    values = record(6)
    values["legacy"] |= {
        **{"quote_count": 2, "is_quote_status": True, "place": {"full_name": "Delft"}},
        **{"in_reply_to_screen_name": "bo", "user_id_str": "7", "favorited": True, "display_text_range": [0, 9]},
    }
    post = read_one(tmp_path, values)
    assert isinstance(post, Post)
    legacy = (post.extra or {})["legacy"]
    assert legacy == {"quote_count": 2, "is_quote_status": True, "place": {"full_name": "Delft"}}


@pytest.mark.parametrize(
    "record",
    [
        {"rest_id": "1", "legacy": "yes", "text": "sea", "media": "https://a.example/1.jpg"},
        {"rest_id": "1", "core": "x", "type": "adaptive", "media": "https://a.example/1.jpg"},
    ],
)
def test_a_table_of_ones_own_is_not_of_the_website(record: dict[str, Any], tmp_path: Path) -> None:
    post = read_one(tmp_path, record)
    assert isinstance(post, Post)
    assert post.source == "exported"


def test_an_account_is_no_post(tmp_path: Path) -> None:
    account = {"__typename": "User", "rest_id": "42", "core": {"name": "Ana"}, "legacy": {"description": "sea"}}
    found = read_one(tmp_path, account, format="x-web")
    assert found == Rejected(line=1, reason="not a record of X's website")
