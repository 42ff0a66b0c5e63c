import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from captures import FIXTURES, assert_always_read_or_rejected, fixture, read, read_one, records, written

from hashtag_photos import sources
from hashtag_photos.records import Attachment, Post, Rejected

FILES = ("gallery-dl.json", "gallery-dl.jsonl", "gallery-dl-metadata.jsonl", "gallery-dl-metadata-2021.jsonl")
CAT = Attachment(
    url="https://pbs.twimg.com/media/AAA1?format=jpg&name=orig", alt="a cat", kind="photo", width=100, height=50
)
A_TWEET = Post(
    source="x",
    id="458600000000000001",
    url="https://x.com/i/web/status/458600000000000001",
    author="anna",
    created_at=datetime(2014, 4, 22, 13, 35, 35, tzinfo=UTC),
    text="Look #Cats",
    language="en",
    hashtags=("Cats",),
    likes=3,
    reposts=2,
    replies=1,
    sensitive=False,
    attachments=(CAT, Attachment(url="", kind="video")),
    extra={
        "conversation_id": 458600000000000001,
        "quote_count": 0,
        "search": "#cats",
        "source": "Web",
        "view_count": 0,
    },
)
A_DAY = datetime(2024, 5, 1, 10, 0, tzinfo=UTC)


def metadata(number: int) -> dict[str, Any]:
    return records("gallery-dl-metadata.jsonl")[number]


