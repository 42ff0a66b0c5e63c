"""The SQL against the same counts in plain Python, on tables made up at random."""

import csv
import json
import random
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hashtag_photos.estimate import wilson
from hashtag_photos.labels import KINDS, TEXT_KINDS, find_labels
from hashtag_photos.records import Attachment, Photo, PhotoStatus, Post
from hashtag_photos.run import Run
from hashtag_photos.stages.classify import scores_path
from hashtag_photos.stages.coverage import Coverage, CoverageOf
from hashtag_photos.stages.group import groups_path
from hashtag_photos.stages.score import decide, robustness_path
from hashtag_photos.stages.summarize import summarize
from hashtag_photos.stages.tally import Tally
from hashtag_photos.tables import GROUPS, ROBUSTNESS, photos_table, posts_table, scores_schema

LABELS = find_labels("friendly-or-force")
START = datetime(2014, 4, 22, 23, 30, tzinfo=UTC)

#: what an address begins with, and its host
HOSTS = {
    "https://x.example/": "x.example",
    "HTTPS://X.Example:8443/": "x.example",
    "https://somebody:secret@x.example/": "x.example",
    "https://y.example/@z.example/": "y.example",
    "http://[2001:DB8::1]:80/": "[2001:db8::1]",
    "file:///home/me/": "(a local file)",
    "x.example/": "(no host)",
}
#: what posts state for their language, and what it counts as
LANGUAGES = {
    "en": "en",
    " EN-gb ": "en",
    "zh-Hant-TW": "zh",
    "pt_BR": "pt",
    None: "(not stated)",
    " ": "(not stated)",
    "english": "(no language code)",
    "@zoe": "(no language code)",
    "en from Zoe": "(no language code)",
    "en-": "(no language code)",
}
#: what is said of an attachment (status, answer, reason), and what it counts as
SAID = {
    (PhotoStatus.GONE, 404, "the server answered 404 Nope 17"): "gone: the server answered 404 Not Found",
    (PhotoStatus.GONE, 404, "the server answered 404 Not Found"): "gone: the server answered 404 Not Found",
    (PhotoStatus.GONE, None, "no such file"): "gone: no such file",
    (PhotoStatus.TIMEOUT, None, "no answer in time"): "timeout: no answer in time",
    (PhotoStatus.VIDEO, 200, None): "video",
}


