"""The classes over time against the same counts in plain Python, and how the bins are chosen."""

import dataclasses
import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from hashtag_photos.errors import RunError
from hashtag_photos.estimate import wilson
from hashtag_photos.labels import find_labels
from hashtag_photos.records import Attachment, Photo, PhotoStatus, Post
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.group import groups_path
from hashtag_photos.stages.summarize import summarize
from hashtag_photos.stages.timeline import Axis, Timeline, common_axis, timeline_of
from hashtag_photos.tables import GROUPS, photos_table, posts_table, scores_schema

LABELS = find_labels("friendly-or-force")
NAMES = (*LABELS.class_names, "unsure")
MODEL = "tiny-0"
DAY = datetime(2014, 4, 22, tzinfo=UTC)  # a Tuesday

#: a post: its time, and the numbers of its pictures; None is one that could not be had
Made = tuple[datetime | None, tuple[int | None, ...]]


def sha(number: int) -> str:
    return f"{number:064x}"


def made(
    folder: Path, posts: Iterable[Made], labels: dict[int, str] | None = None, groups: dict[int, int] | None = None
) -> Run:
    """A run of such posts; `labels` of the pictures that were classified, `groups` the one that each counts as."""
    labels = labels or {}
    run = Run(folder)
    run.ask(model="tiny", model_key=MODEL, labels=LABELS.key)
    run.record_used("label_sets", LABELS.key, dataclasses.asdict(LABELS))
    rows, photos = [], []
    for number, (time, pictures) in enumerate(posts):
        key = {"source": "ab"[number % 2], "id": str(number // 2)}
        urls = [f"https://x.example/{number}/{position}.jpg" for position in range(len(pictures))]
        rows.append(Post(**key, created_at=time, attachments=tuple(Attachment(url=url) for url in urls)))
        for position, (url, picture) in enumerate(zip(urls, pictures, strict=True)):
            photos.append(
                Photo(
                    source=key["source"],
                    post_id=key["id"],
                    position=position,
                    url=url,
                    status=PhotoStatus.GONE if picture is None else PhotoStatus.OK,
                    attempt=1,
                    fetched_at=DAY,
                    sha256=None if picture is None else sha(picture),
                )
            )
    run.append("posts", posts_table(rows))
    run.append("photos", photos_table(photos))
    scores = {"sha256": [sha(each) for each in labels], "label": list(labels.values()), "margin": [0.5] * len(labels)}
    chances = {f"p_{name}": [0.3] * len(labels) for name in LABELS.class_names}
    schema = scores_schema(LABELS.class_names)
    run.write_table(scores_path(MODEL, LABELS.key), pa.Table.from_pydict(scores | chances, schema=schema))
    if groups:
        of = {sha(each): sha(groups.get(each, each)) for each in sorted(labels)}
        run.write_table(groups_path(MODEL), pa.table([list(of), list(of.values())], schema=GROUPS))
    return run


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def told(run: Run, axis: Axis | None = None) -> Timeline:
    return timeline_of(run, MODEL, LABELS.key, axis=axis)


def at_random(seed: int) -> tuple[list[Made], dict[int, str], dict[int, int]]:
    dice = random.Random(seed)
    posts: list[Made] = []
    for _ in range(300):
        hours = dice.choice([dice.random() * 20, dice.random() * 20, 50 + dice.random() * 10, 300])
        time = None if dice.random() < 0.1 else DAY + timedelta(hours=hours)
        posts.append((time, tuple(dice.choice([None, *range(60)]) for _ in range(dice.randrange(4)))))
    labels = {number: dice.choice(NAMES) for number in range(3, 60)}  # three could not be classified
    return posts, labels, {number: number % 17 + 3 for number in range(20, 40)}


@pytest.mark.parametrize("seed", range(4))
def test_counts_and_shares_are_those_of_plain_python(tmp_path: Path, seed: int) -> None:
    posts, labels, groups = at_random(seed)
    timeline = told(made(tmp_path / "run", posts, labels, groups))
    first_seen: dict[int, datetime] = {}
    for time, pictures in posts:
        for picture in {groups.get(each, each) for each in pictures if each in labels} if time else ():
            first_seen[picture] = min(time, first_seen.get(picture, time))
    rows = {(row.start, row.label): row for row in timeline.rows}
    assert len(rows) == len(timeline.rows) == len(timeline.bins) * len(NAMES)
    for each in timeline.bins:
        start, end = time_of(each.start), time_of(each.end)
        own = [pictures for time, pictures in posts if time and start <= time < end]
        shown = [[each for each in pictures if each in labels] for pictures in own]
        shown = [pictures for pictures in shown if pictures]
        assert each.posts_collected == len(own)
        assert each.attachments == sum(map(len, own))
        assert each.had == sum(picture is not None for pictures in own for picture in pictures)
        assert each.posts == len(shown)
        new = {picture for picture, seen in first_seen.items() if start <= seen < end}
        assert each.new_pictures == len(new)
        weights: dict[int, float] = defaultdict(float)
        held = dict.fromkeys(NAMES, 0.0)
        for pictures in shown:
            for picture in pictures:
                weights[groups.get(picture, picture)] += 1 / len(pictures)
                held[labels[picture]] += 1 / len(pictures)
        for label in NAMES:
            row = rows[each.start, label]
            assert row.posts == sum(any(labels[picture] == label for picture in pictures) for pictures in shown)
            assert row.posts_total == each.posts
            assert row.new_pictures == sum(labels[picture] == label for picture in new)
            if not shown:
                assert (row.share, row.low, row.high) == (None, 0, 1)
                continue
            effective = len(shown) ** 2 / sum(weight**2 for weight in weights.values())
            share = held[label] / len(shown)
            assert (row.share, row.low, row.high) == pytest.approx((share, *wilson(share * effective, effective)))
        assert not shown or sum(rows[each.start, label].share for label in NAMES) == pytest.approx(1)
    assert timeline.timeless == sum(time is None for time, _ in posts)


def test_the_same_posts_in_another_order_are_the_same_timeline(tmp_path: Path) -> None:
    posts, labels, groups = at_random(9)
    timeline = told(made(tmp_path / "run", posts, labels, groups))
    random.Random(1).shuffle(posts)
    assert told(made(tmp_path / "shuffled", posts, labels, groups)) == timeline


def test_the_tally_has_the_timeline(tmp_path: Path) -> None:
    run = made(tmp_path / "run", *at_random(3))
    tally = summarize(run)
    assert tally.timeline == told(run)
    assert tally.coverage.posts == 300
    assert tally.coverage.posts_without_time == tally.timeline.timeless


def spread(count: int, span: timedelta, pictures: tuple[int | None, ...] = (1,)) -> list[Made]:
    """So many posts, evenly over a span of time."""
    return [(DAY + span * number / count, pictures) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "span", "unit", "bins"),
    [
        (600, timedelta(hours=10), "15 minutes", 40),
        (390, timedelta(hours=10), "hour", 10),
        (600, timedelta(hours=40), "hour", 40),
        (600, timedelta(days=3), "3 hours", 24),
        (600, timedelta(days=10), "6 hours", 40),
        (600, timedelta(days=20), "12 hours", 40),
        (1000, timedelta(days=35), "day", 35),
        (200, timedelta(days=30), "week", 5),
        (600, timedelta(days=730), "month", 25),
        (100, timedelta(days=730), "quarter", 9),
        (700, timedelta(days=4 * 365), "month", 49),
        (600, timedelta(days=10 * 365), "quarter", 41),
        (1000, timedelta(days=16 * 365), "year", 17),
        (9, timedelta(days=4), "day", 4),  # too few for 10 in each of 4 bins
        (20, timedelta(hours=100), "day", 4),
        (20, timedelta(days=27), "week", 4),
        (20, timedelta(days=20), "day", 20),  # not 3 weeks
        (9, timedelta(minutes=40), "15 minutes", 3),
        (1, timedelta(days=4), "15 minutes", 1),
    ],
    ids=str,
)
def test_bins_are_the_narrowest_that_hold_enough_posts(
    tmp_path: Path, count: int, span: timedelta, unit: str, bins: int
) -> None:
    timeline = told(made(tmp_path / "run", spread(count, span)))
    assert (timeline.unit, len(timeline.bins)) == (unit, bins)
    assert sum(each.posts_collected for each in timeline.bins) == count


def test_posts_without_pictures_do_not_make_bins_narrower(tmp_path: Path) -> None:
    posts = spread(300, timedelta(days=30))
    without = [*spread(2000, timedelta(days=30), ()), *spread(2000, timedelta(days=30), (None,))]
    alone, among = (made(tmp_path / name, each) for name, each in (("a", posts), ("b", [*posts, *without])))
    assert common_axis(among) == common_axis(alone)
    assert common_axis(made(tmp_path / "c", without)).unit == "12 hours", "there, all posts count"


@pytest.mark.parametrize("stray", [datetime(2009, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)])
def test_a_stray_post_decides_nothing_and_is_counted(tmp_path: Path, stray: datetime) -> None:
    posts = spread(1000, timedelta(days=35))
    timeline = told(made(tmp_path / "run", [*posts, (stray, (2,))], {1: "friendly", 2: "neither"}))
    assert (timeline.unit, len(timeline.bins)) == ("day", 35)
    assert (timeline.before, timeline.after) == ((1, 0) if stray < DAY else (0, 1))
    assert sum(each.posts_collected for each in timeline.bins) == 1000
    assert {row.share for row in timeline.rows} == {0, 1}


@pytest.mark.parametrize(("count", "strays"), [(20, 1), (149, 1), (660, 6)])
def test_a_few_strays_decide_nothing_either(tmp_path: Path, count: int, strays: int) -> None:
    posts = spread(count, timedelta(hours=15))
    years = [(DAY + sign * timedelta(days=1000 + number), (1,)) for number in range(strays) for sign in (-1, 1)]
    timeline = told(made(tmp_path / "run", [*posts, *years]))
    assert timeline.unit == common_axis(made(tmp_path / "alone", posts)).unit
    assert len(timeline.bins) >= 4
    assert (timeline.before, timeline.after) == (strays, strays)


def test_pictures_that_are_few_do_not_hide_the_days(tmp_path: Path) -> None:
    posts = spread(1000, timedelta(days=4), ())
    with_pictures = [(time, (number,)) for number, (time, _) in enumerate(posts[25::50])]
    timeline = told(made(tmp_path / "run", [*posts, *with_pictures], dict.fromkeys(range(20), "friendly")))
    assert (timeline.unit, [each.posts for each in timeline.bins]) == ("day", [5, 5, 5, 5])


def test_a_century_is_in_years(tmp_path: Path) -> None:
    timeline = told(made(tmp_path / "run", [(datetime(year, 1, 2, tzinfo=UTC), (1,)) for year in (1990, 2100)]))
    assert (timeline.unit, len(timeline.bins), timeline.before, timeline.after) == ("year", 111, 0, 0)


def test_a_stray_post_is_shown_where_there_is_room(tmp_path: Path) -> None:
    strays = [(DAY - timedelta(days=5), (1,)), (DAY + timedelta(days=400), (1,))]
    timeline = told(made(tmp_path / "run", [*spread(1000, timedelta(days=35)), *strays], {1: "friendly"}))
    assert (timeline.bins[0].start, len(timeline.bins)) == ("2014-04-17T00:00:00Z", 40)
    assert (timeline.before, timeline.after) == (0, 1)
    assert [each.posts_collected for each in timeline.bins[:6]][1:5] == [0] * 4
    gap = [row for row in timeline.rows if row.start == timeline.bins[1].start]
    assert [(row.label, row.share, row.low, row.high) for row in gap] == [(label, None, 0, 1) for label in NAMES]


@pytest.mark.parametrize("seed", range(6))
def test_bins_have_no_holes_and_leave_out_one_in_a_hundred_at_most(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    count, tail = dice.choice([150, 700, 3000]), dice.choice([0.3, 0.8, 2.0])
    posts: list[Made] = [
        (DAY + dice.choice([-1, 1]) * timedelta(hours=min(dice.paretovariate(tail), 1e5)), (1,)) for _ in range(count)
    ]
    timeline = told(made(tmp_path / "run", [*posts, (None, (1,))], {1: "friendly"}))
    assert len(timeline.bins) <= 60
    assert max(timeline.before, timeline.after) <= 0.01 * count
    assert [each.end for each in timeline.bins[:-1]] == [each.start for each in timeline.bins[1:]]
    counted = sum(each.posts_collected for each in timeline.bins)
    assert counted + timeline.before + timeline.after + timeline.timeless == count + 1


@pytest.mark.parametrize(
    ("unit", "start", "within"),
    [
        ("week", "2014-04-21", "2014-04-27T23:59:59.999999Z"),  # a Monday
        ("month", "2014-04-01", "2014-04-30T23:59:59.999999Z"),
        ("quarter", "2014-04-01", "2014-06-30T23:59:59.999999Z"),
        ("year", "2014-01-01", "2014-12-31T23:59:59.999999Z"),
        ("3 hours", "2014-04-21T03:00:00", "2014-04-21T05:59:59.999999Z"),
    ],
)
def test_a_bin_holds_its_start_and_not_its_end(tmp_path: Path, unit: str, start: str, within: str) -> None:
    spans = {"week": 90, "month": 700, "quarter": 3000, "year": 9000, "3 hours": 5}
    first = datetime.fromisoformat(start).replace(tzinfo=UTC)
    wide = {"week": 140, "month": 600, "quarter": 400, "year": 250, "3 hours": 600}[unit]
    others = [(first + timedelta(days=spans[unit]) * number / wide, (1,)) for number in range(1, wide)]
    run = made(tmp_path / "run", [(first, (1,)), (datetime.fromisoformat(within), (1,)), *others])
    timeline = told(run)
    assert timeline.unit == unit
    one = timeline.bins[0]
    assert time_of(one.start) == first
    assert time_of(one.end) == datetime.fromisoformat(within) + timedelta(microseconds=1)
    again = told(made(tmp_path / "again", [(time_of(one.end), (1,)), (first, (1,))]), common_axis(run))
    assert [each.posts_collected for each in again.bins[:2]] == [1, 1]


def test_two_runs_along_one_axis(tmp_path: Path) -> None:
    one = made(tmp_path / "one", spread(600, timedelta(days=3)), {1: "friendly"})
    later = [(time + timedelta(days=40), pictures) for time, pictures in spread(600, timedelta(days=3), (2, 3))]
    other = made(tmp_path / "other", later, {2: "neither", 3: "unsure"})
    axis = common_axis(one, other)
    assert axis == common_axis(other, one)
    assert (axis.unit, len(axis.edges)) == ("day", 44)
    timelines = [told(run, axis) for run in (one, other)]
    assert [each.start for each in timelines[0].bins] == [each.start for each in timelines[1].bins]
    assert [sum(each.posts > 0 for each in timeline.bins) for timeline in timelines] == [3, 3]
    assert {row.share for row in timelines[1].rows if row.label in ("neither", "unsure")} == {None, 0.5}


def test_a_small_run_is_no_stray_beside_a_large_one(tmp_path: Path) -> None:
    small = made(tmp_path / "small", [(time - timedelta(days=2000), (1,)) for time, _ in spread(20, timedelta(days=9))])
    large = made(tmp_path / "large", [*spread(6000, timedelta(days=30)), (DAY + timedelta(days=9000), (1,))])
    axis = common_axis(small, large)
    timelines = [told(run, axis) for run in (small, large)]
    assert [(each.before, each.after) for each in timelines] == [(0, 0), (0, 1)]
    assert timelines[0].bins[0].posts_collected > 0
    assert timelines[1].bins[-1].posts_collected > 0


def test_what_is_outside_of_an_axis_is_counted_and_a_picture_seen_before_is_not_new(tmp_path: Path) -> None:
    posts = [(DAY + timedelta(days=day), (picture,)) for day, picture in enumerate((1, 1, 2, 3, 1))]
    run = made(tmp_path / "run", posts, dict.fromkeys((1, 2, 3), "friendly"))
    axis = Axis(unit="day", edges=tuple(DAY + timedelta(days=day) for day in (1, 2, 3)))
    timeline = told(run, axis)
    assert (timeline.before, timeline.after) == (1, 2)
    assert [each.new_pictures for each in timeline.bins] == [0, 1]
    assert [row.new_pictures for row in timeline.rows if row.label == "friendly"] == [0, 1]


def test_without_any_time_there_are_no_bins(tmp_path: Path) -> None:
    run = made(tmp_path / "run", [(None, (1,)), (None, ())], {1: "friendly"})
    assert common_axis(run) == Axis(unit="", edges=())
    assert told(run) == Timeline(unit="", bins=(), rows=(), timeless=2, before=0, after=0)
    assert (summarize(run), (tmp_path / "run/report/timeline.csv").read_text().count("\n"))[1] == 1
    assert told(made(tmp_path / "empty", [])).timeless == 0


def test_what_was_not_asked_is_an_error(tmp_path: Path) -> None:
    run = made(tmp_path / "run", spread(3, timedelta(days=3)))
    with pytest.raises(RunError, match="classify"):
        timeline_of(run, MODEL, "another-0")
