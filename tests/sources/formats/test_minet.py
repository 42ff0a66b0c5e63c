from datetime import UTC, datetime
from pathlib import Path

import pytest
from captures import FIXTURES, assert_always_read_or_rejected, fixture
from csv_rows import assert_rows_always_read_or_rejected, read_row, rows

from hashtag_photos import sources
from hashtag_photos.records import Attachment, Post, Rejected

FILES = (
    *("minet-x.csv", "minet-x-2021.csv", "minet-bluesky.csv", "minet-bluesky-2025.csv"),
    *("minet-instagram-hashtag.csv", "minet-instagram-user.csv", "minet-tiktok.csv"),
)


def photo(url: str, alt: str | None = None) -> Attachment:
    return Attachment(url=url, alt=alt, kind="photo")


@pytest.mark.parametrize("name", FILES)
def test_is_recognised(name: str) -> None:
    assert sources.exported(FIXTURES / name).format_title == "minet's tables (X, Bluesky, Instagram, TikTok)"


@pytest.mark.parametrize("name", FILES)
def test_broken_rows_are_read_or_rejected(name: str, tmp_path: Path) -> None:
    assert_rows_always_read_or_rejected(tmp_path, rows(name)[0], format="minet")
    assert_always_read_or_rejected(tmp_path, rows(name)[0], format="minet", levels=1)


@pytest.mark.parametrize("name", FILES)
def test_what_nobody_knows_is_kept_and_the_author_is_not(name: str, tmp_path: Path) -> None:
    post = read_row(tmp_path, {**rows(name)[0], "glow": "embers"})
    assert isinstance(post, Post)
    assert (post.extra or {})["glow"] == "embers"
    people = {"Anna", "anna", "anna.k", "Bob", "bob", "cats", "skates", "cy", "bert", "bert.bsky.social"}
    assert not people & {cell for name, cell in (post.extra or {}).items() if name != "hashtag"}


def test_x() -> None:
    first, retweet, quote, empty, not_found = fixture("minet-x.csv")
    assert first == Post(
        source="x",
        id="458600000000000001",
        url="https://x.com/i/web/status/458600000000000001",
        author="bob",
        created_at=datetime(2014, 4, 22, 17, 3, 21, tzinfo=UTC),
        text="orig #Cats https://twitter.com/bob/status/458600000000000001/photo/1",
        language="en",
        hashtags=("cats", "pets"),
        likes=3,
        reposts=2,
        replies=1,
        sensitive=False,
        attachments=(
            photo("https://pbs.twimg.com/media/AAA.jpg", "a cat"),
            Attachment(url="", kind="gif"),  # the table has its film alone
            photo("https://pbs.twimg.com/media/CCC.jpg"),
        ),
        extra={
            "query": "#cats",
            "impression_count": "90",
            "source_name": "Web App",
            "user_followers": "5",
            "collected_via": "scraping",
            "match_query": "1",
            "collection_time": "2024-01-01T10:00:00.123456",
            "mood": "calm",
        },
    )
    assert isinstance(retweet, Post)
    assert retweet.repost_of == "458600000000000001"
    assert retweet.attachments == (photo("https://pbs.twimg.com/media/AAA.jpg", "a cat | a dog"),)
    assert isinstance(quote, Post)
    assert quote.repost_of is None
    assert quote.attachments == (photo("https://pbs.twimg.com/media/DDD.jpg"),)  # and not the quoted post's
    assert isinstance(empty, Post)
    assert (empty.attachments, empty.sensitive, empty.hashtags) == ((photo(""),), None, ())
    assert not_found == Rejected(line=6, reason="a row without id: what minet was asked for wasn't found")


def test_x_without_alternative_texts() -> None:
    (post,) = fixture("minet-x-2021.csv")
    assert isinstance(post, Post)
    assert post.attachments == (
        photo("https://pbs.twimg.com/media/AAA.jpg"),
        Attachment(url="", kind="gif"),
        photo("https://pbs.twimg.com/media/CCC.jpg"),
    )


def test_bluesky() -> None:
    cdn = "https://cdn.bsky.app/img/feed_fullsize/plain/did:plc:abc"
    assert fixture("minet-bluesky.csv") == [
        Post(
            source="bluesky",
            id="at://did:plc:abc/app.bsky.feed.post/3kxyz",
            url="https://bsky.app/profile/did:plc:abc/post/3kxyz",
            author="anna.bsky.social",
            created_at=datetime(2024, 5, 1, 10, 0, tzinfo=UTC),
            text="hi #Cats",
            language="en",
            hashtags=("cats",),
            likes=4,
            reposts=1,
            replies=0,
            attachments=(
                photo(f"{cdn}/bafkA@jpeg", "a cat"),
                Attachment(url="https://video.bsky.app/watch/did:plc:abc/bafkV/thumbnail.jpg", kind="video"),
                Attachment(url="https://media.tenor.example/g.gif?hh=1", alt="a waving cat", kind="gif"),
            ),
            extra={
                "query": "#cats",
                "cid": "bafyPOST",
                "indexed_at_utc": "2024-05-01T10:00:01.000Z",
                "quote_count": "0",
                "collected_via": "search",
            },
        )
    ]


