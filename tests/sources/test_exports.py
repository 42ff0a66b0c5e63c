import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hashtag_photos import sources
from hashtag_photos.errors import SourceError, UsageError
from hashtag_photos.records import Attachment, Post, Rejected


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, **options: Any) -> list[Post | Rejected]:
    source = sources.exported(path, **options)
    source.check()
    return list(source.posts())


def lines(*objects: Any) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


FULL = {
    "id": "7",
    "url": "https://social.example/@a/7",
    "author": "a",
    "created_at": "2014-04-22T18:00:00+02:00",
    "text": "Hello #myNYPD",
    "language": "en",
    "hashtags": ["myNYPD"],
    "likes": 3,
    "reposts": 2,
    "replies": 1,
    "sensitive": False,
    "media": [{"url": "https://social.example/1.jpg", "alt": "a handshake"}],
}
EXPECTED = Post(
    source="exported",
    id="7",
    url="https://social.example/@a/7",
    author="a",
    created_at=datetime(2014, 4, 22, 16, tzinfo=UTC),
    text="Hello #myNYPD",
    language="en",
    hashtags=("myNYPD",),
    likes=3,
    reposts=2,
    replies=1,
    sensitive=False,
    attachments=(Attachment(url="https://social.example/1.jpg", alt="a handshake"),),
)


def test_json_lines(tmp_path: Path) -> None:
    assert read(written(tmp_path, "p.jsonl", "\ufeff" + lines(FULL) + "\n")) == [EXPECTED]


def test_csv_with_the_same_post(tmp_path: Path) -> None:
    row = {**FULL, "hashtags": "#myNYPD", "media": json.dumps(FULL["media"]), "sensitive": "false"}
    import csv
    import io

    for delimiter in ",;\t":
        text = io.StringIO()
        table = csv.DictWriter(text, list(row), delimiter=delimiter)
        table.writeheader()
        table.writerow(row)
        assert read(written(tmp_path, "p.csv", text.getvalue())) == [EXPECTED]


def test_parquet_with_the_same_post(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([FULL]), tmp_path / "p.parquet")
    assert read(tmp_path / "p.parquet") == [EXPECTED]


@pytest.mark.parametrize(
    "object",
    [
        {"tweet_id": 7, "full_text": "x", "favorite_count": "1,234", "media_urls": "https://a.example/1.jpg"},
        {"id_str": "7", "content": "x", "like_count": 1234.0, "Image URL": "https://a.example/1.jpg"},
        {"Post ID": "7", "caption": "x", "num_likes": "1234", "attachments": ["https://a.example/1.jpg"]},
        {"id": "7", "text": "x", "likes": 1234, "media": [{"fullUrl": "https://a.example/1.jpg"}]},
        {
            "status_id": "7",
            "body": "x",
            "likes": "1234",
            "media": [{"url": "https://t.co/x", "media_url_https": "https://a.example/1.jpg"}],
        },
        {"id": 7, "text": "x", "likes": 1234, "user": {"username": "u"}, "image": {"src": "https://a.example/1.jpg"}},
    ],
)
def test_the_usual_column_names_are_found(tmp_path: Path, object: dict[str, Any]) -> None:
    (post,) = read(written(tmp_path, "p.ndjson", lines(object)))
    assert isinstance(post, Post)
    assert (post.id, post.text, post.likes) == ("7", "x", 1234)
    assert [each.url for each in post.attachments] == ["https://a.example/1.jpg"]


def test_other_columns_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, "p.csv", "Nummer,Bild\n7,https://a.example/1.jpg\n")
    with pytest.raises(
        SourceError, match=r"no column with the addresses of pictures among Nummer, Bild; .*--columns media="
    ):
        read(path)
    (post,) = read(path, columns={"id": "Nummer", "media": "Bild"})
    assert isinstance(post, Post)
    assert (post.id, post.attachments[0].url) == ("7", "https://a.example/1.jpg")
    with pytest.raises(SourceError, match="no column 'Foto'"):
        read(path, columns={"media": "Foto"})
    with pytest.raises(UsageError, match="no field 'bild'"):
        read(path, columns={"bild": "Bild"})


@pytest.mark.parametrize(
    "cell",
    [
        "https://a.example/1,2.jpg https://a.example/3.jpg",
        "https://a.example/1,2.jpg,https://a.example/3.jpg",
        "https://a.example/1,2.jpg; https://a.example/3.jpg",
        "https://a.example/1,2.jpg|https://a.example/3.jpg",
        '["https://a.example/1,2.jpg", "https://a.example/3.jpg"]',
        '[{"url": "https://a.example/1,2.jpg"}, {"url": "https://a.example/3.jpg"}]',
        "['https://a.example/1,2.jpg', 'https://a.example/3.jpg']",
        "https://a.example/1,2.jpg, https://a.example/3.jpg,",
        ["https://a.example/1,2.jpg", None, "", {}, "https://a.example/3.jpg"],
    ],
)
def test_several_pictures_in_one_cell(tmp_path: Path, cell: Any) -> None:
    (post,) = read(written(tmp_path, "p.jsonl", lines({"id": 1, "media": cell})))
    assert isinstance(post, Post)
    assert [each.url for each in post.attachments] == ["https://a.example/1,2.jpg", "https://a.example/3.jpg"]


