import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hashtag_photos import sources
from hashtag_photos.errors import SourceError, UsageError
from hashtag_photos.records import Attachment, Post, Rejected
from hashtag_photos.run import Run
from hashtag_photos.sources.visit import Stopped
from hashtag_photos.stages.collect import collect


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, **options: Any) -> list[Post | Rejected]:
    source = sources.exported(path, **options)
    source.check()
    return list(source.posts())


def read_to_the_end(path: Path, **options: Any) -> tuple[list[Post | Rejected], str | None]:
    """What there is, and why it is not all there, if it isn't."""
    found: list[Post | Rejected] = []
    try:
        for each in sources.exported(path, **options).posts():
            found.append(each)
    except Stopped as stopped:
        return found, stopped.reason
    return found, None


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
    found, stopped = read_to_the_end(written(tmp_path, "p.csv", rows))
    assert [each.id for each in found if isinstance(each, Post)] == ["1", "4"]
    (rejected,) = (each for each in found if isinstance(each, Rejected))
    assert rejected.line == 3
    assert "lines 3 to 4 are lost by it" in rejected.reason
    assert stopped == "1 lines are lost by missing quotes (see rejected.csv)"


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
        + b'{"id": 3, "media": "[oops"}\n'
        + lines({"id": 4, "media": []}).encode()
    )
    found = read(written(tmp_path, "p.jsonl", content))
    assert [each.id for each in found if isinstance(each, Post)] == ["1", "4"]
    rejected = {each.line: each.reason for each in found if isinstance(each, Rejected)}
    assert list(rejected) == [2, 3, 4, 5]
    for line, reason in {2: "not JSON", 3: "not UTF-8", 4: "jq", 5: "not a list of addresses"}.items():
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
        ("p.jsonl", '{"id": 1, "media": "[oops"}\n', "no line can be read as a post .line 1: not a list"),
        ("p.jsonl", "hello\n", "no line can be read as a post .line 1: not JSON"),
        ("p.txt", "hello", "format can't be told"),
        ("p.json", '[{"id": 1, "media": "[oops"}]', "no line can be read as a post .line 1: not a list"),
        ("p.json", '{"meta": {"result_count": 0}}', "no posts in it"),
        ("p.csv", "i\x00d\n".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        ("p.jsonl.gz", "hello", "is no gzip file"),
        ("p.csv.gz", "hello", "is no gzip file"),
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


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("p.jsonl", lines({"id": 1, "media": []}) + '{"id": 2, "med', "breaks off in its last line, 2"),
        (
            "p.csv",
            'id,media,text\n1,a.jpg,x\n2,b.jpg,"cut',
            "breaks off in a quoted cell, or a quote is missing after line 3",
        ),
    ],
)
def test_a_file_that_ends_in_the_middle_says_so(tmp_path: Path, name: str, content: str, why: str) -> None:
    found, stopped = read_to_the_end(written(tmp_path, name, content))
    assert [each.id for each in found if isinstance(each, Post)] == ["1"]
    assert stopped is not None
    assert why in stopped


@pytest.mark.parametrize(
    ("addresses", "pictures"),
    [
        (["https://e.org/get.php?id=1", "https://e.org/get.php?id=2", "https://e.org/get.php?id=3"], 3),
        (["https://a.org/1.jpg", "https://b.org/1.jpg"], 2),
        (["https://a.org/1.jpg", "https://a.org/1.jpg", "https://a.org/2.jpg"], 2),
        (["https://x.cdninstagram.com/v/1.jpg?sig=1", "https://y.cdninstagram.com/v/1.jpg?sig=2"], 1),
    ],
)
def test_which_rows_of_a_post_are_other_pictures(tmp_path: Path, addresses: list[str], pictures: int) -> None:
    path = written(tmp_path, "p.csv", "id,text,media\n" + "".join(f"1,a,{each}\n" for each in addresses))
    found = [each for each in read(path) if isinstance(each, Post)]
    assert {len(each.attachments) for each in found} == {pictures}
    assert len(found) == 1 + len(addresses) - pictures, "rows that add nothing are repeats"


def test_rows_that_say_something_else_are_not_one_post(tmp_path: Path) -> None:
    rows = "1,one,https://a.org/1.jpg\n1,two,https://a.org/2.jpg\n"
    first, second = read(written(tmp_path, "p.csv", "id,text,media\n" + rows))
    assert isinstance(first, Post)
    assert isinstance(second, Post)
    assert (first.text, len(first.attachments), second.text) == ("one", 1, "two")


