import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from captures import FIXTURES, assert_always_read_or_rejected, fixture, read, read_one, records

from hashtag_photos import sources
from hashtag_photos.records import Attachment, Post, Rejected
from hashtag_photos.run import Run
from hashtag_photos.sources.fields import dig
from hashtag_photos.stages.collect import collect
from hashtag_photos.tables import POSTS

FILE = "4cat-instagram.ndjson"


def record(number: int) -> dict[str, Any]:
    return records(FILE)[number]


def new(name: str) -> str:
    return (
        f"https://scontent-ams2-1.cdninstagram.com/v/t51.2885-15/{name}_n.jpg"
        "?stp=dst-jpg_e35_tt6&ccb=7-5&oh=00_AfExample&oe=67D0A1B2"
    )


def old(name: str) -> str:
    return f"https://instagram.fams1-2.fna.fbcdn.net/v/t51.2885-15/e35/{name}_n.jpg?oe=60816E9E"


def seen(second: int) -> datetime:
    return datetime(2025, 6, 5, 14, 12, second, 123000, tzinfo=UTC)


def test_is_recognised() -> None:
    assert sources.exported(FIXTURES / FILE).format_title == "Instagram posts as its website gets them (4CAT's NDJSON)"


def test_a_carousel_has_a_picture_per_member() -> None:
    assert fixture(FILE)[0] == Post(
        source="instagram",
        id="DOlrnIjkd18",
        url="https://www.instagram.com/p/DOlrnIjkd18/",
        author="anna",
        created_at=datetime(2025, 3, 6, 14, 14, 56, tzinfo=UTC),
        text="Ice #winter #Lake_view, #हिन्दी#two❄️",
        hashtags=("winter", "Lake_view", "हिन्दी", "two❄️"),
        likes=12,
        replies=1,
        attachments=(
            Attachment(
                url=new("111_222_333"),
                alt="Photo by Anna on March 06, 2025. May be an image of ice.",
                kind="photo",
                width=1080,
                height=1350,
            ),
            Attachment(url=new("444_555_333"), kind="photo", width=1080, height=1080),
            Attachment(url=new("777_888_333"), kind="video", width=720, height=1280),
        ),
        collected_at=seen(0),
        extra={
            "location": {"pk": "213", "name": "Lake Example", "lat": 52.1, "lng": 5.2},
            "_zs_partial": False,
            "_zs_instagram_view": "user_posts",
        },
    )


def test_a_video_shows_by_its_cover_and_hidden_likes_are_not_counted() -> None:
    assert fixture(FILE)[1] == Post(
        source="instagram",
        id="DOlrnReel01",
        url="https://www.instagram.com/p/DOlrnReel01/",
        author="anna",
        created_at=datetime(2025, 3, 6, 14, 15, tzinfo=UTC),
        replies=0,
        attachments=(Attachment(url=new("999_000_333"), kind="video", width=640, height=1136),),
        collected_at=seen(1),
        extra={"play_count": 41, "_zs_partial": False, "_zs_instagram_view": "reels"},
    )


def test_an_item_of_2026_says_little() -> None:
    assert fixture(FILE)[2] == Post(
        source="instagram",
        id="DPolaris001",
        url="https://www.instagram.com/p/DPolaris001/",
        author="anna",
        attachments=(Attachment(url=new("polaris"), kind="photo"),),
        collected_at=seen(2),
        extra={"_zs_partial": True, "_zs_instagram_view": "popular", "_zs_html_embedded_json": True},
    )


def test_a_grid_names_pictures_that_it_does_not_hold() -> None:
    assert fixture(FILE)[3] == Post(
        source="instagram",
        id="DGridItem01",
        url="https://www.instagram.com/p/DGridItem01/",
        author="1541676532",
        attachments=(
            Attachment(url=new("grid"), width=480, height=600),
            Attachment(url=""),
            Attachment(url=""),
        ),
        collected_at=seen(3),
        extra={"_zs_partial": True, "_zs_instagram_view": "user_posts"},
    )


def test_the_graph_of_2021() -> None:
    assert fixture(FILE)[4] == Post(
        source="instagram",
        id="CMfIllbnZNW",
        url="https://www.instagram.com/p/CMfIllbnZNW/",
        author="anna",
        created_at=datetime(2021, 3, 16, 13, 6, 40, tzinfo=UTC),
        text="Ice #winter",
        hashtags=("winter",),
        likes=10,
        replies=1,
        attachments=(
            Attachment(url=old("1"), alt="Photo by Anna on March 16, 2021.", kind="photo", width=1080, height=1350),
            Attachment(url=old("2"), kind="video", width=750, height=938),
        ),
        collected_at=seen(4),
        extra={},
    )


