"""What became of attachments, looked up once, against the same in plain Python."""

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hashtag_photos.errors import RunError
from hashtag_photos.records import Attachment, Photo, PhotoStatus, Post
from hashtag_photos.run import Run
from hashtag_photos.stages.joined import join
from hashtag_photos.stages.worklist import last_statuses
from hashtag_photos.tables import photos_table, posts_table

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