def test_a_number_beside_its_text_is_not_the_id(tmp_path: Path) -> None:
    posts = [{"id": 10**18, "id_str": f"100000000000000000{n}", "media": []} for n in (1, 3)]
    assert [each.id for each in read(written(tmp_path, "p.jsonl", lines(*posts))) if isinstance(each, Post)] == [
        "1000000000000000001",
        "1000000000000000003",
    ]
    (rejected, _) = read(written(tmp_path, "p.csv", "id,media\n458769812345678912.0,\n2,\n"))
    assert isinstance(rejected, Rejected)
    assert "has lost its last digits" in rejected.reason


@pytest.mark.parametrize(
    ("stated", "hour"),
    [
        ("Tue Apr 22 2014 10:00:00 GMT-0500", 15),
        ("Tue Apr 22 2014 10:00:00 GMT+0200 (CEST)", 8),
        ("Tue Apr 22 2014 10:00:00 GMT+0200 (Central European Summer Time)", 8),
        ("2014-04-22 10:00:00 UTC+02:00", 8),
        ("2014-04-22 10:00:00 GMT", 10),
    ],
)
def test_offsets_are_those_of_clocks(tmp_path: Path, stated: str, hour: int) -> None:
    (post,) = read(written(tmp_path, "p.jsonl", lines({"id": 1, "media": [], "created_at": stated})))
    assert isinstance(post, Post)
    assert post.created_at == datetime(2014, 4, 22, hour, tzinfo=UTC)


@pytest.mark.parametrize("stated", ["14-04-22", "14/04/22"])
def test_two_digit_years_are_uncertain(tmp_path: Path, stated: str) -> None:
    (post,) = read(written(tmp_path, "p.jsonl", lines({"id": 1, "media": [], "created_at": stated})))
    assert isinstance(post, Post)
    assert (post.created_at, post.time_problem is None) == (None, False)


def test_day_time_and_zone_in_columns_of_their_own(tmp_path: Path) -> None:
    (post,) = read(written(tmp_path, "p.csv", "id,media,date,time,timezone\n1,,2014-04-22,23:30:00,-0500\n"))
    assert isinstance(post, Post)
    assert post.created_at == datetime(2014, 4, 23, 4, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stated", "likes"), [("1234", 1234), ("1,234", 1234), ("12.0", 12), ("1.234", None), ("3,0", None), ("1.2K", None)]
)
def test_a_count_is_one_or_is_kept_as_it_stands(tmp_path: Path, stated: str, likes: int | None) -> None:
    (post,) = read(written(tmp_path, "p.csv", f"id;likes;media\n1;{stated};\n"))
    assert isinstance(post, Post)
    assert (post.likes, post.extra) == (likes, None if likes else {"likes": stated})


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"media": "['https://e.org/1.jpg' 'https://e.org/2.jpg']"}, ["https://e.org/1.jpg", "https://e.org/2.jpg"]),
        ({"media": "photo", "media_url": "https://e.org/1.jpg"}, ["https://e.org/1.jpg"]),
        ({"photos": 0, "image_url": ""}, []),
        ({"media": "https://e.org/1.jpg", "Media": ""}, ["https://e.org/1.jpg"]),
        ({"media": "", "Media": "https://e.org/1.jpg"}, ["https://e.org/1.jpg"]),
    ],
)
def test_which_cells_hold_pictures(tmp_path: Path, row: dict[str, Any], expected: list[str]) -> None:
    (post,) = read(written(tmp_path, "p.jsonl", lines({"id": 1, **row})))
    assert isinstance(post, Post)
    assert [each.url for each in post.attachments] == expected


@pytest.mark.parametrize(
    ("alt", "expected"),
    [(["eins", "zwei"], ["eins", "zwei"]), ('["eins", "zwei"]', ["eins", "zwei"]), ("eins|zwei", ["eins", "zwei"])],
)
def test_alternative_texts_of_several_pictures(tmp_path: Path, alt: Any, expected: list[str]) -> None:
    post = {"id": 1, "media": ["https://e.org/1.jpg", "https://e.org/2.jpg"], "alt": alt}
    (found,) = read(written(tmp_path, "p.jsonl", lines(post)))
    assert isinstance(found, Post)
    assert [each.alt for each in found.attachments] == expected
    (found,) = read(written(tmp_path, "p.jsonl", lines({**post, "alt": "one for two"})))
    assert isinstance(found, Post)
    assert found.extra == {"alt": "one for two"}


def test_a_stray_line_does_not_decide_the_format(tmp_path: Path) -> None:
    own = [{"id": n, "text": "x", "media": ["https://e.org/1.jpg"]} for n in range(4)]
    stray = {"id": "9", "text": "x", "public_metrics": {"like_count": 1}}
    path = written(tmp_path, "p.jsonl", lines(*own, stray))
    assert sources.exported(path).recognised is None
    assert sum(len(each.attachments) for each in read(path) if isinstance(each, Post)) == 4