def test_a_node_of_the_first_captures() -> None:
    assert fixture(FILE)[5] == Post(
        source="instagram",
        id="CMfIllbnOLD",
        url="https://www.instagram.com/p/CMfIllbnOLD/",
        author="710",
        created_at=datetime(2021, 3, 16, 13, 8, 20, tzinfo=UTC),
        replies=4,
        attachments=(Attachment(url=old("3"), kind="photo", width=640, height=480),),
        collected_at=seen(5),
        extra={},
    )


def test_an_advertisement_is_rejected(tmp_path: Path) -> None:
    assert fixture(FILE)[6] == Rejected(line=7, reason="post DAdvert0001 is an advertisement")
    linked = record(0) | {"link": "https://www.facebook.com/ads/ig_redirect/?d=x"}
    assert read(tmp_path, linked) == [Rejected(line=1, reason="post DOlrnIjkd18 is an advertisement")]


def test_what_nobody_knows_is_kept_and_the_author_is_not(tmp_path: Path) -> None:
    post = read_one(tmp_path, {**record(4), "glow": "embers"})
    assert isinstance(post, Post)
    assert post.extra == {"glow": "embers"}


@pytest.mark.parametrize("time", [0, "0", None])
def test_no_time_is_not_1970(time: Any, tmp_path: Path) -> None:
    post = read_one(tmp_path, {**record(0), "taken_at": time})
    assert isinstance(post, Post)
    assert (post.created_at, post.time_problem) == (None, None)


@pytest.mark.parametrize(
    ("caption", "hashtags"),
    [
        ("#a #b#c", ("a", "b", "c")),
        ("#snow_2025! (#ice)", ("snow_2025", "ice")),
        ("#l’été #straße #氷。#зима", ("l", "straße", "氷", "зима")),
        ("＃冬 #a #a", ("冬", "a")),
        ("no # tag, #️⃣ nor &", ()),
        (None, ()),
    ],
)
def test_hashtags_are_those_of_the_caption(caption: str | None, hashtags: tuple[str, ...], tmp_path: Path) -> None:
    post = read_one(tmp_path, {**record(0), "caption": {"text": caption}})
    assert isinstance(post, Post)
    assert post.hashtags == hashtags


def test_a_story_kept_as_a_highlight_has_no_address(tmp_path: Path) -> None:
    post = read_one(tmp_path, {**record(1), "_zs_instagram_view": "highlight_reels"})
    assert isinstance(post, Post)
    assert (post.id, post.url) == ("DOlrnReel01", None)


def test_without_a_shortcode_there_is_no_post(tmp_path: Path) -> None:
    assert read(tmp_path, {**record(0), "code": None}) == [Rejected(line=1, reason="a post without its shortcode")]


@pytest.mark.parametrize("number", range(7))
def test_broken_records_are_read_or_rejected(number: int, tmp_path: Path) -> None:
    assert_always_read_or_rejected(tmp_path, record(number), format="instagram")


@pytest.mark.parametrize(
    "more",
    [
        {"code": "C1", "media_type": "photo", "taken_at": "2024-05-01"},
        {"shortcode": "C1", "edge_liked_by.count": "5", "__typename": "GraphImage"},
        {"code": "C1", "display_uri": "https://a.example/1.jpg"},
    ],
)
def test_a_table_of_ones_own_is_not_of_the_website(more: dict[str, Any], tmp_path: Path) -> None:
    post = read_one(tmp_path, {"id": "1", "image_url": "https://a.example/1.jpg", **more})
    assert isinstance(post, Post)
    assert (post.source, [each.url for each in post.attachments]) == ("exported", ["https://a.example/1.jpg"])


def test_a_post_captured_in_part_and_whole_is_the_whole_one(tmp_path: Path) -> None:
    whole = next(each for each in records("zeeschuimer-instagram.ndjson") if dig(each, "data", "carousel_media"))
    part = copy.deepcopy(whole)
    part["data"] = {
        **{
            name: part["data"][name]
            for name in ("id", "code", "user", "media_type", "image_versions2")
            if name in part["data"]
        },
        "carousel_media_count": len(whole["data"]["carousel_media"]),
        "_zs_partial": True,
    }
    between = next(each for each in records("zeeschuimer-instagram.ndjson") if each != whole)
    for number, captures in enumerate(([part, whole], [whole, part], [part, between, whole], [part, part])):
        path = tmp_path / f"{number}.ndjson"
        path.write_text("".join(json.dumps(each) + "\n" for each in captures))
        run = Run(tmp_path / f"run-{number}")
        done = collect(run, sources.exported(path))
        assert (done.repeated, done.rejected) == (1, 0)
        rows = run.dataset("posts", POSTS).to_table().to_pylist()
        (row,) = (each for each in rows if each["id"] == whole["data"]["code"])
        assert len(row["attachments"]) == len(whole["data"]["carousel_media"])
        assert (row["created_at"] is None) == (number == 3), "what the whole one says is kept"