@pytest.mark.parametrize("address", ["https://a.example/my photo.jpg", "https://a.example/1.jpg?crop=1|2"])
def test_an_odd_address_is_one_address(tmp_path: Path, address: str) -> None:
    (post,) = read(written(tmp_path, "p.jsonl", lines({"id": 1, "media": address})))
    assert isinstance(post, Post)
    assert [each.url for each in post.attachments] == [address]


def test_a_row_per_picture_becomes_a_post_with_all_of_them(tmp_path: Path) -> None:
    rows = "id,image\n1,https://a.example/1.jpg\n1,https://a.example/2.jpg\n2,https://a.example/3.jpg\n"
    first, second = read(written(tmp_path, "p.csv", rows))
    assert isinstance(first, Post)
    assert isinstance(second, Post)
    assert [each.url[-5:] for each in first.attachments] == ["1.jpg", "2.jpg"]
    assert [each.url[-5:] for each in second.attachments] == ["3.jpg"]


@pytest.mark.parametrize("empty", [None, [], "", "[]", {}])
def test_an_empty_column_does_not_hide_a_full_one(tmp_path: Path, empty: Any) -> None:
    content = lines({"id": 1, "media": empty, "photos": ["https://a.example/1.jpg"]})
    (post,) = read(written(tmp_path, "p.jsonl", content))
    assert isinstance(post, Post)
    assert len(post.attachments) == 1


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="two columns are named 'image'; rename one"):
        read(written(tmp_path, "p.csv", "id,image,image\n1,a,b\n"))


def test_an_unclosed_quote_loses_no_post_in_silence(tmp_path: Path) -> None:
    rows = 'id,image,text\n1,x,ok\n2,x,"unclosed\n3,x,"swallowed"\n4,x,ok\n'
    found = read(written(tmp_path, "p.csv", rows))
    assert [each.id for each in found if isinstance(each, Post)] == ["1", "4"]
    (rejected,) = (each for each in found if isinstance(each, Rejected))
    assert rejected.line == 3
    assert "lines 3 to 4 are lost by it" in rejected.reason


def test_hashtags_never_cost_a_post(tmp_path: Path) -> None:
    content = lines({"id": 1, "media": [], "tags": "['a', 'b']"}, {"id": 2, "media": [], "tags": "[a"})
    posts = read(written(tmp_path, "p.jsonl", content))
    assert [post.hashtags for post in posts if isinstance(post, Post)] == [("a", "b"), ()]


@pytest.mark.parametrize("id", ["nan", "None", "null", float("nan")])
def test_a_missing_id_is_no_id(tmp_path: Path, id: Any) -> None:
    posts = read(written(tmp_path, "p.jsonl", lines(*[{"id": id, "text": text, "media": []} for text in "abb"])))
    assert len({post.id for post in posts if isinstance(post, Post)}) == 3


def test_a_picture_without_an_address_is_still_an_attachment(tmp_path: Path) -> None:
    (post,) = read(written(tmp_path, "p.jsonl", lines({"id": 1, "media": [{"type": "photo"}]})))
    assert isinstance(post, Post)
    assert [each.url for each in post.attachments] == [""]


def test_local_files_are_addresses_below_the_named_folder(tmp_path: Path) -> None:
    path = written(tmp_path, "p.csv", "id,image\n1,sub/a b.jpg\n")
    (post,) = read(path, files=tmp_path)
    assert isinstance(post, Post)
    assert post.attachments[0].url == (tmp_path / "sub/a b.jpg").as_uri()


def test_unreadable_lines_are_rejected_with_number_and_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    content = (
        lines({"id": 1, "media": []}).encode()
        + b"{broken\n"
        + b'{"id": 2, "text": "\xff\xfe", "media": []}\n'
        + b"[1, 2]\n"
        + b'{"id": 3, "media": 17}\n'
        + lines({"id": 4, "media": []}).encode()
    )
    found = read(written(tmp_path, "p.jsonl", content))
    assert [each.id for each in found if isinstance(each, Post)] == ["1", "4"]
    rejected = {each.line: each.reason for each in found if isinstance(each, Rejected)}
    assert list(rejected) == [2, 3, 4, 5]
    for line, reason in {2: "not JSON", 3: "not UTF-8", 4: "jq", 5: "media"}.items():
        assert reason in rejected[line]


def test_unreadable_rows_of_a_csv(tmp_path: Path) -> None:
    content = (
        b'id,image,text\n1,https://a.example/1.jpg,"two\nlines"\n2,too few\n3,https://a.example/3.jpg,\xff\n4,,ok\n'
    )
    found = read(written(tmp_path, "p.csv", content))
    assert [each.id for each in found if isinstance(each, Post)] == ["1", "4"]
    assert [(each.line, each.reason) for each in found if isinstance(each, Rejected)] == [
        (4, "2 cells under 3 columns"),
        (5, "not UTF-8 text (save it as UTF-8)"),
    ]