@pytest.mark.parametrize(
    "header",
    [
        "id,created_at,text,media,category,subcategory",
        "id,text,public_metrics,media_urls,lang,source",
        "id,text,public_metrics.like_count,public_metrics.retweet_count,media_url,lang",
    ],
)
def test_a_table_of_ones_own_is_no_known_tools(tmp_path: Path, header: str) -> None:
    cells = ["https://e.org/1.jpg" if "media" in name else "1" for name in header.split(",")]
    path = written(tmp_path, "p.csv", f"{header}\n{','.join(cells)}\n")
    (post,) = read(path)
    assert isinstance(post, Post)
    assert [each.url for each in post.attachments] == ["https://e.org/1.jpg"]


def test_what_precedes_a_table_is_passed_over(tmp_path: Path) -> None:
    (post,) = read(written(tmp_path, "p.csv", "sep=;\n\nid;media\n1;https://e.org/1.jpg\n"))
    assert isinstance(post, Post)
    assert (post.id, post.line) == ("1", 4)


def test_a_file_may_begin_with_many_bad_lines(tmp_path: Path) -> None:
    (tmp_path / "late.jsonl").write_text("bad\n" * 1200 + lines({"id": 1, "media": ["https://e.org/1.jpg"]}))
    assert isinstance(read(tmp_path / "late.jsonl")[-1], Post)
    (tmp_path / "rare.jsonl").write_text(
        lines(*({"id": n} for n in range(1200)), {"id": 1200, "media": ["https://e.org/1"]})
    )
    assert len(read(tmp_path / "rare.jsonl")) == 1201
    assert len(read(tmp_path / "rare.jsonl", columns={"media": "media"})) == 1201


@pytest.mark.parametrize("depth", [100, 900, 5000])
@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
def test_deep_nesting_stops_nothing(tmp_path: Path, depth: int, suffix: str) -> None:
    deep = "[" * depth + "]" * depth
    good = ['{"id": 1, "media": []}', '{"id": 3, "media": []}']
    content = {
        "jsonl": f'{good[0]}\n{{"id": 2, "media": [], "x": {deep}}}\n{good[1]}\n',
        "json": f'[{good[0]}, {{"id": 2, "media": [], "x": {deep}}}, {good[1]}]',
        "csv": f"id,media,x\n1,,\n2,{deep},{deep}\n3,,\n",
    }[suffix]
    run = Run(tmp_path / "run")
    done = collect(run, sources.exported(written(tmp_path, f"p.{suffix}", content)))
    assert done.new >= 2
    assert done.new + done.rejected == 3


def test_odd_things_in_the_place_of_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(SourceError, match="is no file"):
        read(tmp_path / "pipe.jsonl")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/x.json").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="no line can be read"):
        collect(Run(tmp_path / "run"), sources.exported(tmp_path / "folder"))
    table = pa.Table.from_arrays([pa.array([1]), pa.array(["a"]), pa.array([""])], names=["id", "media", "media"])
    pq.write_table(table, tmp_path / "p.parquet")
    with pytest.raises(SourceError, match="two columns have the same name"):
        read(tmp_path / "p.parquet")


def test_the_app_of_a_post_is_not_its_platform(tmp_path: Path) -> None:
    posts = [{"id": 1, "media": [], "source": "Twitter for iPhone"}, {"id": 2, "media": [], "platform": "Twitter"}]
    path = written(tmp_path, "p.jsonl", lines(*posts))
    assert [each.source for each in read(path) if isinstance(each, Post)] == ["exported", "x"]
    (first, _) = read(path, columns={"source": "source"})
    assert isinstance(first, Post)
    assert first.source == "Twitter for iPhone"


def test_what_is_said_of_pictures_that_are_nowhere_is_kept(tmp_path: Path) -> None:
    (post,) = read(written(tmp_path, "p.jsonl", lines({"id": 1, "media": "photo", "alt": "a dike"})))
    assert isinstance(post, Post)
    assert (post.attachments, post.extra) == ((), {"media": "photo", "alt": "a dike"})


def test_a_post_of_the_future_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    future = {"id": 1, "text": "x", "created_at": "2087-01-01", "media": []}
    path, run = written(tmp_path, "p.jsonl", lines(future)), Run(tmp_path / "run")
    collect(run, sources.exported(path))
    path.write_text(lines(future, {"id": 2, "media": []}))
    done = collect(run, sources.exported(path))
    assert (done.new, done.had, done.rejected) == (1, 1, 0)
