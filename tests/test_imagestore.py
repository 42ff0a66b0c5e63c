"""Images as files or in tar shards: the same to who keeps and opens them, and nothing is lost, whatever is killed."""

import asyncio
import csv
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Listed, Server, command, picture
from object_store import Proxy, Store

import hashtag_photos as hp
from hashtag_photos import imagestore, sources
from hashtag_photos.errors import RunConflictError, RunError, StorageError, UsageError
from hashtag_photos.imagestore import INDEX, SHARDS, ImageStore, Layout, file_name
from hashtag_photos.labels import find_labels
from hashtag_photos.records import Photo, PhotoStatus
from hashtag_photos.review.exchange import export_labels
from hashtag_photos.review.session import Session
from hashtag_photos.run import Run
from hashtag_photos.stages import fetching
from hashtag_photos.stages.collect import collect
from hashtag_photos.stages.download import download
from hashtag_photos.stages.sample import draw_sample
from hashtag_photos.storage import Storage
from hashtag_photos.tables import photos_table

Files = list[tuple[Path, str, str]]


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def contents(count: int, seed: int = 0, size: int = 3_000) -> dict[str, bytes]:
    """Bytes of no meaning by their sha256, of every length modulo the blocks of a tar file."""
    chance = random.Random(seed)
    made = [chance.randbytes(chance.randrange(1, size)) for _ in range(count)]
    return {sha(each): each for each in made}