def made_up(folder: Path, seed: int) -> tuple[Run, list[Post], dict[tuple[str, str, int], Photo], dict[str, str]]:
    """A run's tables without any picture: posts, the last row of each attachment, and labels by sha256."""
    import dataclasses

    dice = random.Random(seed)
    posts = [
        Post(
            source="ab"[number % 2],
            id=str(number // 2),  # ids are unique within a source only
            created_at=None if dice.random() < 0.1 else START + timedelta(hours=dice.randrange(60)),
            repost_of=dice.choice([None, None, "7"]),
            language=dice.choice([*LANGUAGES]),
            attachments=tuple(
                Attachment(url=f"{dice.choice([*HOSTS])}{dice.randrange(60)}.jpg") for _ in range(dice.randrange(4))
            ),
        )
        for number in range(80)
    ]
    photos: dict[tuple[str, str, int], Photo] = {}
    first_tries = []
    for post in posts:
        for position, attachment in enumerate(post.attachments):
            if dice.random() < 0.05:
                continue  # not asked for yet
            status, answer, reason = dice.choice([(PhotoStatus.OK, 200, None)] * 15 + [*SAID])
            ok = status is PhotoStatus.OK
            content = zlib.crc32(attachment.url.encode()) % 37
            photo = Photo(
                source=post.source,
                post_id=post.id,
                position=position,
                url=attachment.url,
                status=status,
                attempt=1,
                fetched_at=START,
                reason=reason,
                http_status=answer,
                sha256=f"{content:064x}" if ok else None,
                format="JPEG" if ok else None,
            )
            if ok and dice.random() < 0.2:
                failed = {"status": PhotoStatus.SERVER_ERROR, "http_status": 503, "reason": "the server answered 503"}
                first_tries.append(dataclasses.replace(photo, sha256=None, **failed))
                photo = dataclasses.replace(photo, attempt=2)
            photos[post.source, post.id, position] = photo
    shas = sorted({photo.sha256 for photo in photos.values() if photo.sha256})[1:]  # one could not be classified
    probability = np.random.default_rng(seed).dirichlet([0.5] * 3, len(shas)).astype(np.float32)
    names, margins = decide(probability, LABELS)
    run = Run(folder / "run")
    run.ask(model="tiny", model_key="tiny-0", labels=LABELS.key)
    run.record_used("label_sets", LABELS.key, dataclasses.asdict(LABELS))
    run.append("posts", posts_table(posts))
    run.append("photos", photos_table(first_tries))
    run.append("photos", photos_table(photos.values()))
    columns = {f"p_{name}": probability[:, i] for i, name in enumerate(LABELS.class_names)}
    run.write_table(
        scores_path("tiny-0", LABELS.key), pa.table({"sha256": shas, "label": names, "margin": margins, **columns})
    )
    return run, posts, photos, dict(zip(shas, names, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_plain_python(tmp_path: Path, seed: int) -> None:
    run, posts, photos, labels = made_up(tmp_path, seed)
    images, with_label, reposts = defaultdict(set), defaultdict(set), defaultdict(set)
    by_source, by_language = defaultdict(set), defaultdict(set)
    count = defaultdict(int)
    for post in posts:
        for position in range(len(post.attachments)):
            photo = photos.get((post.source, post.id, position))
            if photo is not None and photo.sha256 in labels:
                label = labels[photo.sha256]
                images[label].add(photo.sha256)
                with_label[label].add((post.source, post.id))
                count[label] += 1
                by_source[post.source, label].add((photo.sha256, post.source, post.id, position))
                by_language[LANGUAGES[post.language], label].add((photo.sha256, post.source, post.id, position))
                if post.repost_of:
                    reposts[label].add((post.source, post.id))
    tally = summarize(run)
    total = sum(map(len, images.values()))
    assert (tally.images, tally.photos) == (total, sum(count.values()))
    assert tally.posts == len(set().union(*with_label.values()))
    for row in tally.classes:
        own = len(images[row.label])
        assert (row.images, row.posts, row.photos) == (own, len(with_label[row.label]), count[row.label])
        assert row.reposts == len(reposts[row.label])
        assert (row.share, row.low, row.high) == pytest.approx((own / total, *wilson(own, total)))
    assert {row.value for row in tally.sources} == {"a", "b"}
    assert {row.value for row in tally.languages} == {*LANGUAGES.values()}
    for parts, shown_in in ((tally.sources, by_source), (tally.languages, by_language)):
        assert len(parts) == len({row.value for row in parts}) * len(tally.classes)
        assert [row.posts_total for row in parts] == sorted((row.posts_total for row in parts), reverse=True)
        for row in parts:
            own = shown_in[row.value, row.label]
            whole = {photo for label in images for photo in shown_in[row.value, label]}
            told = ((row.images, row.posts, row.photos), (row.images_total, row.posts_total, row.photos_total))
            for counts, these in zip(told, (own, whole), strict=True):
                assert counts == (len({sha for sha, *_ in these}), len({post[1:3] for post in these}), len(these))
            assert (row.share, row.low, row.high) == pytest.approx(
                (row.images / row.images_total, *wilson(row.images, row.images_total))
            )


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_missing_in_silence(tmp_path: Path, seed: int) -> None:
    run, posts, photos, _ = made_up(tmp_path, seed)
    coverage = summarize(run).coverage
    attachments = sum(len(post.attachments) for post in posts)
    statuses = defaultdict(int)
    for photo in photos.values():
        statuses[photo.status.value] += 1
    had = statuses.pop("ok")
    assert coverage.attachments == attachments
    assert coverage.had == had
    assert coverage.missing == {**statuses, "not_asked_yet": attachments - len(photos)}
    assert coverage.had + sum(coverage.missing.values()) == attachments
    assert coverage.images_not_classified == 1
    assert coverage.posts_without_attachments == sum(not post.attachments for post in posts)
    assert coverage.posts_without_time == sum(post.created_at is None for post in posts)
    assert coverage.posts_reposting == sum(post.repost_of is not None for post in posts)


def test_files_and_dataframe_say_the_same(tmp_path: Path) -> None:
    run, _, _, labels = made_up(tmp_path, 7)
    tally = summarize(run)
    frame = tally.to_dataframe()
    with (tmp_path / "run/report/tally.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(frame.columns)
    assert {row["kind"] for row in rows} == {"raw"}
    for row, (_, values) in zip(rows, frame.iterrows(), strict=True):
        assert row["label"] == values["label"]
        assert float(row["share"]) == pytest.approx(values["share"], abs=1e-6)
        assert int(row["images"]) == values["images"]
    files = {"source": "tally-by-source.csv", "language": "tally-by-language.csv", "time": "timeline.csv"}
    for by, name in (files | {"engagement": "engagement.csv"}).items():
        with (tmp_path / "run/report" / name).open() as file:
            rows, told = list(csv.DictReader(file)), tally.to_dataframe(by=by)
        assert list(rows[0]) == list(told.columns)
        assert by == "engagement" or {row["kind"] for row in rows} == {"raw"}
        assert [int(row["posts"]) for row in rows] == list(told["posts"])
        assert [int(row["posts_total"]) for row in rows] == list(told["posts_total"])
        if by in ("source", "language"):
            assert [row[by] for row in rows] == [each.value for each in getattr(tally, f"{by}s")]
    said = json.loads((tmp_path / "run/report/tally.json").read_text())
    assert [row["images"] for row in said["classes"]] == list(frame["images"])
    assert [row["value"] for row in said["languages"]] == [each.value for each in tally.languages]
    assert [row["start"] for row in said["timeline"]["bins"]] == [each.start for each in tally.timeline.bins]
    assert [row["share"] for row in said["timeline"]["rows"]] == [each.share for each in tally.timeline.rows]
    assert [row["median"] for row in said["engagement"]["classes"]] == [None] * len(tally.classes)
    with (tmp_path / "run/report/photos.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert len(listed) == tally.coverage.attachments, "a line for every attachment, asked for or not"
    assert {row["sha256"]: row["label"] for row in listed if row["label"]} == labels


@pytest.mark.parametrize("seed", range(5))
def test_coverage_by_reason_host_and_day_is_that_of_plain_python(tmp_path: Path, seed: int) -> None:
    run, posts, photos, _ = made_up(tmp_path, seed)
    statuses: dict[str, dict[str, Counter[str]]] = {by: defaultdict(Counter) for by in ("reason", "host", "day")}
    for post in posts:
        for position, attachment in enumerate(post.attachments):
            photo = photos.get((post.source, post.id, position))
            status = photo.status.value if photo else "not_asked_yet"
            known = {("ok", 200, None): "ok", **SAID}
            reason = known[status, photo.http_status, photo.reason] if photo else status
            host = next(host for begin, host in HOSTS.items() if attachment.url.startswith(begin))
            day = f"{post.created_at:%Y-%m-%d}" if post.created_at else "(no time)"
            for by, value in (("reason", reason), ("host", host), ("day", day)):
                statuses[by][value][status] += 1
    coverage = summarize(run).coverage
    for by, told in (("reason", coverage.reasons), ("host", coverage.hosts), ("day", coverage.days)):
        assert {each.value: Counter(each.missing) + Counter(ok=each.had) for each in told} == statuses[by]
        assert all(each.attachments == statuses[by][each.value].total() for each in told)
        assert sum(each.attachments for each in told) == coverage.attachments
        assert sum(each.had for each in told) == coverage.had
        if by != "day":
            assert [each.value for each in told] == sorted(statuses[by], key=lambda v: (-statuses[by][v].total(), v))
    assert [each.value for each in coverage.days] == [*sorted({*statuses["day"]} - {"(no time)"}), "(no time)"]


def test_the_table_of_coverage_adds_up_and_stays_as_it_is(tmp_path: Path) -> None:
    run, *_ = made_up(tmp_path, 7)
    coverage = summarize(run).coverage
    path = tmp_path / "run/report/coverage.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    statuses = [*(status.value for status in PhotoStatus if status != "ok"), "not_asked_yet"]
    assert list(rows[0]) == ["by", "value", "attachments", "had", "share", *statuses]
    assert [(row["by"], row["value"]) for row in rows] == [
        ("all", ""),
        *(("reason", each.value) for each in coverage.reasons),
        *(("host", each.value) for each in coverage.hosts),
        *(("day", each.value) for each in coverage.days),
    ]
    for by in ("all", "reason", "host", "day"):
        for name in ("attachments", "had", *statuses):
            assert sum(int(row[name]) for row in rows if row["by"] == by) == int(rows[0][name])
    for row in rows:
        assert int(row["had"]) + sum(int(row[status]) for status in statuses) == int(row["attachments"])
        assert float(row["share"]) == pytest.approx(int(row["had"]) / int(row["attachments"]), abs=1e-6)
    before = path.stat().st_mtime_ns, path.read_bytes()
    summarize(Run(tmp_path / "run"))
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before


def coverage_of(folder: Path, *urls: str, photos: Iterable[Photo] = ()) -> Coverage:
    """The coverage of a run with these attachments, and no picture among them."""
    import dataclasses

    run = Run(folder / "run")
    run.ask(model="tiny", model_key="tiny-0", labels=LABELS.key)
    run.record_used("label_sets", LABELS.key, dataclasses.asdict(LABELS))
    posts = [Post(source="x", id=str(number), attachments=(Attachment(url=url),)) for number, url in enumerate(urls)]
    run.append("posts", posts_table(posts))
    run.append("photos", photos_table(photos))
    run.write_table(scores_path("tiny-0", LABELS.key), scores_schema(LABELS.class_names).empty_table())
    return summarize(run).coverage


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Example.ORG/a.jpg", "example.org"),
        ("https://example.org", "example.org"),
        ("https://example.org?a=https://y.example/", "example.org"),
        ("https://example.org#@y.example/", "example.org"),
        (" https://example.org/", "example.org"),
        ("https://example.org:abc/", "example.org"),
        ("https://a@b@example.org/", "example.org"),
        ("https://user:pa:ss@example.org:1/", "example.org"),
        ("https://user@[2001:DB8::1]:443/", "[2001:db8::1]"),
        ("https://[fe80::1%eth0]/", "[fe80::1%eth0]"),
        ("ftp://example.org/a.jpg", "example.org"),
        ("https://BÜCHER.example/", "bücher.example"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("https://=1+1/", "=1+1"),
        ("https://" + "a" * 253 + "/", "a" * 253),
        ("file:///home/me/a.jpg", "(a local file)"),
        ("FILE://server/a.jpg", "(a local file)"),
        ("", "(no host)"),
        ("a.jpg", "(no host)"),
        ("example.org/a.jpg", "(no host)"),
        ("//example.org/a.jpg", "(no host)"),
        ("https:///a.jpg", "(no host)"),
        ("https://user@/a.jpg", "(no host)"),
        ("https://[no address]/", "(no host)"),
        ("https://(no host)/", "(no host)"),
        ("https://a b.example/", "(no host)"),
        ("https://a\n.example/", "(no host)"),
        ("https://\x1b[31mred.example/", "(no host)"),
        ("https://example.org\\y.example/", "(no host)"),
        ("https://half-\ud83d.example/", "(no host)"),
        ("https://" + "a" * 254 + "/", "(no host)"),
        ("data:image/png;base64,AAAA", "(no host)"),
    ],
)
def test_the_host_of_an_address(tmp_path: Path, url: str, host: str) -> None:
    coverage = coverage_of(tmp_path, url)
    one = {"attachments": 1, "had": 0, "missing": {"not_asked_yet": 1}}
    assert coverage.hosts == (CoverageOf(value=host, **one),)
    assert coverage.days == (CoverageOf(value="(no time)", **one),)
    assert coverage.reasons == (CoverageOf(value="not_asked_yet", **one),)


@pytest.mark.parametrize(
    ("status", "answer", "reason", "value"),
    [
        ("gone", 410, "the server answered 410 <script>", "gone: the server answered 410 Gone"),
        ("refused", 499, "the server answered 499 ", "refused: the server answered 499"),
        ("not_an_image", 200, "a web page, not a picture", "not_an_image: a web page, not a picture"),
        ("broken", 200, "can't be decoded: truncated (17 bytes not processed)", "broken: truncated"),
        ("opted_out", 200, "the server asks: X-Robots-Tag: noai, 17", "opted_out: the server asks"),
        ("blocked", None, "port 8080 is neither 80 nor 443", "blocked: a port that is neither 80 nor 443"),
        ("unreachable", None, "Cannot connect to host a:443 ssl:default [No such name]", "unreachable: No such name"),
        ("unreachable", None, "[Errno 104] Connection reset by peer", "unreachable: Connection reset by peer"),
        ("timeout", None, "not asked, since it failed for 37 s: no answer", "timeout: not asked, since it failed"),
        ("unreachable", None, "[[[", "unreachable"),
        ("unreachable", None, "", "unreachable"),
    ],
)
def test_what_servers_say_is_counted_by_what_it_means(
    tmp_path: Path, status: str, answer: int | None, reason: str, value: str
) -> None:
    coverage = coverage_of(tmp_path, "https://a.example/", photos=[missing(0, PhotoStatus(status), reason, answer)])
    assert coverage.reasons == (CoverageOf(value=value, attachments=1, had=0, missing={status: 1}),)


def missing(post: int, status: PhotoStatus, reason: str | None, answer: int | None = None) -> Photo:
    key = {"source": "x", "post_id": str(post), "position": 0, "url": "https://a.example/"}
    return Photo(**key, status=status, attempt=1, fetched_at=START, reason=reason, http_status=answer)


def test_a_thousand_hosts_and_a_thousand_wordings(tmp_path: Path) -> None:
    urls = [f"https://h{number}.example/" for number in range(1000) for _ in range(1 + (number == 500))]
    photos = [missing(post, PhotoStatus.UNREACHABLE, f"reason {post}") for post in range(1001)]
    coverage = coverage_of(tmp_path, *urls, photos=photos)
    assert len(coverage.hosts) == 1000
    assert coverage.hosts[0].value == "h500.example"
    assert [each.attachments for each in coverage.reasons] == [991] + [1] * 10
    assert coverage.reasons[0].value == "unreachable: other reasons"
    said = json.loads((tmp_path / "run/report/tally.json").read_text())["coverage"]
    assert said["hosts_in_all"] == 1000
    assert len(said["hosts_with_most_missing"]) == 20
    assert said["hosts_with_most_missing"][0] == {
        "value": "h500.example",
        "attachments": 2,
        "had": 0,
        "missing": {"unreachable": 2},
        "share": 0.0,
    }
    assert len((tmp_path / "run/report/coverage.csv").read_text().splitlines()) == 1 + 1 + 11 + 1000 + 1


def test_a_run_without_attachments_has_a_table_of_coverage(tmp_path: Path) -> None:
    coverage = coverage_of(tmp_path)
    assert (coverage.attachments, coverage.had, coverage.missing, coverage.hosts) == (0, 0, {}, ())
    assert (tmp_path / "run/report/coverage.csv").read_text().splitlines()[1:] == [
        "all,,0,0,," + ",".join("0" * len(PhotoStatus))
    ]


def test_text_from_outside_is_no_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    import dataclasses

    run = Run(tmp_path / "run")
    run.ask(model="tiny", model_key="tiny-0", labels=LABELS.key)
    run.record_used("label_sets", LABELS.key, dataclasses.asdict(LABELS))
    formula = '=HYPERLINK("http://x","y")'
    run.append("posts", posts_table([Post(source="x", id=formula, attachments=(Attachment(url="+1"),))]))
    photo = Photo(
        source="x", post_id=formula, position=0, url="+1", status=PhotoStatus.GONE, attempt=1, fetched_at=START
    )
    run.append("photos", photos_table([photo]))
    run.write_table(scores_path("tiny-0", LABELS.key), scores_schema(LABELS.class_names).empty_table())
    summarize(run)
    with (tmp_path / "run/report/photos.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["post_id"], row["url"]) == ("'" + formula, "'+1")


@pytest.mark.parametrize("begin", ["=", "+", "-"])
def test_a_host_is_no_formula_in_a_spreadsheet(tmp_path: Path, begin: str) -> None:
    coverage_of(tmp_path, f"https://{begin}1+1/a.jpg")
    with (tmp_path / "run/report/coverage.csv").open() as file:
        assert [row["value"] for row in csv.DictReader(file) if row["by"] == "host"] == [f"'{begin}1+1"]


def grouped(run: Run, labels: Iterable[str], seed: int) -> dict[str, str]:
    """Groups of near-duplicates, made up and written; the picture that each image is."""
    dice = random.Random(seed)
    picture_of: dict[str, str] = {}
    for sha256 in sorted(labels):
        picture_of[sha256] = dice.choice([sha256, sha256, *picture_of.values()])
    run.write_table(groups_path("tiny-0"), pa.table([list(picture_of), list(picture_of.values())], schema=GROUPS))
    return picture_of


def worth(sizes: Iterable[float]) -> float:
    sizes = list(sizes)
    return sum(sizes) ** 2 / sum(size * size for size in sizes)


@pytest.mark.parametrize("seed", range(4))
def test_raw_numbers_are_those_of_plain_python(tmp_path: Path, seed: int) -> None:
    run, _, photos, labels = made_up(tmp_path, seed)
    shown = defaultdict(list)
    for (source, post_id, _), photo in photos.items():
        if photo.sha256 in labels:
            shown[source, post_id].append(photo.sha256)
    counting = {sha256 for images in shown.values() for sha256 in images}
    picture_of = grouped(run, counting, seed)
    by_unit: dict[str, dict[str, float]] = {unit: defaultdict(float) for unit in ("images", "photos", "posts")}
    for sha256 in counting:
        by_unit["images"][sha256] = 1
    for images in shown.values():
        for sha256 in images:
            by_unit["photos"][sha256] += 1
            by_unit["posts"][sha256] += 1 / len(images)
    by_unit["pictures"] = {picture: 1 for picture in set(picture_of.values())}
    tally = summarize(run)
    assert {each.kind for each in tally.numbers} == {"raw", "bound"}
    assert {each.unit for each in tally.numbers} == set(by_unit), "no post states any engagement"
    for unit, weights in by_unit.items():
        of_pictures: dict[str, float] = defaultdict(float)
        for sha256, weight in weights.items():
            of_pictures[picture_of[sha256]] += weight
        effective, total = worth(of_pictures.values()), sum(weights.values())
        for row in tally.classes:
            found = tally.number("raw", row.label, unit)
            share = sum(weight for sha256, weight in weights.items() if labels[sha256] == row.label) / total
            assert (found.value, found.of) == pytest.approx((share, total))
            assert (found.low, found.high) == pytest.approx(wilson(found.value * effective, effective))
            assert found.effective_n == pytest.approx(effective)
            assert (found.n, found.rests_on) == (
                (len(weights), "pictures") if unit == "pictures" else (len(counting), "images")
            )
    for row in tally.classes:
        assert row.pictures == sum(labels[picture] == row.label for picture in by_unit["pictures"])
        image = tally.number("raw", row.label, "images")
        assert (row.share, row.low, row.high) == (image.value, image.low, image.high)
    assert sum(row.pictures for row in tally.classes) == tally.pictures == len(by_unit["pictures"])
    sources = {row.value: row for row in tally.sources}
    for source, row in sources.items():
        images = {sha256 for (of, _), shas in shown.items() if of == source for sha256 in shas}
        effective = worth(Counter(picture_of[sha256] for sha256 in images).values())
        share = row.images / len(images)
        assert (row.low, row.high) == pytest.approx(wilson(share * effective, effective))
    with (tmp_path / "run/report/photos.csv").open() as file:
        told = {row["sha256"]: row["picture"] for row in csv.DictReader(file) if row["sha256"] in counting}
    assert told == picture_of


@pytest.mark.parametrize("seed", range(4))
def test_the_pictures_in_the_most_posts_are_those_of_plain_python(tmp_path: Path, seed: int) -> None:
    run, posts, photos, labels = made_up(tmp_path, seed)
    counting = {photo.sha256 for photo in photos.values() if photo.sha256 in labels}
    picture_of = grouped(run, counting, seed)
    created = {(post.source, post.id): post.created_at for post in posts}
    groups = defaultdict(list)
    for (source, post_id, _), photo in photos.items():
        if photo.sha256 in counting:
            groups[picture_of[photo.sha256]].append((photo.sha256, (source, post_id)))
    expected = []
    for picture, members in groups.items():
        times = [created[post] for _, post in members if created[post]]
        first = f"{min(times):%Y-%m-%dT%H:%M:%SZ}" if times else None
        images, in_posts = ({member[place] for member in members} for place in (0, 1))
        if len(in_posts) > 1:
            expected.append((-len(in_posts), -len(images), picture, len(members), first, labels[picture]))
    found = summarize(run).largest
    assert [
        (-each.posts, -each.images, each.picture, each.photos, each.first_seen, each.label) for each in found
    ] == sorted(expected)[:12]


def test_near_duplicates_widen_what_is_without_words_too(tmp_path: Path) -> None:
    run, *_, labels = made_up(tmp_path, 2)
    kinds = find_labels(KINDS)
    rows = {"sha256": sorted(labels), "label": ["photo"] * len(labels)}
    run.write_table(scores_path("tiny-0", kinds.key), pa.table(rows))
    before = {each.label: each for each in summarize(run).without_text.classes}
    grouped(run, labels, 2)
    tally = summarize(run)
    for each in tally.without_text.classes:
        assert each.share == before[each.label].share
        assert each.high - each.low > before[each.label].high - before[each.label].low
        found = tally.number("raw", each.label, "images")
        assert (each.low, each.high) == pytest.approx((found.low, found.high)), "none is made of words"


def test_without_labels_the_tally_says_so_and_computes_nothing(tmp_path: Path) -> None:
    run, *_ = made_up(tmp_path, 1)
    said = json.loads((summarize(run), (tmp_path / "run/report/tally.json").read_text())[1])
    assert said["agreement"] is None
    assert said["review"]["drawn"] is None
    assert {each["kind"] for each in said["numbers"]} == {"raw", "bound"}


def counted_otherwise(run: Run, **variants: dict[str, int]) -> None:
    """Write a table of robustness: images of each label by variant, `all`, `template_…` or `without_…`."""
    rows = []
    for name, counts in variants.items():
        kind, _, variant = name.partition("_")
        kind = {"without": "without_prompt"}.get(kind, kind)
        total = sum(counts.values())
        rows += [
            {"kind": kind, "variant": variant, "label": label, "images": images, "images_total": total}
            for label, images in counts.items()
        ]
    run.write_table(robustness_path("tiny-0", LABELS.key), pa.Table.from_pylist(rows, schema=ROBUSTNESS))


def images_with(tally: Tally) -> dict[str, int]:
    return {each.label: each.images for each in tally.classes}


def shifted(counts: dict[str, int], images: int) -> dict[str, int]:
    """So many images go from friendly to neither."""
    return {**counts, "friendly": counts["friendly"] - images, "neither": counts["neither"] + images}


def test_a_class_that_leaves_its_interval_with_the_wording_is_flagged(tmp_path: Path) -> None:
    run, *_ = made_up(tmp_path, 7)
    before = summarize(run)
    assert before.robustness is None
    assert {each.sensitive_to_prompts for each in before.classes} == {None}
    assert not (tmp_path / "run/report/robustness.csv").exists()
    assert json.loads((tmp_path / "run/report/tally.json").read_text())["robustness"] is None

    counts, (friendly, *_) = images_with(before), before.classes
    inside = int(friendly.images - friendly.low * before.images)  # so many less, and it is still within
    counted_otherwise(
        run,
        all=counts,
        template_a=shifted(counts, inside),
        template_b=shifted(counts, -1),
        without_c=shifted(counts, inside + 1),
    )
    tally = summarize(run)
    assert {each.label: each.sensitive_to_prompts for each in tally.classes} == {
        "friendly": True,
        "conflict_and_force": False,
        "neither": any(each.flagged for each in tally.robustness if each.label == "neither"),
        "unsure": False,
    }
    flagged = {each.variant: each.flagged for each in tally.robustness if each.label == "friendly"}
    assert flagged == {"": False, "a": False, "b": False, "c": True}
    for each in tally.robustness:
        assert each.share == pytest.approx(each.images / each.images_total)
        assert each.change == pytest.approx(each.share - counts[each.label] / before.images)
        row = next(row for row in tally.classes if row.label == each.label)
        assert each.flagged == (not row.low <= row.share + each.change <= row.high)
    assert tally.largest_move("friendly") == pytest.approx((inside + 1) / before.images)
    assert tally.largest_move("unsure") == 0

    with (tmp_path / "run/report/robustness.csv").open() as file:
        rows = list(csv.DictReader(file))
    shares = ["label", "images", "images_total", "share", "change", "flagged"]
    assert list(rows[0]) == ["kind", "variant", "of_class", *shares]
    assert [(row["kind"], row["variant"]) for row in rows[::4]] == [
        ("all", ""),
        ("template", "a"),
        ("template", "b"),
        ("without_prompt", "c"),
    ]
    assert [row["flagged"] for row in rows] == [str(each.flagged) for each in tally.robustness]
    said = json.loads((tmp_path / "run/report/tally.json").read_text())
    assert [row["images"] for row in said["robustness"]] == [int(row["images"]) for row in rows]
    with (tmp_path / "run/report/tally.csv").open() as file:
        assert [row["sensitive_to_prompts"] for row in csv.DictReader(file)] == [
            str(each.sensitive_to_prompts) for each in tally.classes
        ]


def test_a_draw_of_the_images_is_compared_with_itself(tmp_path: Path) -> None:
    """A tenth of the images can be off by its own chance: what counts is the change from wording to wording."""
    run, *_ = made_up(tmp_path, 3)
    drawn = {"friendly": 0, "conflict_and_force": 1, "neither": 2, "unsure": 0}
    counted_otherwise(run, all=drawn, template_a=drawn)
    tally = summarize(run)
    assert {each.change for each in tally.robustness} == {0}
    assert not any(each.flagged for each in tally.robustness)
    assert {each.images_total for each in tally.robustness} == {3}


def test_a_share_of_none_moves_no_lower_and_one_of_all_no_higher(tmp_path: Path) -> None:
    run, *_ = made_up(tmp_path, 3)
    none = dict.fromkeys(images_with(summarize(run)), 0)
    scores = run.read_table(scores_path("tiny-0", LABELS.key))
    friendly = pa.array(["friendly"] * scores.num_rows)
    run.write_table(scores_path("tiny-0", LABELS.key), scores.set_column(1, "label", friendly))
    counted_otherwise(run, all={**none, "friendly": 8, "neither": 2}, template_a={**none, "friendly": 10})
    assert not any(each.flagged for each in summarize(run).robustness)


def test_no_image_leaves_nothing_to_compare(tmp_path: Path) -> None:
    coverage_of(tmp_path)
    run = Run(tmp_path / "run")
    counted_otherwise(run, all=dict.fromkeys([*LABELS.class_names, "unsure"], 0))
    tally = summarize(run)
    assert {(each.share, each.change, each.flagged) for each in tally.robustness} == {(None, None, False)}
    assert {each.sensitive_to_prompts for each in tally.classes} == {None}
    assert tally.kinds_compared == ()
    run.write_table(robustness_path("tiny-0", LABELS.key), ROBUSTNESS.empty_table())
    assert summarize(run).robustness == ()
    assert len((tmp_path / "run/report/robustness.csv").read_text().splitlines()) == 1


def test_no_image_is_not_one_that_stays_under_another_wording(tmp_path: Path) -> None:
    coverage_of(tmp_path)
    run = Run(tmp_path / "run")
    none = dict.fromkeys([*LABELS.class_names, "unsure"], 0)
    for counts in (none, none | {"friendly": 3}):  # these no longer count
        counted_otherwise(run, all=counts, template_a=counts)
        assert {each.sensitive_to_prompts for each in summarize(run).classes} == {None}


def test_one_wording_alone_is_not_one_that_nothing_moves_under(tmp_path: Path) -> None:
    run, *_ = made_up(tmp_path, 3)
    counts = images_with(summarize(run))
    counted_otherwise(run, all=counts)
    tally = summarize(run)
    assert len(tally.robustness) == len(counts)
    assert {each.sensitive_to_prompts for each in tally.classes} == {None}
    assert tally.kinds_compared == ()
    with (tmp_path / "run/report/tally.csv").open() as file:
        assert {row["sensitive_to_prompts"] for row in csv.DictReader(file)} == {""}
    counted_otherwise(run, all=counts, without_c=counts)
    tally = summarize(run)
    assert {each.sensitive_to_prompts for each in tally.classes} == {False}
    assert tally.kinds_compared == ("without_prompt",)


def test_a_prompt_left_out_is_told_with_its_class(tmp_path: Path) -> None:
    run, *_ = made_up(tmp_path, 3)
    counts = images_with(summarize(run))
    own = {each.name: each.prompts[-1] for each in LABELS.classes}
    left_out = {f"without_{prompt}": counts for prompt in own.values()}
    template = own["friendly"]  # that it reads like a prompt makes it none
    counted_otherwise(run, all=counts, **{f"template_{template}": counts}, **left_out)
    summarize(run)
    expected = {("all", "", ""), ("template", template, "")}
    expected |= {("without_prompt", prompt, name) for name, prompt in own.items()}
    with (tmp_path / "run/report/robustness.csv").open() as file:
        assert {(row["kind"], row["variant"], row["of_class"]) for row in csv.DictReader(file)} == expected
    said = json.loads((tmp_path / "run/report/tally.json").read_text())["robustness"]
    assert {(row["kind"], row["variant"], row["of_class"]) for row in said} == expected


def with_kinds(run: Run, kinds: dict[str, str]) -> None:
    """Write the scores of the kind of picture, as far as they are read."""
    table = pa.table({"sha256": list(kinds), "label": list(kinds.values())})
    run.write_table(scores_path("tiny-0", find_labels(KINDS).key), table)


@pytest.mark.parametrize("seed", range(3))
def test_shares_without_pictures_of_words_are_those_of_plain_python(tmp_path: Path, seed: int) -> None:
    run, _, photos, labels = made_up(tmp_path, seed)
    assert summarize(run).without_text is None
    dice = random.Random(seed)
    names = [*find_labels(KINDS).class_names, "unsure"]
    kinds = {sha: dice.choice(names) for sha in [*labels, "f" * 64]}  # one that no post shows
    unknown = dice.choice([*labels])
    del kinds[unknown]
    with_kinds(run, kinds)
    shown = {photo.sha256 for photo in photos.values()} & set(labels)
    count = Counter(labels[sha] for sha in shown if sha in kinds and kinds[sha] not in TEXT_KINDS)
    tally = summarize(run)
    without = tally.without_text
    assert [each.label for each in without.classes] == [each.label for each in tally.classes]
    for each in without.classes:
        assert (each.images, each.images_total) == (count[each.label], count.total())
        share = count[each.label] / count.total()
        assert (each.share, each.low, each.high) == pytest.approx((share, *wilson(each.images, each.images_total)))
    assert without.images == count.total()
    assert without.text == sum(kinds.get(sha) in TEXT_KINDS for sha in shown)
    assert without.unsure == sum(kinds.get(sha) == "unsure" for sha in shown)
    assert without.unknown == (unknown in shown)
    assert without.images + without.text + without.unknown == tally.images
    assert set(without.text_kinds) == set(TEXT_KINDS)
    with (tmp_path / "run/report/tally.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[-5:] == [
        f"{name}_without_text" for name in ("images", "images_total", "share", "low_95", "high_95")
    ]
    assert [int(row["images_without_text"]) for row in rows] == [each.images for each in without.classes]
    said = json.loads((tmp_path / "run/report/tally.json").read_text())["without_text"]
    assert (said["images"], said["text"]) == (without.images, without.text)


def test_nothing_but_pictures_of_words_leaves_no_share(tmp_path: Path) -> None:
    run, _, _, labels = made_up(tmp_path, 3)
    with_kinds(run, dict.fromkeys(labels, "meme"))
    without = summarize(run).without_text
    assert (without.images, without.text) == (0, len(labels))
    assert {(each.share, each.low, each.high) for each in without.classes} == {(None, 0, 1)}


def test_the_kind_of_picture_is_not_split_by_itself(tmp_path: Path) -> None:
    import dataclasses

    run, _, _, labels = made_up(tmp_path, 3)
    kinds = find_labels(KINDS)
    columns = {f"p_{name}": pa.array([0.2] * len(labels), pa.float32()) for name in kinds.class_names}
    rows = {"sha256": list(labels), "label": ["meme"] * len(labels), "margin": [0.5] * len(labels), **columns}
    run.write_table(scores_path("tiny-0", kinds.key), pa.table(rows))
    run.record_used("label_sets", kinds.key, dataclasses.asdict(kinds))
    tally = summarize(run, labels_key=kinds.key)
    assert tally.without_text is None
    assert summarize(run).without_text is not None


def test_what_the_precision_changes_is_told_with_how_many_images_it_may_concern(tmp_path: Path) -> None:
    run, _, _, labels = made_up(tmp_path, 3)
    tally = summarize(run)
    assert (tally.precision, tally.devices, tally.check) == (None, (), None)
    run.record_used("models", "tiny-0", {"name": "tiny", "precision": "bf16", "devices": ["cpu", "cuda"]})
    found = {"precision": "bf16", "images": 20, "labels_differing": 1, "largest_change": 0.025}
    run.record_used("checks", f"tiny-0/{LABELS.key}", found)
    scores = run.read_table(scores_path("tiny-0", LABELS.key))
    margins = dict(zip(scores["sha256"].to_pylist(), scores["margin"].to_pylist(), strict=True))
    tally = summarize(run)
    assert (tally.precision, tally.devices) == ("bf16", ("cpu", "cuda"))
    said = json.loads((tmp_path / "run/report/tally.json").read_text())
    near = sum(abs(margin - LABELS.margin) <= 0.1 for margin in margins.values())
    assert 0 < near < len(labels)
    assert said["check"] == {**found, "within": 0.1, "images_within": near}
    assert (said["precision"], said["devices"]) == ("bf16", ["cpu", "cuda"])


def test_a_tally_that_is_the_same_is_left_alone(tmp_path: Path) -> None:
    run, _, _, labels = made_up(tmp_path, 3)
    counts = images_with(summarize(run))
    counted_otherwise(run, all=counts, template_a=shifted(counts, 2))
    with_kinds(run, {sha: "poster" if number % 3 else "photo" for number, sha in enumerate(labels)})
    summarize(run)

    def files() -> dict[str, tuple[int, bytes]]:
        return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "run/report").iterdir()}

    before = files()
    assert "robustness.csv" in before
    summarize(Run(tmp_path / "run"))
    assert files() == before


@pytest.mark.parametrize("wording", ["=1+1 {}", "+{}", "-{}", "@{}"])
def test_a_wording_is_no_formula_in_a_spreadsheet(tmp_path: Path, wording: str) -> None:
    run, *_ = made_up(tmp_path, 3)
    counts = images_with(summarize(run))
    counted_otherwise(run, all=counts, **{f"template_{wording}": counts})
    summarize(run)
    with (tmp_path / "run/report/robustness.csv").open() as file:
        assert {row["variant"] for row in csv.DictReader(file)} == {"", f"'{wording}"}


@pytest.mark.parametrize("seed", range(3))
def test_engagement_of_the_classes_is_that_of_plain_python(tmp_path: Path, seed: int) -> None:
    import dataclasses

    run, posts, photos, labels = made_up(tmp_path / "before", seed)
    dice = random.Random(seed)

    def stated() -> int | None:
        return dice.choice([None, -1, 0, 3, 8, 2**62])  # a server may state anything

    posts = [dataclasses.replace(post, likes=stated(), reposts=stated(), replies=stated()) for post in posts]
    other = Run(tmp_path / "run")
    other.ask(**{name: run.asked[name] for name in ("model", "model_key", "labels")})
    other.record_used("label_sets", LABELS.key, dataclasses.asdict(LABELS))
    other.append("posts", posts_table(posts))
    other.append("photos", photos_table(photos.values()))
    other.write_table(scores_path("tiny-0", LABELS.key), run.read_table(scores_path("tiny-0", LABELS.key)))
    got: dict[str, list[int]] = defaultdict(list)
    weighing = 0
    for post in posts:
        of_post = [photos.get((post.source, post.id, position)) for position in range(len(post.attachments))]
        classes = {labels[photo.sha256] for photo in of_post if photo and photo.sha256 in labels}
        values = (post.likes, post.reposts, post.replies)
        if classes and post.repost_of is None and values != (None, None, None):
            weighing += 1
            for label in classes:
                got[label].append(sum(max(value or 0, 0) for value in values))
    tally = summarize(other)
    assert tally.engagement.weighing == weighing
    assert [each.label for each in tally.engagement.classes] == [each.label for each in tally.classes]
    for each in tally.engagement.classes:
        own = got[each.label]
        assert (each.posts, each.total) == (len(own), sum(own))
        quartiles = np.quantile(np.array(own, np.float64), [0.25, 0.5, 0.75]) if own else [None] * 3
        assert [each.p25, each.median, each.p75] == (pytest.approx(quartiles) if own else [None] * 3)


def test_photos_are_listed_the_same_whole_or_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, posts, *_ = made_up(tmp_path, 4)
    summarize(run)
    whole = (tmp_path / "run/report/photos.csv").read_bytes()
    monkeypatch.setattr("hashtag_photos.stages.summarize._ROWS", 7)
    (tmp_path / "run/report/photos.csv").unlink()
    summarize(run)
    assert (tmp_path / "run/report/photos.csv").read_bytes() == whole
    with (tmp_path / "run/report/photos.csv").open() as file:
        keys = [
            (row["source"], row["created_at"] or "9", row["post_id"], row["position"]) for row in csv.DictReader(file)
        ]
    assert keys == sorted(keys)
    assert len(keys) == sum(len(post.attachments) for post in posts)