def rows() -> list[list[Any]]:
    return [json.loads(line) for line in (FIXTURES / "gallery-dl.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", FILES)
def test_is_recognised(name: str) -> None:
    assert sources.exported(FIXTURES / name).format_title == "gallery-dl's JSON or metadata"


def test_a_file_of_errors_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "failed.json"
    path.write_text(json.dumps([[-1, {"error": "NotFoundError", "message": "no such user"}]], indent=2))
    assert sources.exported(path).format_title == "gallery-dl's JSON or metadata"


def test_rows_of_json_with_an_array_per_address() -> None:
    assert fixture("gallery-dl.json") == [
        A_TWEET,
        Post(
            source="x",
            id="458600000000000002",
            url="https://x.com/i/web/status/458600000000000002",
            author="anna",
            created_at=datetime(2014, 4, 22, 13, 35, 35, tzinfo=UTC),
            text="plain #Cats text",
            language="en",
            hashtags=("Cats",),
            likes=3,
            reposts=2,
            replies=1,
            sensitive=False,
            extra=A_TWEET.extra,
        ),
        Post(
            source="x",
            id="458600000000000003",
            url="https://x.com/i/web/status/458600000000000003",
            author="cy",  # who retweeted it
            text="RT @anna: Look #Cats",
            language="en",
            hashtags=("Cats",),
            likes=3,
            reposts=2,
            replies=1,
            repost_of="458600000000000001",
            attachments=(CAT,),
            extra=A_TWEET.extra,
        ),
        Rejected(
            line=7,
            reason="an address that gallery-dl queued, and no post: with -J it follows them",
        ),
        Rejected(line=8, reason="about an account, and no post: twitter info"),
        Rejected(
            line=9,
            reason="an error of gallery-dl, and no post: NotFoundError: Requested user could not be found",
        ),
        Post(
            source="instagram",
            id="C6abcDEfgh1",
            url="https://www.instagram.com/p/C6abcDEfgh1/",
            author="anna",
            created_at=A_DAY,
            text="two #Cats",
            hashtags=("Cats",),
            likes=12,
            attachments=(
                Attachment(
                    url="https://scontent.cdninstagram.com/v/t51/1_n.jpg?ig=1", kind="photo", width=1440, height=1080
                ),
                Attachment(
                    url="https://scontent.cdninstagram.com/v/t51/2_n.jpg?ig=1", kind="video", width=1440, height=1080
                ),
            ),
            extra={"post_id": "3120000000000000001", "tag": "cats", "type": "post"},
        ),
        Rejected(
            line=14,
            reason="an error of gallery-dl, and no post: NotFoundError: Requested post could not be found",
        ),
    ]


def test_rows_of_json_lines() -> None:
    bluesky, mastodon, boost, tumblr, photos, video, unknown = fixture("gallery-dl.jsonl")
    assert bluesky == Post(
        source="bluesky",
        id="at://did:plc:abc/app.bsky.feed.post/3kxyz",
        url="https://bsky.app/profile/did:plc:abc/post/3kxyz",
        author="anna.bsky.social",
        created_at=datetime(2024, 5, 1, 10, 0, 0, 123000, tzinfo=UTC),  # and not gallery-dl's own reading of it
        text="hi #Cats",
        language="en",
        hashtags=("Cats",),
        likes=4,
        reposts=1,
        replies=0,
        sensitive=True,
        attachments=(
            Attachment(
                url="https://pds.example/xrpc/com.atproto.sync.getBlob?did=did:plc:abc&cid=bafkIMG",
                alt="a cat",
                kind="photo",
                width=4,
                height=3,
            ),
        ),
        extra={"cid": "bafyPOST", "indexed_at": "2024-05-01T10:00:01.000Z", "quote_count": 0},
    )
    cat = Attachment(url="https://files.example/original/a1.jpg", alt="a cat", kind="photo", width=4, height=3)
    assert mastodon == Post(
        source="mastodon",
        id="https://other.social/users/anna/statuses/1",
        url="https://other.social/@anna/1",
        author="anna@other.social",
        created_at=A_DAY,
        edited_at=datetime(2024, 5, 2, 10, 0, tzinfo=UTC),
        text="hi #cats\n\nbye",
        language="en",
        hashtags=("cats",),
        likes=2,
        reposts=1,
        replies=0,
        sensitive=True,
        attachments=(
            cat,
            Attachment(url="https://files.example/small/a2.png", kind="gif", width=4, height=3),
        ),
        extra={"id": "112300000000000001", "spoiler_text": "cat", "visibility": "public"},
    )
    assert boost == Post(
        source="mastodon",
        id="https://mastodon.social/users/cy/statuses/2/activity",
        url="https://mastodon.social/@cy/2",
        author="cy@mastodon.social",
        created_at=A_DAY,
        text="hi #cats\n\nbye",
        language="en",
        hashtags=("cats",),
        likes=2,
        reposts=1,
        replies=0,
        sensitive=True,
        repost_of="https://other.social/users/anna/statuses/1",
        attachments=(cat,),
        extra={"id": "112300000000000002", "spoiler_text": "cat", "visibility": "public"},
    )
    assert tumblr == Post(
        source="tumblr",
        id="749000000000000001",
        url="https://anna.tumblr.com/post/749000000000000001/cats",
        author="anna",
        created_at=A_DAY,
        text="two",
        hashtags=("cats", "my cat"),
        attachments=(
            Attachment(url="https://64.media.tumblr.com/aa/bb/s1280x1920/cc.jpg", kind="photo", width=1280, height=960),
            Attachment(url="https://64.media.tumblr.com/aa/bb/s1280x1920/dd.gif", kind="gif"),
        ),
        extra={"search_tags": "cats", "type": "photo", "note_count": 5, "reblog_key": "Ha"},
    )
    assert photos == Post(
        source="tiktok",
        id="7478000000000000001",
        url="https://www.tiktok.com/@anna.k/video/7478000000000000001",
        author="anna.k",
        created_at=datetime(2025, 3, 6, 14, 14, 56, tzinfo=UTC),
        text="Ice #winter",
        language="en",
        hashtags=("winter",),
        likes=4,
        reposts=2,
        replies=1,
        attachments=(
            Attachment(
                url="https://p16-sign-va.tiktokcdn.com/1.jpeg?x-expires=1", kind="photo", width=1080, height=1440
            ),
        ),
        extra={"post_type": "image"},
    )
    assert isinstance(video, Post)
    assert video.attachments == (
        Attachment(url="https://p16-sign-va.tiktokcdn.com/cover.jpeg?x-expires=1", kind="video"),
    )
    assert unknown == Post(
        source="pixel.example",
        id="77",
        author="anna",
        created_at=A_DAY,
        text="Lake",
        hashtags=("winter",),
        attachments=(Attachment(url="https://img.pixel.example/77.png", kind="photo", width=10, height=20),),
        extra={"rating": "g"},
    )


def test_metadata_of_files_makes_addresses_again_where_that_can_be() -> None:
    tweet, instagram, bluesky, _, mastodon, inline, *_ = fixture("gallery-dl-metadata.jsonl")
    assert tweet == A_TWEET
    for post, url in (
        (instagram, "https://scontent.cdninstagram.com/v/t51/1_n.jpg?ig=1"),
        (bluesky, "https://cdn.bsky.app/img/feed_fullsize/plain/did:plc:abc/bafkIMG@jpeg"),
        (mastodon, "https://files.example/original/a1.jpg"),
        (inline, "https://64.media.tumblr.com/xx/ee.jpg"),
    ):
        assert isinstance(post, Post)
        assert [each.url for each in post.attachments] == [url]
    assert isinstance(inline, Post)
    assert inline.attachments[0].alt == "a path"


def test_metadata_of_posts_states_their_pictures_or_counts_them() -> None:
    *_, bluesky, _, _, tiktok, tweet = fixture("gallery-dl-metadata.jsonl")
    assert isinstance(bluesky, Post)
    assert bluesky.attachments == (
        Attachment(
            url="https://cdn.bsky.app/img/feed_fullsize/plain/did:plc:abc/bafkIMG@jpeg",
            alt="a cat",
            kind="photo",
            width=4,
            height=3,
        ),
    )
    assert isinstance(tiktok, Post)
    assert [each.url for each in tiktok.attachments] == ["https://p16-sign-va.tiktokcdn.com/1.jpeg?x-expires=1"]
    assert isinstance(tweet, Post)
    assert tweet.attachments == (Attachment(url=""), Attachment(url=""))


def test_metadata_of_2021() -> None:
    (tweet,) = fixture("gallery-dl-metadata-2021.jsonl")
    assert isinstance(tweet, Post)
    assert (tweet.id, tweet.sensitive, tweet.attachments) == (
        "458600000000000001",
        None,
        (Attachment(url=CAT.url, kind="photo", width=100, height=50),),
    )
    assert (tweet.extra or {})["mood"] == "calm"


def test_a_folder_of_pictures_with_metadata_beside_them(tmp_path: Path) -> None:
    folder = tmp_path / "twitter" / "anna"
    folder.mkdir(parents=True)
    (folder / "458600000000000001_1.jpg").write_bytes(b"a picture")
    (folder / "458600000000000001_2.mp4").write_bytes(b"a film")
    for name, values in (
        ("458600000000000001_1.jpg", metadata(0)),
        ("458600000000000001_2.mp4", metadata(1)),
        ("458600000000000009_1.jpg", {**metadata(0), "tweet_id": 458600000000000009}),
        ("info", metadata(8)),
    ):
        (folder / f"{name}.json").write_text(json.dumps(values, indent=4))
    source = sources.exported(tmp_path)
    assert source.format_title == "gallery-dl's JSON or metadata"
    first, second, info = source.posts()
    assert isinstance(first, Post)
    assert first.attachments == (
        Attachment(url=(folder / "458600000000000001_1.jpg").as_uri(), alt="a cat", kind="photo", width=100, height=50),
        Attachment(url="", kind="video"),
    )
    assert first.extra == A_TWEET.extra
    assert isinstance(second, Post)
    assert second.attachments == (CAT,)  # its picture isn't there any more
    assert info == Rejected(line=4, reason="info.json is about the download: the post in it has files of its own")


@pytest.mark.parametrize("category", ["twitter", "instagram", "bluesky"])
def test_an_account_is_no_post(category: str, tmp_path: Path) -> None:
    found = read_one(tmp_path, {"category": category, "subcategory": "user", "name": "anna"}, format="gallery-dl")
    assert isinstance(found, Rejected)
    assert "about an account, and no post" in found.reason


def test_a_boost_shows_the_pictures_of_the_original(tmp_path: Path) -> None:
    boost = next(row[1] for row in rows() if row[0] == 2 and row[1].get("reblog"))
    post = read_one(tmp_path, boost)
    assert isinstance(post, Post)
    assert post.attachments == (
        Attachment(url="https://files.example/original/a1.jpg", alt="a cat", kind="photo", width=4, height=3),
    )


def test_what_nobody_knows_is_kept_and_the_author_is_not(tmp_path: Path) -> None:
    for values in records("gallery-dl-metadata.jsonl"):
        post = read_one(tmp_path, {**values, "glow": "embers"})
        assert isinstance(post, Post)
        assert (post.extra or {})["glow"] == "embers"
        assert "anna" not in str(post.extra).lower()


def test_a_count_that_can_not_be_is_no_number_of_pictures(tmp_path: Path) -> None:
    post = read_one(tmp_path, {**metadata(8), "count": 10**9})
    assert isinstance(post, Post)
    assert len(post.attachments) == 50


@pytest.mark.parametrize("number", range(9))
def test_broken_metadata_are_read_or_rejected(number: int, tmp_path: Path) -> None:
    assert_always_read_or_rejected(tmp_path, metadata(number), format="gallery-dl")


@pytest.mark.parametrize("number", [1, 3, 6, 8, 9, 11, 13, 15])
def test_broken_rows_are_read_or_rejected(number: int, tmp_path: Path) -> None:
    assert_always_read_or_rejected(tmp_path, rows()[number], format="gallery-dl")


@pytest.mark.parametrize("row", [[], [2], [3, "x"], [6], [-1], [-1, {}], ["x"], [[]], 5, None, "x", {}])
def test_what_is_no_row_is_rejected(row: Any, tmp_path: Path) -> None:
    found, _ = read(tmp_path, row, "no row either", format="gallery-dl")
    assert isinstance(found, Rejected)


def test_a_post_is_the_same_in_another_format(tmp_path: Path) -> None:
    view = {"uri": "at://did:plc:abc/app.bsky.feed.post/3kxyz", "author": {"did": "did:plc:abc"}, "record": {}}
    tumblr = {"id": 749000000000000001, "blog_name": "anna", "post_url": "https://anna.tumblr.com/", "content": []}
    posts = fixture("gallery-dl.jsonl")
    pairs = [
        (fixture("gallery-dl.json")[0], fixture("minet-x.csv")[0]),
        (fixture("gallery-dl.json")[6], fixture("minet-instagram-user.csv")[0]),
        (posts[0], read_one(tmp_path, view)),
        (posts[3], read_one(tmp_path, tumblr)),
        (posts[4], fixture("4cat-tiktok.ndjson")[0]),
    ]
    for one, other in pairs:
        assert isinstance(one, Post)
        assert isinstance(other, Post)
        assert (one.source, one.id) == (other.source, other.id)


@pytest.mark.parametrize("subcategory", ["sea", "user"])
@pytest.mark.parametrize("category", ["landscape", "twitter", "instagram", "tumblr"])
def test_words_of_a_table_of_ones_own_are_not_gallery_dls(category: str, subcategory: str, tmp_path: Path) -> None:
    row = {
        **{"id": "1", "created_at": "2024-05-01", "text": "sea", "media": "https://a.example/1.jpg"},
        **{"category": category, "subcategory": subcategory, "filename": "1.jpg", "extension": "jpg"},
    }
    assert sources.exported(written(tmp_path, row)).format_title == "any columns"
    post = read_one(tmp_path, row)
    assert isinstance(post, Post)
    assert [each.url for each in post.attachments] == ["https://a.example/1.jpg"]


def test_metadata_of_a_site_that_is_not_known_are_recognised_beside_their_pictures(tmp_path: Path) -> None:
    unknown = rows()[-1][-1]
    (tmp_path / "77.png").write_bytes(b"a picture")
    (tmp_path / "77.png.json").write_text(json.dumps(unknown))
    source = sources.exported(tmp_path)
    assert source.format_title == "gallery-dl's JSON or metadata"
    (post,) = source.posts()
    assert isinstance(post, Post)
    assert [each.url for each in post.attachments] == [(tmp_path / "77.png").as_uri()]


@pytest.mark.parametrize("row", [[9, {"owner": "anna"}], ["anna", "anna"], {"owner": "anna", "id": "1"}, [6, "/anna"]])
def test_a_reason_does_not_repeat_the_record(row: Any, tmp_path: Path) -> None:
    found = read_one(tmp_path, row, format="gallery-dl")
    assert isinstance(found, Rejected)
    assert "gallery-dl" in found.reason
    assert "anna" not in found.reason