def files(folder: Path, images: dict[str, bytes]) -> Files:
    """Finished files, as they lie before they are adopted."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number, (name, content) in enumerate(images.items()):
        (folder / f"{number}").write_bytes(content)
        found.append((folder / f"{number}", name, ("JPEG", "PNG", "MPO", "WEBP")[int(name[:1], 16) % 4]))
    return found


def keep(run: Run, images: dict[str, bytes]) -> None:
    """As a process of the download keeps images, and the stage makes them known."""
    folder = Path(run.location).with_name("incoming")
    given = files(folder, images)
    places = ImageStore(run.storage, run.images.layout).adopt(given)
    assert list(folder.iterdir()) == []
    run.images.record([(name, place) for (_, name, _), place in zip(given, places, strict=True) if place])


def opened(run: Run, images: dict[str, bytes]) -> dict[str, bytes]:
    """Images as the run has them."""
    found = {}
    for name in images:
        with run.images.open(name, ("JPEG", "PNG", "MPO", "WEBP")[int(name[:1], 16) % 4]) as file:
            found[name] = file.read()
    return found


def shards(run: Run) -> list[Path]:
    return sorted((Path(run.location) / "images").glob("*.tar"))


def members(run: Run) -> Counter[str]:
    """What all shards hold, read by tarfile."""
    found: Counter[str] = Counter()
    for path in shards(run):
        with tarfile.open(path) as tar:
            for each in tar:
                content = tar.extractfile(each)
                assert content is not None
                assert sha(content.read()) == each.name.partition(".")[0]
                found[each.name] += 1
    return found


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    run.keep_images_as(SHARDS)
    return run


@pytest.mark.parametrize("store", ["files", "shards", "s3 files", "s3 shards"])
def test_what_was_kept_is_opened_by_name(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    objects: Store | None = request.getfixturevalue("s3") if store.startswith("s3") else None
    run, images = Run(objects.at("run") if objects else tmp_path / "run"), contents(40)
    run.keep_images_as(store.split()[-1])
    given = files(tmp_path / "in", images)
    places = ImageStore(run.storage, run.images.layout).adopt(given)
    run.images.record([(name, place) for (_, name, _), place in zip(given, places, strict=True) if place])
    again = Run(run.location)
    assert opened(again, images) == images
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda name: opened(again, {name: b""})[name], images)) == list(images.values())
    names = run.storage.names("images")
    if store.endswith("shards"):
        assert len(names) == 2
    else:
        digits = 3 if objects else 2
        assert names == sorted({name[:digits] for name in images})
    for name in (sha(b"never had"), "0" * 64):
        with pytest.raises(FileNotFoundError):
            again.images.open(name, "JPEG")


WEBDATASET = """
import json, sys, webdataset
found = webdataset.WebDataset(sys.argv[1:], shardshuffle=False)
is_content = lambda name: not name.startswith("__")
print(json.dumps([(each["__key__"], {name: each[name].hex() for name in each if is_content(name)}) for each in found]))
"""


def test_shards_are_read_by_webdataset_and_tar_and_by_their_index(run: Run) -> None:
    images = contents(60)
    keep(run, dict(list(images.items())[:25]))
    keep(run, dict(list(images.items())[25:]))
    assert len(shards(run)) == 2
    # in a process of its own, since it leaves files open
    words = [sys.executable, "-c", WEBDATASET, *map(str, shards(run))]
    found = json.loads(subprocess.run(words, capture_output=True, check=True, timeout=60).stdout)
    extensions = ("jpg", "png", "jpg", "webp")
    assert len(found) == 60
    assert {name: bytes.fromhex(read[extensions[int(name[0], 16) % 4]]) for name, read in found} == images
    assert members(run).keys() == {f"{name}.{extensions[int(name[0], 16) % 4]}" for name in images}
    for row in run.dataset(INDEX).to_table().to_pylist():
        with (Path(run.location) / "images" / row["shard"]).open("rb") as file:
            file.seek(row["offset"])
            assert file.read(row["size"]) == images[row["sha256"]]


def test_the_same_bytes_are_kept_once_by_one_process(run: Run, tmp_path: Path) -> None:
    images, more = contents(10), contents(5, seed=1)
    store = ImageStore(run.storage, run.images.layout, memory=tmp_path / "memory")
    twice = [*files(tmp_path / "a", images), *files(tmp_path / "b", images)]
    places = store.adopt(twice)
    assert places[:10] == places[10:]
    later = store.adopt([*files(tmp_path / "c", images), *files(tmp_path / "d", more)])
    assert later[:10] == places[:10]
    # as after a crash: another object, the same memory
    again = ImageStore(run.storage, run.images.layout, memory=tmp_path / "memory").adopt(files(tmp_path / "e", more))
    assert again == later[10:]
    assert set(members(run).values()) == {1}
    assert len(members(run)) == 15
    assert store.adopt([]) == []


def test_a_shard_holds_no_more_than_it_should(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagestore, "SHARD_BYTES", 20_000)
    images = contents(60) | {sha(bytes(50_000)): bytes(50_000)}
    keep(run, images)
    assert opened(run, images) == images
    assert len(shards(run)) > 4
    for path in shards(run):
        with tarfile.open(path) as tar:
            sizes = [each.size for each in tar]
        assert sum(sizes) <= 20_000 or sizes == [50_000]


def test_tidying_merges_small_shards_and_removes_what_nothing_refers_to(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imagestore, "SHARD_BYTES", 40_000)
    monkeypatch.setattr(imagestore, "SMALL_BYTES", 12_000)
    images = {}
    for seed in range(9):
        some = contents(4, seed)
        keep(run, some)
        images |= some
    large = contents(1, 99) | {sha(b"x" * 20_000): b"x" * 20_000}
    keep(run, large)
    images |= large
    (kept,) = [path for path in shards(run) if path.stat().st_size > 20_000]
    stamp = kept.stat().st_mtime_ns
    # another process had the same, and one was killed before anybody heard of its shard
    keep(run, dict(list(images.items())[:4]) | contents(1, 50))
    images |= contents(1, 50)
    ImageStore(run.storage, run.images.layout).adopt(files(tmp_path / "in", contents(3, 77)))
    reader = Run(run.location)
    assert opened(reader, images) == images
    run.images.tidy()
    assert kept.stat().st_mtime_ns == stamp
    assert len(shards(run)) == 3
    assert set(members(run).values()) == {1}
    assert len(members(run)) == len(images)
    assert opened(run, images) == images
    assert opened(reader, images) == images, "what it knew is out of date, and it finds out"
    run.images.tidy()  # and parts of the index that were merged go
    before = {path: path.stat().st_mtime_ns for path in Path(run.location).rglob("*") if path.is_file()}
    run.images.tidy()
    Run(run.location).images.tidy()
    assert {path: path.stat().st_mtime_ns for path in Path(run.location).rglob("*") if path.is_file()} == before


def test_what_the_index_has_lost_is_found_again_where_photos_are_of_it(run: Run, tmp_path: Path) -> None:
    one, two, nobodys = contents(5), contents(5, 1), contents(5, 2)
    keep(run, one)
    keep(run, two)
    run.append("photos", photos_table([a_photo(name) for name in (*one, *two)]))
    ImageStore(run.storage, run.images.layout).adopt(files(tmp_path / "in", nobodys))
    (Path(run.location) / INDEX / "part-000001.parquet").unlink()
    with pytest.raises(FileNotFoundError):
        opened(Run(run.location), one)
    run.images.tidy()
    assert opened(Run(run.location), one | two) == one | two
    assert len(members(run)) == 10


class KilledError(BaseException):
    pass


def test_tidying_that_is_killed_anywhere_loses_and_doubles_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imagestore, "SHARD_BYTES", 40_000)
    monkeypatch.setattr(imagestore, "SMALL_BYTES", 12_000)
    images = {}
    for seed in range(12):
        keep(run, some := contents(4, seed))
        images |= some
    keep(run, contents(4, 0))
    ImageStore(run.storage, run.images.layout).adopt(files(tmp_path / "in", contents(3, 77)))
    steps = 0
    while True:
        copy = shutil.copytree(run.location, tmp_path / f"killed-{steps}")
        left = steps

        def step() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KilledError

        def counted(of: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*words: Any, **more: Any) -> Any:
                step()
                return of(*words, **more)

            return wrapped

        with monkeypatch.context() as patch:
            for name in ("write", "remove"):
                patch.setattr(Storage, name, counted(getattr(Storage, name)))
            try:
                Run(copy).images.tidy()
            except KilledError:
                steps += 1
            else:
                break
        assert opened(Run(copy), images) == images
        Run(copy).images.tidy()
        assert opened(Run(copy), images) == images
        assert set(members(Run(copy)).values()) == {1}
        assert len(members(Run(copy))) == len(images)
    assert steps > 15


@pytest.mark.parametrize("damage", ["cut short", "gone"])
def test_a_damaged_shard_costs_its_own_images_alone(run: Run, damage: str) -> None:
    one, two, three = contents(6), contents(6, 1), contents(6, 2)
    for some in (one, two, three):
        keep(run, some)
    path = next(path for path in shards(run) if next(iter(one)) in path.read_bytes().decode("latin-1"))
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:600])
    rest = {**two, **three}
    run.images.tidy()
    assert len(shards(run)) == (1 if damage == "gone" else 2)
    assert opened(run, rest) == rest
    with pytest.raises(OSError, match="No such file" if damage == "gone" else "cut short"):
        run.images.open(max(one), "JPEG")


def test_how_images_are_kept_is_settled_once(tmp_path: Path) -> None:
    run = Run(tmp_path / "a")
    run.keep_images_as(None)
    assert run.asked["store"] == "files"
    run.keep_images_as("files")
    with pytest.raises(RunConflictError, match="store files and is now asked with store shards: leave store out"):
        run.keep_images_as("shards")
    with pytest.raises(UsageError, match="files or shards, not as 'tar'"):
        run.keep_images_as("tar")
    older = Run(tmp_path / "b")
    older.ask(model="tiny")
    older.append("photos", photos_table([a_photo("a" * 64)]))
    before = (tmp_path / "b/run.json").read_bytes()
    older.keep_images_as(None)
    older.keep_images_as("files")
    with pytest.raises(RunConflictError, match="keeps its images as files"):
        older.keep_images_as("shards")
    assert (tmp_path / "b/run.json").read_bytes() == before
    done = command("download", tmp_path / "a", "--store", "shrads")
    assert done.returncode == 2
    assert "--store 'shrads' is neither files nor shards" in done.stderr


def a_photo(sha256: str) -> Photo:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    key: dict[str, Any] = {"source": "s", "post_id": sha256, "position": 0, "url": "u"}
    return Photo(**key, status=PhotoStatus.OK, attempt=1, fetched_at=at, sha256=sha256, format="JPEG")


def test_a_run_that_is_copied_out_of_an_object_store_is_read_as_it_is(s3: Store, tmp_path: Path) -> None:
    run, images = Run(s3.at("run")), contents(20)
    run.keep_images_as(None)
    run.images.adopt(files(tmp_path / "in", images))
    for name, content in images.items():
        path = run.images.layout.path(name, ("JPEG", "PNG", "MPO", "WEBP")[int(name[:1], 16) % 4])
        assert path.startswith(f"images/{name[:3]}/")
        (tmp_path / "copy" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / path).write_bytes(run.storage.read(path))
        assert run.storage.read(path) == content
    (tmp_path / "copy/run.json").write_bytes(run.storage.read("run.json"))
    assert opened(Run(tmp_path / "copy"), images) == images


def test_an_image_of_a_shard_is_one_request_and_found_where_it_was_merged(s3: Store, tmp_path: Path) -> None:
    run, images, more = Run(s3.at("run")), contents(12, size=200_000), contents(3, 1)
    run.keep_images_as(SHARDS)
    for some in (images, more):
        given = files(tmp_path / "in", some)
        places = run.images.adopt(given)
        run.images.record([(name, place) for (_, name, _), place in zip(given, places, strict=True) if place])
    with s3.behind(Proxy()) as proxy:
        reader, first = Run(s3.at("run")), dict(list(images.items())[:1])
        assert opened(reader, first) == first
        proxy.asked.clear()
        assert opened(reader, images) == images
        assert [method for method, _ in proxy.asked] == ["GET"] * 12
        assert all(".tar" in path for _, path in proxy.asked)
        run.images.tidy()
        assert opened(reader, images | more) == images | more
    assert len(run.storage.names("images")) == 2


# By the stages


def asked_of(keeper: Callable[[Any], Any], layout: Layout, storage: Storage, folder: Path) -> list[dict[str, Any]]:
    """What is told by a process's keeper, given what is done with it."""
    said: list[dict[str, Any]] = []

    async def go() -> None:
        with ThreadPoolExecutor(1) as thread:
            kept = fetching._Keeper(ImageStore(storage, layout, memory=folder / "memory"), thread, said.append)
            running = asyncio.create_task(kept.run())
            await keeper((kept, said))
            kept.finish()
            await running

    asyncio.run(asyncio.wait_for(go(), 60))
    return said


