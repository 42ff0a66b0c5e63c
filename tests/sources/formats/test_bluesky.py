import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from captures import FIXTURES, assert_always_read_or_rejected, read_one

from hashtag_photos import sources
from hashtag_photos.records import Attachment, Post, Rejected

NAME = "4cat-bluesky.ndjson"


def test_both_spellings_of_4cat() -> None:
    source = sources.exported(FIXTURES / NAME)
    assert source.format_title == "Bluesky posts (4CAT's NDJSON, or the API's)"
    snake, camel, rejected, video = source.posts()
    assert snake == Post(
        source="bluesky",
        id="at://did:plc:exampleauthor0000000000/app.bsky.feed.post/3lexamplekey1",
        url="https://bsky.app/profile/did:plc:exampleauthor0000000000/post/3lexamplekey1",
        author="anna.example.org",
        created_at=datetime(2025, 3, 6, 14, 14, 56, 123000, tzinfo=UTC),
        text="Ice on the lake #winter",
        language="en",
        hashtags=("winter",),
        likes=3,
        reposts=2,
        replies=1,
        sensitive=False,
        attachments=(
            Attachment(
                url="https://cdn.bsky.app/img/feed_fullsize/plain/a/b@jpeg",
                alt="Frozen lake at dawn",
                kind="photo",
                width=1080,
                height=1350,
            ),
        ),
        collected_at=datetime(2025, 3, 7, 0, 0, 0, 500000, tzinfo=UTC),
        extra=snake.extra if isinstance(snake, Post) else None,
    )
    assert isinstance(camel, Post)
    assert (camel.created_at, camel.attachments, camel.hashtags) == (
        snake.created_at,
        snake.attachments,
        snake.hashtags,
    )
    assert rejected == Rejected(line=3, reason="a post without uri")
    assert isinstance(video, Post)
    assert video.attachments == (
        Attachment(url="https://video.bsky.app/t.jpg", alt="waves", kind="video", width=1280, height=720),
    )
    assert video.extra is not None
    assert video.extra["new_member"] == {"a": 1}


@pytest.mark.parametrize("line", [0, 1, 3])
def test_nothing_that_is_wrong_or_missing_raises(line: int, tmp_path: Path) -> None:
    record: Any = json.loads((FIXTURES / NAME).read_text().splitlines()[line])
    assert_always_read_or_rejected(tmp_path, record, format="bluesky")


def test_unread_members_of_the_record_are_kept(tmp_path: Path) -> None:
    record: Any = json.loads((FIXTURES / NAME).read_text().splitlines()[0])
    record["record"] |= {"via": "an app", "entities": [{"type": "mention", "value": "did:plc:bert"}]}
    post = read_one(tmp_path, record)
    assert isinstance(post, Post)
    assert (post.extra or {})["record"] == {"via": "an app"}


def test_a_record_without_an_author_is_not_a_view(tmp_path: Path) -> None:
    own = {"uri": "at://did:plc:abc/x/1", "record": {"n": 1}, "image_url": "https://a.example/1.jpg"}
    post = read_one(tmp_path, own)
    assert isinstance(post, Post)
    assert (post.source, [each.url for each in post.attachments]) == ("exported", ["https://a.example/1.jpg"])
