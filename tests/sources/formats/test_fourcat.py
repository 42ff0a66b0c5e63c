from datetime import UTC, datetime
from pathlib import Path

import pytest
from captures import FIXTURES, assert_always_read_or_rejected, fixture, read_one
from csv_rows import assert_rows_always_read_or_rejected, read_row, rows

from hashtag_photos import sources
from hashtag_photos.records import Attachment, Post, Rejected

FILES = {
    "4cat-x-2023.csv": "4cat-x",
    "4cat-x-2026.csv": "4cat-x",
    "4cat-x-api.csv": "4cat-x",
    "4cat-bluesky-2024.csv": "4cat-bluesky",
    "4cat-bluesky-2025.csv": "4cat-bluesky",
    "4cat-instagram-2019.csv": "4cat-instagram",
    "4cat-instagram-2024.csv": "4cat-instagram",
    "4cat-instagram-2026.csv": "4cat-instagram",
    "4cat-tiktok-2021.csv": "4cat-tiktok",
    "4cat-tiktok-2025.csv": "4cat-tiktok",
    "4cat-tumblr-2019.csv": "4cat-tumblr",
    "4cat-tumblr-2021.csv": "4cat-tumblr",
    "4cat-tumblr-2025.csv": "4cat-tumblr",
}
TITLES = {
    "4cat-x": "4CAT's table of X",
    "4cat-bluesky": "4CAT's table of Bluesky",
    "4cat-instagram": "4CAT's table of Instagram",
    "4cat-tiktok": "4CAT's table of TikTok",
    "4cat-tumblr": "4CAT's table of Tumblr",
}
BLUESKY = "at://did:plc:exampleauthor0000000000/app.bsky.feed.post/3lexamplekey1"


def instagram(name: str) -> str:
    place = "https://scontent-ams2-1.cdninstagram.com/v/t51.2885-15"
    return f"{place}/{name}_n.jpg?stp=dst-jpg_e35_tt6&oh=00_AfExample&oe=67D0A1B2"


def tumblr(name: str) -> str:
    return f"https://64.media.tumblr.com/b06fe71cc4ab47e9/s1280x1920/{name}"


def photo(url: str) -> Attachment:
    return Attachment(url=url, kind="photo")


@pytest.mark.parametrize("name", FILES)
def test_is_recognised(name: str) -> None:
    assert sources.exported(FIXTURES / name).format_title == TITLES[FILES[name]]


@pytest.mark.parametrize("name", FILES)
def test_broken_rows_are_read_or_rejected(name: str, tmp_path: Path) -> None:
    assert_rows_always_read_or_rejected(tmp_path, rows(name)[0], format=FILES[name])


@pytest.mark.parametrize("name", FILES)
def test_broken_objects_are_read_or_rejected(name: str, tmp_path: Path) -> None:
    assert_always_read_or_rejected(tmp_path, rows(name)[0], format=FILES[name], levels=1)


@pytest.mark.parametrize("name", FILES)
def test_without_id_there_is_no_post(name: str, tmp_path: Path) -> None:
    assert read_row(tmp_path, {**rows(name)[0], "id": ""}) == Rejected(line=2, reason="a row without id")


@pytest.mark.parametrize("name", FILES)
def test_a_rounded_id_is_rejected(name: str, tmp_path: Path) -> None:
    found = read_row(tmp_path, {**rows(name)[0], "id": "1.93E+18"})
    assert isinstance(found, Rejected)
    assert "has lost its last digits" in found.reason


@pytest.mark.parametrize("name", FILES)
def test_what_nobody_knows_is_kept_and_the_author_is_not(name: str, tmp_path: Path) -> None:
    row = rows(name)[0]
    post = read_row(tmp_path, {**row, "glow": "embers", "author_bio": "skates", "author_glow": "none"})
    assert isinstance(post, Post)
    assert post.extra is not None
    assert post.extra["glow"] == "embers"
    assert not {"author_bio", "author_glow", "author", "author_id", "author_fullname"} & set(post.extra)
    assert row["author"] not in str(post.extra)


@pytest.mark.parametrize("name", FILES)
def test_an_anonymous_author_is_none(name: str, tmp_path: Path) -> None:
    post = read_row(tmp_path, {**rows(name)[0], "author": "REDACTED", "author_id": "REDACTED"})
    assert isinstance(post, Post)
    assert post.author is None