def test_an_image_waits_for_others_for_a_while_and_not_for_good(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Layout, "settle_seconds", 0.05)
    images = contents(2)

    async def two(given: tuple[Any, list[dict[str, Any]]]) -> None:
        keeper, said = given
        for number, (file, name, kind) in enumerate(files(tmp_path / "in", images)):
            size = len(images[name])
            await keeper.room(size)
            keeper.keep(number, size, {"sha256": name, "size": size}, (file, name, kind))
            while len(said) <= number:  # nothing else comes, and the end neither
                await asyncio.sleep(0.01)

    said = asked_of(two, run.images.layout, run.storage, tmp_path)
    run.images.record([(each["sha256"], each["place"]) for each in said])
    assert opened(run, images) == images
    assert len(shards(run)) == 2


def test_images_that_wait_take_no_more_room_than_there_is(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "SHARD_BYTES", 10_000)
    monkeypatch.setattr(fetching, "_UNSETTLED_BYTES", 20_000)
    images, most = contents(80), 0

    async def many(given: tuple[Any, list[dict[str, Any]]]) -> None:
        nonlocal most
        keeper, said = given
        for number, (file, name, kind) in enumerate(files(tmp_path / "in", images)):
            size = len(images[name])
            await keeper.room(size)
            keeper.keep(number, size, {"sha256": name, "size": size}, (file, name, kind))
            most = max(most, sum(map(len, list(images.values())[: number + 1])) - sum(each["size"] for each in said))

    said = asked_of(many, run.images.layout, run.storage, tmp_path)
    assert [each["address"] for each in said] == list(range(80))
    assert 20_000 <= most < 23_000