def test_bluesky_of_minet_4_0_states_no_pictures() -> None:
    (post,) = fixture("minet-bluesky-2025.csv")
    assert post == Post(
        source="bluesky",
        id="at://did:plc:abc/app.bsky.feed.post/3kxyz",
        url="https://bsky.app/profile/did:plc:abc/post/3kxyz",
        author="anna.bsky.social",
        created_at=datetime(2024, 5, 1, 10, 0, 0, 123000, tzinfo=UTC),
        text="hi #Cats",
        language="en",
        likes=4,
        reposts=1,
        replies=0,
        extra={"query": "#cats", "quote_count": "0"},
    )


def test_instagram_by_hashtag() -> None:
    first, second = fixture("minet-instagram-hashtag.csv")
    shown = "https://www.instagram.com/p/C6abcDEfgh1/media/?size=l"
    assert first == Post(
        source="instagram",
        id="C6abcDEfgh1",
        url="https://www.instagram.com/p/C6abcDEfgh1/",
        author="99",
        created_at=datetime(2024, 5, 1, 10, 0, tzinfo=UTC),
        text="one #Cats",
        hashtags=("cats",),
        likes=11,
        replies=1,
        attachments=(photo(shown, "May be an image of a cat"),),
        extra={
            "hashtag": "cats",
            "id": "3120000000000000001",
            "media_type": "GraphImage",
            "liked_by_count": "12",
            "comments_disabled": "false",
        },
    )
    assert isinstance(second, Post)
    assert second.created_at == datetime(2024, 5, 1, 10, 0, tzinfo=UTC)
    assert second.attachments == (Attachment(url=shown, kind="video"),)


def test_instagram_by_user() -> None:
    first, second = fixture("minet-instagram-user.csv")
    assert isinstance(first, Post)
    assert (first.source, first.id, first.author, first.likes) == ("instagram", "C6abcDEfgh1", "anna", 12)
    assert first.attachments == (
        photo("https://scontent.cdninstagram.com/1.jpg?a=1"),
        Attachment(url="", kind="video"),  # the film's address
        Attachment(url=""),  # of a kind that minet doesn't know
    )
    assert isinstance(second, Post)
    assert second.likes is None
    assert second.attachments == (photo("https://www.instagram.com/p/C6abcDEfgh1/media/?size=l"),)


def test_tiktok() -> None:
    assert fixture("minet-tiktok.csv") == [
        Post(
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
            attachments=(
                Attachment(url="https://p16-sign-va.tiktokcdn.com/obj/abc?x-expires=1741356000", kind="video"),
            ),
            extra={
                "query": "winter",
                "video_id": "7478000000000000001",
                "video_height": "1024",
                "video_width": "576",
                "author_follower_count": "10",
                "music_title": "original sound",
                "play_count": "90",
                "effect_stickers_names": "Snow",
                "is_ad": "false",
            },
        )
    ]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("minet-tiktok.csv", "4cat-tiktok.ndjson"),
        ("minet-x.csv", "gallery-dl.json"),
        ("minet-bluesky.csv", "gallery-dl.jsonl"),
        ("minet-instagram-user.csv", "minet-instagram-hashtag.csv"),
    ],
)
def test_a_post_is_the_same_in_another_format(name: str, other: str) -> None:
    one, same = fixture(name)[0], fixture(other)[0]
    assert isinstance(one, Post)
    assert isinstance(same, Post)
    assert (one.source, one.id) == (same.source, same.id)


@pytest.mark.parametrize(
    "row",
    [
        {"shortcode": "C1", "caption": "sea", "taken_at_timestamp": "1741270496", "display_url": "x"},
        {"id": "1", "user_screen_name": "anna", "retweeted_id": "", "media_urls": "x"},
    ],
)
def test_a_table_of_ones_own_is_not_minets(row: dict[str, str], tmp_path: Path) -> None:
    post = read_row(tmp_path, {**row, "image_url": "https://a.example/1.jpg"})
    assert isinstance(post, Post)
    assert post.source == "exported"