def test_x_of_captures() -> None:
    first, second = fixture("4cat-x-2023.csv")
    assert first == Post(
        source="x",
        id="1930000000000000001",
        url="https://x.com/i/web/status/1930000000000000001",
        author="ana_x",
        created_at=datetime(2025, 6, 4, 10, 33, 38, tzinfo=UTC),
        text="High water & wind #dike #storm https://t.co/abc\nsecond line",
        language="en",
        hashtags=("dike", "storm"),
        likes=3,
        reposts=1,
        replies=0,
        sensitive=None,  # this table says no of every post
        attachments=(
            photo("https://pbs.twimg.com/media/GOx.jpg"),
            photo("https://pbs.twimg.com/media/GOy.jpg"),
            Attachment(url="https://pbs.twimg.com/ext_tw_video_thumb/7/pu/img/GOz.jpg", kind="video"),
        ),
        extra={
            "thread_id": "1930000000000000001",
            "source": "Web App",
            "quote_count": "0",
            "impression_count": "1234",
            "is_quote_tweet": "no",
            "is_quote_withheld": "no",
            "is_reply": "no",
            "is_withheld": "no",
        },
    )
    assert isinstance(second, Post)
    assert (second.author, second.repost_of, second.sensitive) == (None, "@bo_y", True)
    assert second.attachments == (Attachment(url="", kind="video"),)


def test_x_of_2026_does_not_tell_photos_from_stills() -> None:
    assert fixture("4cat-x-2026.csv") == [
        Post(
            source="x",
            id="1930000000000000001",
            url="https://x.com/i/web/status/1930000000000000001",
            author="ana_x",
            created_at=datetime(2025, 6, 4, 10, 33, 38, tzinfo=UTC),
            text="High water #dike",
            language="en",
            hashtags=("dike",),
            likes=3,
            reposts=1,
            replies=0,
            sensitive=False,
            attachments=(
                Attachment(url="https://pbs.twimg.com/media/GOx.jpg"),
                Attachment(url="https://pbs.twimg.com/ext_tw_video_thumb/7/pu/img/GOz.jpg"),
            ),
            extra={
                "thread_id": "1930000000000000001",
                "author_followers": "421",
                "author_following": "7",
                "source": "Web App",
                "quote_count": "0",
                "impression_count": "1234",
                "is_quote_tweet": "yes",
                "quote_tweet_id": "1929000000000000009",
                "is_quote_withheld": "no",
                "is_reply": "no",
                "is_withheld": "no",
                "urls": "https://a.example/?x=1,2",
                "mood": "calm",
            },
        )
    ]


def test_x_of_the_api() -> None:
    assert fixture("4cat-x-api.csv") == [
        Post(
            source="x",
            id="1500000000000000002",
            url="https://x.com/i/web/status/1500000000000000002",
            author="cy",
            created_at=datetime(2022, 3, 5, 10, 0, tzinfo=UTC),
            text="RT @bo: look #sea",
            language="en",
            hashtags=("sea",),
            likes=0,
            reposts=4,
            replies=0,
            sensitive=False,
            repost_of="@bo",
            attachments=(photo("https://pbs.twimg.com/media/FN.jpg"), Attachment(url="", kind="video")),
            extra={
                "thread_id": "1500000000000000002",
                "source": "Web App",
                "quote_count": "0",
                "is_quote_tweet": "no",
                "is_reply": "no",
                "long_lat": "4.3, 52.0",
                "place_name": "Delft",
            },
        ),
        Rejected(
            line=3,
            reason="post 1500000000000000009 could not be looked up: "
            "Could not find tweet with ids: [1500000000000000009].",
        ),
    ]


def test_a_retweet_of_nobody_stated_is_none(tmp_path: Path) -> None:
    post = read_row(tmp_path, {**rows("4cat-x-api.csv")[0], "retweeted_user": ""})
    assert isinstance(post, Post)
    assert post.repost_of is None
    assert "is_retweet" not in (post.extra or {})


def test_bluesky() -> None:
    first, second = fixture("4cat-bluesky-2025.csv")
    place = "https://cdn.bsky.app/img/feed_fullsize/plain/did:plc:exampleauthor0000000000"
    assert first == Post(
        source="bluesky",
        id=BLUESKY,
        url="https://bsky.app/profile/did:plc:exampleauthor0000000000/post/3lexamplekey1",
        author="anna.example.org",
        created_at=datetime(2025, 3, 6, 14, 14, 56, 123000, tzinfo=UTC),
        text="Ice on the lake #winter",
        language="en",
        hashtags=("winter", "ice"),
        likes=3,
        reposts=2,
        replies=1,
        sensitive=False,
        attachments=(Attachment(url=f"{place}/bafkreia@jpeg"), Attachment(url=f"{place}/bafkreib@jpeg")),
        extra={
            "collected_at": "2025-03-07T00:00:00.123456",  # in a zone that isn't stated
            "query": "#winter",
            "rank": "0",
            "thread_id": BLUESKY,
            "quote_count": "0",
            "replies_allowed": "True",
            "has_poll": "False",
        },
    )
    assert isinstance(second, Post)
    assert second.author == "did:plc:exampleauthor0000000000"
    assert second.created_at == datetime(2025, 3, 6, 14, 14, 56, tzinfo=UTC)
    assert (second.language, second.hashtags, second.sensitive, second.attachments) == (None, (), True, ())