def test_a_store_that_is_away_is_not_asked_for_what_still_waits(run: Run, tmp_path: Path) -> None:
    asked = []

    class Away(ImageStore):
        def adopt(self, files: Any) -> Any:
            asked.append(len(files))
            raise StorageError("away")

    async def go() -> None:
        with ThreadPoolExecutor(1) as thread:
            keeper = fetching._Keeper(Away(run.storage, Layout()), thread, lambda said: None)
            first, second = files(tmp_path / "in", contents(2))
            await keeper.room(1)
            keeper.keep(1, 1, {"size": 1}, first)
            keeper.finish()
            with pytest.raises(StorageError):
                await keeper.run()
            await keeper.room(1)
            keeper.keep(2, 1, {"size": 1}, second)
            with pytest.raises(StorageError):
                keeper.leave()

    asyncio.run(go())
    assert asked == [1]


def test_an_index_that_is_merged_while_it_is_read_is_read_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = {}
    for seed in range(8):
        keep(run, some := contents(1, seed))
        images |= some
    reader, before = Run(run.location), Run.batches

    def merged(self: Run, table: str, *columns: str, **options: Any) -> Iterator[Any]:
        for number, batch in enumerate(before(self, table, *columns, **options)):
            if number == 1 and self is reader:
                monkeypatch.undo()
                run.compact(INDEX)
            yield batch

    monkeypatch.setattr(Run, "batches", merged)
    assert opened(reader, images) == images
    assert run.storage.names(INDEX) == ["part-000001-000008.parquet"]
    (Path(run.location) / INDEX / "part-000001-000008.parquet").write_bytes(b"damaged")
    with pytest.raises(RunError, match="damaged"):
        opened(Run(run.location), images)


