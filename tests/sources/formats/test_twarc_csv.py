from datetime import UTC, datetime
from pathlib import Path

import pytest
from captures import FIXTURES, assert_always_read_or_rejected, fixture
from csv_rows import assert_rows_always_read_or_rejected, read_row, rows

from hashtag_photos import sources
from hashtag_photos.records import Attachment, Post, Rejected

FILES = ("twarc2-2021.csv", "twarc2-2023.csv")
SEA = Attachment(url="https://pbs.twimg.com/media/FN.jpg", alt="the sea", kind="photo", width=1200, height=800)


def table(name: str) -> list[Post | Rejected]:
    return list(sources.exported(FIXTURES / name, format="twarc-csv").posts())


@pytest.mark.parametrize("name", FILES)
def test_is_recognised(name: str) -> None:
    assert sources.exported(FIXTURES / name).format_title == "twarc2's table of X"


def test_a_post_with_a_photo_a_video_and_one_that_is_not_described() -> None:
    assert table("twarc2-2023.csv")[0] == Post(
        source="x",
        id="1500000000000000001",
        url="https://x.com/i/web/status/1500000000000000001",
        author="bo",
        created_at=datetime(2022, 3, 5, 9, 0, tzinfo=UTC),
        text="look #sea & sky\nhttps://t.co/a",
        language="en",
        hashtags=("sea",),
        likes=9,
        reposts=4,
        replies=1,
        sensitive=False,
        attachments=(
            SEA,
            Attachment(
                url="https://pbs.twimg.com/ext_tw_video_thumb/12/img/FO.jpg", kind="video", width=1280, height=720
            ),
            Attachment(url=""),
        ),
        collected_at=datetime(2022, 3, 5, 12, 0, tzinfo=UTC),
        extra={
            "conversation_id": "1500000000000000001",
            "source": "Web App",
            "edit_history_tweet_ids": '["1500000000000000001"]',
            "mood": "calm",
            "public_metrics": {"impression_count": "90", "quote_count": "0"},
        },
    )


def test_a_retweet_is_known_by_its_original() -> None:
    retweet = table("twarc2-2023.csv")[1]
    assert isinstance(retweet, Post)
    assert (retweet.id, retweet.repost_of) == ("1500000000000000002", "1500000000000000001")
    assert (retweet.author, retweet.attachments) == ("cy", (SEA,))
    assert "bo" not in (retweet.extra or {}).values()


def test_a_reply_in_quotes_with_media_that_were_not_had() -> None:
    reply = table("twarc2-2023.csv")[2]
    assert isinstance(reply, Post)
    assert (reply.text, reply.author, reply.repost_of) == ('"in quotes"', "7", None)
    assert reply.attachments == (Attachment(url=""),)
    assert (reply.extra or {})["referenced_posts"] == [{"type": "replied_to", "id": "1500000000000000001"}]


def test_rows_that_are_damaged() -> None:
    assert table("twarc2-2023.csv")[3:] == [
        Rejected(
            line=5,
            reason="id 1.5e+18 has lost its last digits, as in a spreadsheet: export again with ids as text",
        ),
        Rejected(line=6, reason="attachments.media: not a list: 'lost'"),
    ]


def test_the_first_tables() -> None:
    first, retweet, inlined = table("twarc2-2021.csv")
    assert first == Post(
        source="x",
        id="1400000000000000001",
        url="https://x.com/i/web/status/1400000000000000001",
        author="bo",
        created_at=datetime(2021, 6, 1, 9, 0, tzinfo=UTC),
        text="look #sea\n“wide”",
        language="en",
        hashtags=("sea",),
        likes=9,
        reposts=4,
        replies=1,
        attachments=(SEA,),
        collected_at=datetime(2021, 6, 1, 12, 0, tzinfo=UTC),
        extra={"conversation_id": "1400000000000000001"},
    )
    assert isinstance(retweet, Post)
    assert (retweet.repost_of, retweet.text) == ("1400000000000000001", "RT @bo: look #sea")
    assert inlined == Rejected(
        line=4, reason="post 1400000000000000003 is not of the sample: another refers to it (quoted)"
    )


def test_without_id_there_is_no_post(tmp_path: Path) -> None:
    row = {**rows("twarc2-2021.csv")[0], "id": ""}
    assert read_row(tmp_path, row) == Rejected(line=2, reason="a post without id")


@pytest.mark.parametrize("name", FILES)
def test_broken_rows_are_read_or_rejected(name: str, tmp_path: Path) -> None:
    assert_rows_always_read_or_rejected(tmp_path, rows(name)[1], format="twarc-csv")
    assert_always_read_or_rejected(tmp_path, rows(name)[1], format="twarc-csv", levels=1)


def test_a_post_is_the_same_in_another_table() -> None:
    one, other = table("twarc2-2023.csv")[1], fixture("4cat-x-api.csv")[0]
    assert isinstance(one, Post)
    assert isinstance(other, Post)
    assert (one.source, one.id) == (other.source, other.id)


def test_polls_are_kept(tmp_path: Path) -> None:
    post = read_row(tmp_path, {**rows("twarc2-2023.csv")[0], "attachments.poll_ids": '["15"]'})
    assert isinstance(post, Post)
    assert (post.extra or {})["attachments"] == {"poll_ids": '["15"]'}


@pytest.mark.parametrize("more", [{}, {"conversation_id": "1", "author.username": "bo"}])
def test_columns_that_others_make_of_the_api_are_not_twarcs(more: dict[str, str], tmp_path: Path) -> None:
    row = {
        **{"id": "1", "text": "sea", "public_metrics.like_count": "1", "public_metrics.retweet_count": "2"},
        **{"media_url": "https://a.example/1.jpg", **more},
    }
    post = read_row(tmp_path, row)
    assert isinstance(post, Post)
    assert (post.source, [each.url for each in post.attachments]) == ("exported", ["https://a.example/1.jpg"])


def test_a_row_of_another_table_is_rejected(tmp_path: Path) -> None:
    found = read_row(tmp_path, {"id": "1", "text": "sea"}, format="twarc-csv")
    assert found == Rejected(line=2, reason="not a row of twarc2's table of X")