def test_bluesky_of_2024_is_the_same_post() -> None:
    assert fixture("4cat-bluesky-2024.csv") == fixture("4cat-bluesky-2025.csv")[:1]


def test_instagram_of_2026() -> None:
    first, partial, hidden = fixture("4cat-instagram-2026.csv")
    assert first == Post(
        source="instagram",
        id="DOlrnIjkd18",
        url="https://www.instagram.com/p/DOlrnIjkd18",
        author="anna",
        created_at=datetime(2025, 3, 6, 14, 14, 56, tzinfo=UTC),
        text="Ice #winter #lake",
        hashtags=("winter", "lake"),
        likes=12,
        replies=1,
        attachments=(photo(instagram("111")), photo(instagram("444"))),
        extra={
            "collected_from_view": "user_posts",
            "partial_item": "False",
            "timestamp": "2025-03-06 15:14:56",  # in a zone that isn't stated
            "thread_id": "DOlrnIjkd18",
            "parent_id": "DOlrnIjkd18",
            "media_type": "photo",
            "location_name": "Lake",
        },
    )
    assert isinstance(partial, Post)
    assert (partial.created_at, partial.time_problem, partial.likes, partial.replies) == (None, None, None, None)
    assert partial.attachments == (Attachment(url="", kind="video"),)  # the address is the film's
    assert isinstance(hidden, Post)
    assert (hidden.likes, hidden.replies) == (None, None)
    assert hidden.attachments == (
        Attachment(url=instagram("111")),
        Attachment(url=instagram("444")),
        Attachment(url=""),  # counted, not stated
    )


def test_instagram_of_2024_states_one_picture_of_two() -> None:
    (post,) = fixture("4cat-instagram-2024.csv")
    assert post == Post(
        source="instagram",
        id="DOlrnIjkd18",
        url="https://www.instagram.com/p/DOlrnIjkd18",
        author="anna",
        created_at=datetime(2025, 3, 6, 14, 14, 56, tzinfo=UTC),
        text="Ice #winter #lake",
        hashtags=("winter", "lake"),
        likes=12,
        replies=1,
        attachments=(photo(instagram("111")), photo("")),
        extra={
            "timestamp": "2025-03-06 15:14:56",
            "thread_id": "DOlrnIjkd18",
            "parent_id": "DOlrnIjkd18",
            "type": "photo",
            "location_name": "Lake",
        },
    )


def test_instagram_of_2019_has_the_picture_as_its_address() -> None:
    assert fixture("4cat-instagram-2019.csv") == [
        Post(
            source="instagram",
            id="BvExample01",
            url="https://www.instagram.com/p/BvExample01/",
            author="anna",
            created_at=datetime(2019, 3, 6, 14, 14, 56, tzinfo=UTC),
            text="Ice #winter",
            hashtags=("winter",),
            likes=5,
            replies=1,
            attachments=(photo(instagram("222")),),
            extra={
                "timestamp": "2019-03-06 14:14:56",
                "thread_id": "BvExample01",
                "parent_id": "BvExample01",
                "type": "picture",
            },
        ),
        Rejected(line=3, reason="17900000000000001 is a comment, not a post"),
    ]


def test_tiktok() -> None:
    first, expired, broken = fixture("4cat-tiktok-2025.csv")
    cover = "https://p16-sign-va.tiktokcdn.com/obj/tos-maliva-p-0068/abc?x-expires=1741356000&x-signature=Example%3D"
    assert first == Post(
        source="tiktok",
        id="7478000000000000001",
        url="https://www.tiktok.com/@anna.k/video/7478000000000000001",
        author="anna.k",
        created_at=datetime(2025, 3, 6, 14, 14, 56, tzinfo=UTC),
        text="Ice #winter",
        hashtags=("winter", "Lake"),
        likes=4,
        reposts=2,
        replies=1,
        sensitive=True,
        attachments=(Attachment(url=cover, kind="video"),),
        extra={
            "thread_id": "7478000000000000001",
            "author_followers": "10",
            "author_likes": "5",
            "author_videos": "3",
            "is_duet": "no",
            "is_ad": "no",
            "is_paid_partnership": "no",
            "is_photosensitive": "no",
            "music_name": "original sound",
            "music_id": "7000000000000000001",
            "plays": "90",
            "challenges": "winter",
        },
    )
    assert isinstance(expired, Post)
    assert expired.attachments == (Attachment(url="", kind="video"),)
    assert isinstance(broken, Post)
    assert broken.attachments == (Attachment(url="", kind="video"),)
    assert (broken.created_at, broken.time_problem) == (None, None)