def drawn(number: int) -> bytes:
    """A small picture like no other."""
    chance = random.Random(number)
    return picture((chance.randrange(256), chance.randrange(256), chance.randrange(256)), (48 + number, 40))


def stamps(folder: str) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*") if path.is_file()}


def rows_of(run: Run) -> dict[str, list[dict[str, Any]]]:
    """Every table but the index, without the times of fetching, sorted."""
    found = {}
    for folder, *_ in os.walk(run.location):
        name = str(Path(folder).relative_to(run.location))
        if list(Path(folder).glob("*.parquet")) and name != INDEX:
            parts = [run.read_table(f"{name}/{path.name}") for path in Path(folder).glob("*.parquet")]
            rows = [row for part in parts if part is not None for row in part.to_pylist()]
            times = {"fetched_at", "collected_at"}
            found[name] = sorted(({k: v for k, v in row.items() if k not in times} for row in rows), key=str)
    return found


def test_a_run_in_shards_says_what_one_in_files_says(
    server: Server, listed: Callable[..., Listed], tmp_path: Path
) -> None:
    paths = [f"/{number}.jpg" for number in range(12)]
    for number, path in enumerate(paths):
        server.serve(path, drawn(number))
    server.serve("/again.jpg", drawn(3))
    source = listed(*([path] for path in paths), ["/again.jpg"], ["/none.jpg"])
    labels = find_labels("friendly-or-force")
    classifier = hp.Classifier("tiny", labels, device="cpu")
    tables = []
    for store in ("files", "shards"):
        run = Run(tmp_path / store)
        collect(run, source)
        assert download(run, store=store).statuses == {"ok": 13, "gone": 1}
        hp.classify(run, classifier)
        tables.append(rows_of(run))
    assert tables[0] == tables[1]
    (key,) = run.storage.names("embeddings")
    assert len(tables[0][f"embeddings/{key}"]) == 12
    assert len(shards(run)) == 1
    assert len(members(run)) == 12

    asked, before = len(server.asked), stamps(run.location)
    assert download(run).new == 0
    assert (len(server.asked), stamps(run.location)) == (asked, before)
    with pytest.raises(RunConflictError, match="store"):
        download(run, store="files")

    draw_sample(run, key, labels, 5)
    session = Session(run, key, labels)
    shown = session.next("anna").picture
    assert shown is not None
    assert session.jpeg(shown).startswith(b"\xff\xd8")
    for name in ("out.csv", "out.json"):
        done = export_labels(run, labels, tmp_path / name)
        assert (done.root, done.images) == (tmp_path, tmp_path / "out-images")
        if name == "out.csv":
            with (tmp_path / name).open(newline="") as file:
                places = {row["sha256"]: row["image"] for row in csv.DictReader(file)}
        else:
            tasks = [task["data"] for task in json.loads((tmp_path / name).read_text())]
            places = {row["sha256"]: row["image"].removeprefix("/data/local-files/?d=") for row in tasks}
        assert len(places) == 5
        for sha256, place in places.items():
            assert sha((tmp_path / place).read_bytes()) == sha256