@pytest.mark.parametrize("id", ["4.58902E+17", "4,58902e+17", 458902123456789012.0])
def test_an_id_that_lost_its_last_digits_is_no_key(tmp_path: Path, id: Any) -> None:
    """A spreadsheet does this to ids of 18 digits: different posts would become one, and silently be lost."""
    found = read(written(tmp_path, "p.jsonl", lines({"id": id, "media": []}, {"id": 458902123456789012, "media": []})))
    assert [each.reason for each in found if isinstance(each, Rejected)] == [
        f"id {id} has lost its last digits, as in a spreadsheet: export again with ids as text"
    ]
    assert [each.id for each in found if isinstance(each, Post)] == ["458902123456789012"]


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("2014-04-22T16:00:00Z", datetime(2014, 4, 22, 16, tzinfo=UTC)),
        ("22/04/2014 16:00", datetime(2014, 4, 22, 16, tzinfo=UTC)),
        ("22 April 2014, 4 pm GMT", datetime(2014, 4, 22, 16, tzinfo=UTC)),
        ("Tue, 22 Apr 2014 18:00:00 +0200", datetime(2014, 4, 22, 16, tzinfo=UTC)),
        ("2014-04-22 16:00:00", datetime(2014, 4, 22, 16, tzinfo=UTC)),
        ("Tue Apr 22 16:00:00 +0000 2014", datetime(2014, 4, 22, 16, tzinfo=UTC)),
        (1398182400, datetime(2014, 4, 22, 16, tzinfo=UTC)),
        ("1398182400000", datetime(2014, 4, 22, 16, tzinfo=UTC)),
    ],
)
def test_times(tmp_path: Path, stated: Any, expected: datetime) -> None:
    (post,) = read(written(tmp_path, "p.jsonl", lines({"id": 1, "media": [], "created_at": stated})))
    assert isinstance(post, Post)
    assert post.created_at == expected


@pytest.mark.parametrize(
    "stated",
    [
        *("yesterday-ish", "9999-99-99", 10**30, True, 0, 2014, "0001-01-01T00:00:00Z"),
        # what would be filled in from today, or be read by the day or month of whoever runs it
        *("April 2014", "18:00", "Apr 22", "5", "05/04/2014", "201404221600", "2014-04-22 16:00 EST"),
    ],
)
def test_a_time_that_is_none_is_said_and_the_post_kept(tmp_path: Path, stated: Any) -> None:
    (post,) = read(written(tmp_path, "p.jsonl", lines({"id": 1, "media": [], "created_at": stated})))
    assert isinstance(post, Post)
    assert post.created_at is None
    assert "not a time" in str(post.time_problem)
    assert str(stated)[:20] in str(post.time_problem)


def test_without_an_id_the_address_is_the_key_and_without_both_what_is_in_the_row(tmp_path: Path) -> None:
    path = written(tmp_path, "p.csv", "url,image\nhttps://a.example/p/1,x\n,x\n,x\n")
    first, second, third = read(path)
    assert isinstance(first, Post)
    assert isinstance(second, Post)
    assert isinstance(third, Post)
    assert first.id == "https://a.example/p/1"
    assert second.id != third.id, "two rows are two posts"
    assert [each.id for each in read(path)] == [first.id, second.id, third.id], "and stay the same posts"
    path.write_text("url,image\n,new\nhttps://a.example/p/1,x\n,x\n,x\n")
    assert [each.id for each in read(path)][1:] == [first.id, second.id, third.id], "also where a row comes on top"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.jsonl", "", "no posts in it.*--posts"),
        ("p.csv", "", "no posts in it"),
        ("p.csv", "id,image\n", "no posts in it"),
        ("p.jsonl", '{"id": 1, "media": 17}\n', "no line can be read as a post .line 1: media"),
        ("p.jsonl", "hello\n", "no line can be read as a post .line 1: not JSON"),
        ("p.txt", "hello", "format can't be told"),
        ("p.json", '[{"id": 1, "media": 17}]', "no line can be read as a post .line 1: media"),
        ("p.json", '{"id": 1, "media"', "no line can be read as a post .line 1: not JSON"),
        ("p.csv", "a,b\n1,2\n", "no column with the addresses of pictures among a, b; name it with --columns media="),
        ("p.parquet", "not parquet", "not a readable Parquet file"),
    ],
)
def test_an_unusable_export_says_what_to_do(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(written(tmp_path, name, content))


def test_a_missing_export_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no such file.*--posts"):
        read(tmp_path / "none.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(SourceError, match="--images"):
        read(tmp_path / "folder.jsonl")


def test_a_source_is_restored_from_what_is_remembered(tmp_path: Path) -> None:
    for source in (
        sources.exported(tmp_path / "a.csv", columns={"media": "x"}, files=tmp_path),
        sources.folder(tmp_path),
        sources.sample(),
    ):
        assert sources.restore(json.loads(json.dumps(source.asked()))) == source
    with pytest.raises(SourceError, match="carrier pigeon"):
        sources.restore({"kind": "carrier pigeon"})
