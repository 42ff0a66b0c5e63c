"""What became of attachments, looked up once, against the same in plain Python."""

import random
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hashtag_photos.errors import RunError
from hashtag_photos.records import Attachment, Photo, PhotoStatus, Post
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.embed import images_left
from hashtag_photos.stages.group import group, groups_path
from hashtag_photos.stages.joined import join, pieces, places, whole
from hashtag_photos.stages.units import count_units
from hashtag_photos.stages.worklist import last_statuses
from hashtag_photos.tables import embeddings_schema, photos_table, posts_table, vector_column

NOW = datetime(2014, 4, 22, tzinfo=UTC)
STATUSES = [PhotoStatus.OK, PhotoStatus.OK, PhotoStatus.GONE, PhotoStatus.TIMEOUT]


def a_photo(source: str, post: str, position: int, attempt: int, status: PhotoStatus) -> Photo:
    return Photo(
        source=source, post_id=post, position=position, url="u", status=status, attempt=attempt, fetched_at=NOW,
        sha256=f"{attempt:064x}" if status is PhotoStatus.OK else None,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_of_each_attachment_the_last_attempt_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr("hashtag_photos.stages.worklist._FEW", 7)  # attempts of one attachment in several batches
    dice = random.Random(seed)
    run = Run(tmp_path / "run")
    run.ask(model="tiny")
    posts = [
        Post(
            source=dice.choice(["a", "b:1", "1:b"]),
            id=f"{number}:{number}",
            attachments=tuple(Attachment(url=f"u{number}/{position}") for position in range(dice.randrange(4))),
        )
        for number in range(50)
    ]
    keys = [(post.source, post.id, position) for post in posts for position in range(len(post.attachments))]
    attempts = [
        a_photo(*key, attempt, dice.choice(STATUSES))
        for key in keys
        for attempt in range(1, dice.choice([1, 2, 2, 2, 3, 4]))
    ]
    dice.shuffle(attempts)  # in whatever order they are written
    first = posts[0]
    strays = [
        a_photo("nobody", first.id, 0, 1, PhotoStatus.OK),
        a_photo(first.source, "nothing", 0, 1, PhotoStatus.OK),
        a_photo(first.source, first.id, len(first.attachments), 1, PhotoStatus.OK),
        a_photo(first.source, first.id, -1, 9, PhotoStatus.OK),
    ]
    run.append("posts", posts_table(posts[:20]))
    run.append("posts", posts_table(posts[20:]))
    for start in range(0, len(attempts), 30):
        run.append("photos", photos_table(attempts[start : start + 30]))

    last: dict[tuple[str, str, int], Photo] = {}
    for each in sorted(attempts, key=lambda each: each.attempt):
        last[each.source, each.post_id, each.position] = each
    statuses = [each.status for each in last.values()]
    assert last_statuses(run) == {each: statuses.count(each) for each in sorted({*statuses})}
    run.append("photos", photos_table(strays))
    with run.database() as database:
        rows = database.execute("SELECT source, post_id, position, attempt, status, sha256 FROM photos").fetchall()
    assert len(rows) == len(last) + len(strays)
    assert {row[:3]: row[3:] for row in rows if row[:3] in last} == {
        key: (each.attempt, each.status, each.sha256) for key, each in last.items()
    }

    joined = join(run)
    columns = ("source", "post_id", "position", "attempt")
    asked = list(zip(*(column.to_pylist() for column in joined.of_photos(*columns).columns), strict=True))
    assert [posts[place].id for place in joined.post] == [key[1] for key in keys]
    assert [asked[place] if place >= 0 else None for place in joined.photo] == [
        (*key, last[key].attempt) if key in last else None for key in keys
    ]
    assert [keys[place] for place in joined.had] == [
        key for key in keys if key in last and last[key].status is PhotoStatus.OK
    ]
    assert joined.first.tolist() == [sum(len(each.attachments) for each in posts[:n]) for n in range(len(posts) + 1)]
    assert joined.urls().to_pylist() == [attachment.url for post in posts for attachment in post.attachments]
    assert joined.of_posts("id").column(0).to_pylist() == [post.id for post in posts]


def test_text_of_a_whole_run_has_no_end_at_2_gib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As large_string it has none, 34 million images by hand; what is looked up becomes that, and tables get pieces."""
    run = Run(tmp_path / "run")
    run.ask(model="tiny")
    posts = [Post(source="s", id=str(number), attachments=(Attachment(url="u"),)) for number in range(5)]
    run.append("posts", posts_table(posts))
    run.append("photos", photos_table([a_photo("s", str(number), 0, number, PhotoStatus.OK) for number in range(5)]))
    shas = [f"{number:064x}" for number in (3, 1, 4, 2, 0)]
    vectors = vector_column(np.eye(5, 8, dtype=np.float16))
    run.append("embeddings/m", pa.table([shas, vectors], schema=embeddings_schema(8)))
    run.write_table(scores_path("m", "l"), pa.table({"sha256": shas}))
    joined = join(run)
    images = count_units(run, "m", "l").images
    texts = [
        *joined.of_posts("id", "url").columns,
        *joined.of_photos("sha256", "reason").columns,
        joined.urls(),
        images,
    ]
    assert {text.type for text in texts} == {pa.large_string()}

    text = pa.chunked_array([shas[:2], shas[2:]])
    assert whole(text).type == pa.large_string()
    assert whole(text).to_pylist() == shas
    for values, among in ((text, images), (images, text), (images, whole(text))):
        assert places(values, among).tolist() == [among.to_pylist().index(each) for each in values.to_pylist()]
    monkeypatch.setattr("hashtag_photos.stages.joined._PIECE_ROWS", 2)
    some = pieces(whole(text), np.array([4, 0, 0, 2, 1]))
    assert (some.type, some.num_chunks) == (pa.string(), 3)
    assert some.to_pylist() == [shas[place] for place in (4, 0, 0, 2, 1)]

    had, todo = images_left(run, pa.chunked_array([images[:2]]))
    assert (had, todo.column("sha256").to_pylist()) == (5, sorted(shas)[2:])
    group(run, "m")
    assert run.read_table(groups_path("m")).to_pydict() == {"sha256": sorted(shas), "picture": sorted(shas)}


def test_what_is_joined_stays_as_it_was(tmp_path: Path) -> None:
    """All that a tally says is of one moment, also while posts come in."""
    run = Run(tmp_path / "run")
    run.ask(model="tiny")
    run.append("posts", posts_table([Post(source="s", id="1", attachments=(Attachment(url="u"),))]))
    joined = join(run)
    run.append("posts", posts_table([Post(source="s", id="2")]))
    run.append("photos", photos_table([a_photo("s", "1", 0, 1, PhotoStatus.OK)]))
    assert len(joined.of_posts("id")) == 1
    assert len(joined.of_photos("sha256")) == 0
    assert joined.photo.tolist() == [-1]
    assert len(join(run).of_posts("id")) == 2
    assert join(run).had.tolist() == [0]


def test_a_damaged_table_is_said(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.ask(model="tiny")
    run.append("posts", posts_table([Post(source="s", id="1")]))
    part = tmp_path / "run/posts/part-000001.parquet"
    part.write_bytes(part.read_bytes()[:-30])
    with pytest.raises(RunError, match="can't be read"):
        join(run)