KILLER = """
import os, signal, sys
from hashtag_photos.storage import Storage
from hashtag_photos.tables import photos_table
from hashtag_photos.stages import download
download.PART_ROWS = 40
place, left = sys.argv[1], int(sys.argv[2])
def killed_before(what, which):
    def wrapped(*words):
        global left
        left -= which(*words)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        what(*words)
    return wrapped
Storage._publish = staticmethod(killed_before(Storage._publish, lambda _, target: place in str(target)))
download._Parts.add = killed_before(download._Parts.add, lambda *_: place == "an outcome")
download.download(download.Run(sys.argv[3]), store="shards")
"""
#: before what the stage is killed: it hears of the nth address, or the nth file there becomes visible
KILLS = [("an outcome", 5), ("/images/index/", 1), ("/photos/", 2)]


@pytest.mark.slow
def test_a_download_into_shards_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    collect(run, sources.sample())
    for place, number in KILLS:
        words = [sys.executable, "-c", KILLER, place, str(number), run.location]
        done = subprocess.run(words, capture_output=True, timeout=60)
        assert done.returncode == -signal.SIGKILL, (place, number, done.stderr.decode())
    again = Run(run.location)
    assert download(again).statuses["ok"] == 103
    photos = [row for row in again.dataset("photos").to_table().to_pylist() if row["status"] == "ok"]
    assert len(photos) == 103
    for row in photos:
        with again.images.open(row["sha256"], row["format"]) as file:
            assert sha(file.read()) == row["sha256"]
    assert members(again).keys() == {file_name(row["sha256"], row["format"]) for row in photos}
    assert set(members(again).values()) == {1}
    assert not list(tmp_path.rglob(".tmp-*"))


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
def test_a_process_that_is_killed_while_images_wait_for_their_shard_costs_none(
    server: Server, listed: Callable[..., Listed], tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill() -> None:
        if not killed and len(server.asked) >= 25:
            killed.append(next(pid for pid in fetching_processes()))
            os.kill(killed[0], signal.SIGKILL)

    for number in range(30):
        server.serve(f"/{number}.jpg", drawn(number))
        before(server, f"/{number}.jpg", kill)
    run = Run(tmp_path / "run")
    collect(run, listed(*([f"/{number}.jpg"] for number in range(30))))
    assert download(run, store="shards").statuses == {"ok": 30}
    assert killed
    assert len(server.asked) > 40, "what waited was asked again"
    names = {file_name(sha(drawn(number)), "JPEG") for number in range(30)}
    assert members(run) == Counter(names)
    for number in range(30):
        with run.images.open(sha(drawn(number)), "JPEG") as file:
            assert file.read() == drawn(number)


def before(server: Server, path: str, what: Callable[[], object]) -> None:
    """Have something done before a path is answered."""
    good = server.answers[path]

    def answer(handler: Any) -> None:
        what()
        good(handler)

    server.answers[path] = answer


def fetching_processes() -> Iterator[int]:
    """The processes of the download stage that this one has."""
    for each in Path("/proc").iterdir():
        with suppress(OSError, IndexError):
            parent = int((each / "stat").read_text().rpartition(")")[2].split()[1]) if each.name.isdigit() else 0
            if parent == os.getpid() and b"hashtag_photos.stages.fetching" in (each / "cmdline").read_bytes():
                yield int(each.name)