def test_tiktok_of_2021() -> None:
    (post,) = fixture("4cat-tiktok-2021.csv")
    assert isinstance(post, Post)
    assert (post.id, post.author, post.sensitive) == ("7478000000000000001", "anna.k", None)
    assert post.created_at == datetime(2025, 3, 6, 14, 14, 56, tzinfo=UTC)


def test_tumblr() -> None:
    first, reblog = fixture("4cat-tumblr-2025.csv")
    assert first == Post(
        source="tumblr",
        id="777000000000000000",
        url="https://anna.tumblr.com/post/777000000000000000/ice",
        author="anna",
        created_at=datetime(2025, 3, 6, 14, 14, 56, tzinfo=UTC),
        text="Ice",
        hashtags=("winter", "ice lake"),
        likes=1,
        reposts=1,
        replies=0,
        attachments=(
            photo(tumblr("aaa.jpg")),
            Attachment(url=tumblr("bbb.gif"), kind="gif"),
            Attachment(url=tumblr("film.jpg"), kind="video"),
        ),
        extra={
            "type": "photo",
            "thread_id": "HaEp3NlH",
            "post_slug": "ice",
            "reblog_key": "HaEp3NlH",
            "content_order": "text,image",
            "note_count": "2",
        },
    )
    assert isinstance(reblog, Post)
    assert (reblog.repost_of, reblog.text, reblog.attachments) == ("776000000000000000", "A cat", ())
    assert (reblog.created_at, reblog.time_problem) == (None, None)


@pytest.mark.parametrize("name", ["4cat-tumblr-2019.csv", "4cat-tumblr-2021.csv"])
def test_the_first_tables_of_tumblr(name: str) -> None:
    assert fixture(name) == [
        Post(
            source="tumblr",
            id="644000000000000000",
            url="https://anna.tumblr.com/post/644000000000000000/ice",
            author="anna",
            created_at=datetime(2021, 3, 6, 14, 14, 56, tzinfo=UTC),
            text="Ice",
            hashtags=("winter", "ice lake"),
            attachments=(photo(tumblr("aaa.jpg")), photo(tumblr("bbb.jpg"))),
            extra={
                "type": "photo",
                "is_reblog": "False",
                "post_slug": "ice",
                "thread_id": "HaEp3NlH",
                "notes": "2",
            },
        )
    ]


def test_a_post_is_the_same_in_the_table_and_in_the_objects(tmp_path: Path) -> None:
    view = {"uri": BLUESKY, "author": {"handle": "anna.example.org"}, "record": {"text": "Ice"}}
    tumblr = {"id": 777000000000000000, "blog_name": "anna", "post_url": "https://anna.tumblr.com/", "content": []}
    pairs = [
        (fixture("4cat-x-2023.csv")[0], fixture("4cat-x.ndjson")[0]),
        (fixture("4cat-bluesky-2025.csv")[0], read_one(tmp_path, view)),
        (fixture("4cat-instagram-2026.csv")[0], fixture("4cat-instagram.ndjson")[0]),
        (fixture("4cat-tiktok-2025.csv")[0], fixture("4cat-tiktok.ndjson")[0]),
        (fixture("4cat-tumblr-2025.csv")[0], read_one(tmp_path, tumblr)),
    ]
    for one, other in pairs:
        assert isinstance(one, Post)
        assert isinstance(other, Post)
        assert (one.source, one.id, one.author) == (other.source, other.id, other.author)


def test_a_table_of_ones_own_is_not_4cats(tmp_path: Path) -> None:
    row = {
        **{"id": "1", "thread_id": "1", "parent_id": "1", "hashtags": "sea", "num_likes": "1", "num_comments": "2"},
        "image": "https://a.example/1.jpg",
    }
    post = read_row(tmp_path, row)
    assert isinstance(post, Post)
    assert (post.source, [each.url for each in post.attachments]) == ("exported", ["https://a.example/1.jpg"])
