"""Runs on a Ray cluster of two nodes, in a folder and in an object store that fails at times: their tables are those of
the local engine, to the byte, whoever dies."""

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import Server, picture_server, until
from object_store import Proxy, Store, new_bucket
from PIL import Image
from ray_cluster import MARK, Routed, another_node, comparable, fetching, running
from safetensors.torch import load_file, save_file

import hashtag_photos as hp
from hashtag_photos.engines import encoders, find_engine, nodes
from hashtag_photos.errors import ModelError, RunError
from hashtag_photos.manners import Manners
from hashtag_photos.models import bundled
from hashtag_photos.records import Attachment, Post
from hashtag_photos.stages import score
from hashtag_photos.tables import posts_table

QUICK = Manners(connections_per_host=4, rate_per_host=1_000)
MANY = 2_060  # more than duplicates.EXACT: pairs are found by sorting


@pytest.fixture(scope="module")
def store(moto: str) -> Iterator[Store]:
    """A bucket behind a proxy that fails, told by the environment of the cluster's processes, too."""
    with pytest.MonkeyPatch.context() as patch:
        there = new_bucket(moto, patch)
        with there.behind(Proxy(share=0.02)):
            yield there


@pytest.fixture(scope="module", autouse=True)
def cluster(store: Store) -> Iterator[str]:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers don't have this module
    with running(2, 2) as address:
        yield address


@pytest.fixture(scope="module")
def engine(cluster: str) -> Any:
    return find_engine("ray")


def classified(run: hp.Run, **how: Any) -> hp.Run:
    hp.classify(run, hp.Classifier("tiny", device="cpu", **how))
    return run


def copied(run: hp.Run, folder: Path) -> hp.Run:
    shutil.copytree(run.storage.local, folder, ignore=shutil.ignore_patterns(".*"))
    return hp.Run(folder)


def tables(run: hp.Run) -> dict[str, pa.Table]:
    """Vectors, groups, scores and robustness: by name, the parts of a table put together and sorted."""
    key = run.asked["model_key"]
    found = {f"embeddings/{key}": run.dataset(f"embeddings/{key}").to_table().sort_by("sha256")}
    for folder in (f"scores/{key}", "duplicates"):
        for name in run.storage.names(folder):
            found[f"{folder}/{name}"] = run.read_table(f"{folder}/{name}")
    return found


def report(run: hp.Run) -> dict[str, bytes]:
    """All that the report is made of, but for when and where it was made."""
    hp.summarize(run)
    names = [name for name in run.storage.names("report") if name.endswith(".csv")]  # tally.json holds the time
    assert names
    return {name: run.storage.read(f"report/{name}") for name in names}


def same(one: hp.Run, other: hp.Run) -> None:
    ours, theirs = tables(one), tables(other)
    assert ours.keys() == theirs.keys()
    assert len(ours) == 6, "vectors, groups, and two each of scores and robustness"
    for name, rows in ours.items():
        assert rows.num_rows
        assert rows.equals(theirs[name]), name


# The sample


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> hp.Run:
    run = hp.Run(tmp_path_factory.mktemp("sample") / "run")
    source = hp.sources.sample()
    hp.collect(run, source)
    hp.download(run)
    return run


@pytest.fixture(scope="module")
def sample_here(sample: hp.Run, tmp_path_factory: pytest.TempPathFactory) -> hp.Run:
    """Classified by the local engine."""
    return classified(copied(sample, tmp_path_factory.mktemp("local") / "run"))


def test_the_sample_is_classified_as_by_the_local_engine(
    sample: hp.Run, sample_here: hp.Run, engine: Any, tmp_path: Path
) -> None:
    there = classified(copied(sample, tmp_path / "ray"), engine=engine)
    same(sample_here, there)
    assert report(sample_here) == report(there)
    again = hp.classify(there, hp.Classifier("tiny", device="cpu", engine=engine))
    assert (again.new, again.scored) == (0, False)


def test_bf16_its_check_and_images_that_can_not_be_read_are_the_same(
    sample: hp.Run, engine: Any, tmp_path: Path
) -> None:
    runs = [copied(sample, tmp_path / name) for name in ("local", "ray")]
    for run in runs:
        gone, damaged, *_ = sorted(run.storage.local.glob("images/*/*"), key=lambda path: path.name)
        gone.unlink()
        damaged.write_bytes(b"overwritten")
    local, there = (
        hp.classify(run, hp.Classifier("tiny", device="cpu", precision="bf16", **how))
        for run, how in zip(runs, ({}, {"engine": engine}), strict=True)
    )
    assert (there.new, there.unreadable) == (local.new, local.unreadable) == (93, 2)
    same(*runs)
    key = f"{runs[0].asked['model_key']}/{runs[0].asked['labels']}"
    assert runs[0].used("checks", key)["images"] == 93
    assert runs[0].used("checks", key) == runs[1].used("checks", key)


# Errors are the user's own


def test_a_model_error_of_a_worker_is_the_users(sample: hp.Run, engine: Any, tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text(f'[classes.a]\nprompts = ["{"a b " * 70}"]\n[classes.b]\nprompts = ["a car"]\n')
    said = []
    for each in ({}, {"engine": engine}):
        classifier = hp.Classifier("tiny", str(tmp_path / "long.toml"), device="cpu", **each)
        with pytest.raises(ModelError, match=r"is longer than the \d+ tokens") as caught:
            classifier.sees(classifier.labels)
        assert type(caught.value) is ModelError
        said.append((str(caught.value), caught.value.subject))
    assert said[0] == said[1]


def test_vectors_that_are_no_numbers_are_the_users_error_too(sample: hp.Run, engine: Any, tmp_path: Path) -> None:
    shutil.copytree(bundled() / "tiny", tmp_path / "damaged")
    weights = load_file(tmp_path / "damaged/open_clip_model.safetensors")
    name = next(name for name in weights if name.startswith("visual") and weights[name].ndim == 4)
    weights[name][0] = float("nan")
    save_file(weights, tmp_path / "damaged/open_clip_model.safetensors")
    run = copied(sample, tmp_path / "run")
    with pytest.raises(ModelError, match="vectors that are no numbers"):
        hp.classify(run, hp.Classifier(f"local-dir:{tmp_path / 'damaged'}", device="cpu", engine=engine))
    assert not list(run.storage.local.glob("embeddings/*/*"))


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_a_device_that_no_node_has_is_said_to_be_none(engine: Any, device: str) -> None:
    with pytest.raises(ModelError, match=f"device '{device}'"):
        _ = hp.Classifier("tiny", device=device, precision="fp32", engine=engine).encoder


def test_an_actor_on_a_node_that_nobody_checked_checks_itself(
    sample: hp.Run, engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unmet, real = find_engine("ray"), nodes.Fit
    with monkeypatch.context() as patched:
        patched.setattr(type(engine), "_check", lambda *_: None)
        patched.setattr(nodes, "Fit", lambda software, *_: real((("numpy", "0"),)))
        with pytest.raises(RunError, match=r"has .*numpy [0-9.]+ instead of 0"):
            _ = hp.Classifier("tiny", device="cpu", engine=unmet).encoder
    for slot in unmet._models._slots[False]:
        slot.end()
    classifier = hp.Classifier("tiny", device="cpu", engine=engine)
    with monkeypatch.context() as patched:
        patched.setattr(type(engine), "_check", lambda *_: None)
        patched.setattr(nodes, "Fit", lambda software, where="", token="": real(software, where, token and "another"))
        with pytest.raises(RunError, match="doesn't see the run folder"):
            hp.classify(copied(sample, tmp_path / "run"), classifier)


@pytest.mark.slow  # a node that starts
@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="declares GPUs that aren't there")
def test_gpus_that_are_given_back_in_a_moment_are_waited_for(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    class Other:
        def is_there(self) -> bool:
            return True

    engine.nodes()  # it is joined
    with another_node("--num-gpus", "2"):
        other = ray.remote(Other).options(num_gpus=2, num_cpus=0).remote()
        ray.get(other.is_there.remote())
        with monkeypatch.context() as patched:
            patched.setattr(encoders, "_RELEASE_SECONDS", 0.0)
            with pytest.raises(ModelError, match=r"all GPUs of the Ray cluster \(2\) are taken by others"):
                encoders.Models(engine).slots("cuda")
        timer = threading.Timer(0.5, ray.kill, [other])
        timer.start()
        slots, device = encoders.Models(engine).slots("cuda")
        timer.join()
        assert (len(slots), device) == (2, "cuda"), "an actor on each"


# Workers and drivers that die, on a run of many pictures


@dataclass
class Many:
    """2,060 pictures that are noise, of which 60 were saved once more, on five hosts of a server, as posts."""

    server: Server
    posts: list[Post]
    local: hp.Run

    def begun(self, run: hp.Run) -> hp.Run:
        """The run, with the posts, and none of the pictures."""
        routes = {f"http://h{host}.invalid": self.server.base for host in range(5)}
        run.ask(sources=[{"kind": "routed", "routes": routes}])
        run.append("posts", posts_table(self.posts))
        return run


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Many]:
    """With a run of them by the local engine, in a folder."""
    chance = np.random.default_rng(8)
    with picture_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setitem(hp.sources._KINDS, "routed", Routed)
        found = Many(server, [], hp.Run(tmp_path_factory.mktemp("many") / "local"))
        for number in range(MANY - 60):
            coarse = Image.fromarray(chance.integers(0, 256, (6, 8, 3), np.uint8))
            image = coarse.resize((96, 72), Image.Resampling.BICUBIC)
            for quality in (90, 70)[: 2 if number < 60 else 1]:
                out = io.BytesIO()
                image.save(out, "JPEG", quality=quality)
                path = f"/{number}-{quality}.jpg"
                server.serve(path, out.getvalue())
                where = Attachment(url=f"http://h{number % 5}.invalid{path}")
                found.posts.append(Post(source="test", id=path, attachments=(where,)))
        run = found.begun(found.local)
        assert hp.download(run, manners=QUICK).statuses == {"ok": MANY}
        classified(run)
        yield found


def dying(marks: str, work: Callable[[Any, Any], Any], shared: Any, item: Any) -> Any:
    """Do some work, but die at the first try of each kind of it."""
    try:
        os.close(os.open(os.path.join(marks, work.__name__), os.O_CREAT | os.O_EXCL))  # noqa: PTH118
    except FileExistsError:
        return work(shared, item)
    os.kill(os.getpid(), signal.SIGKILL)


class Deadly:
    """An engine whose workers die once at each kind of work."""

    def __init__(self, engine: Any, marks: Path) -> None:
        self._engine = engine
        self._marks = str(marks)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def each(self, work: Callable[[Any, Any], Any], shared: Any, items: Iterable[Any]) -> Iterator[Any]:
        return self._engine.each(partial(dying, self._marks, work), shared, items)


def model_actors() -> set[int]:
    """The processes of this cluster that have models."""
    mark, found = os.environ[MARK].encode(), set()
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"ray::_Actor" in (place / "cmdline").read_bytes() and mark in (place / "environ").read_bytes():
                found.add(int(place.name))
    return found


@pytest.mark.slow  # 2,000 pictures, and workers that start anew
@pytest.mark.parametrize("where", ["a folder", "an object store, in shards"])
def test_whoever_dies_nothing_is_lost_or_doubled(
    where: str, many: Many, store: Store, engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = many.begun(hp.Run(tmp_path / "run" if where == "a folder" else store.at("many")))
    many.server.asked.clear()
    killed: set[int] = set()

    def kill_those_who_fetch() -> None:
        until(lambda: len(many.server.asked) >= 300)
        killed.update(fetching().values())
        for process in killed:
            os.kill(process, signal.SIGKILL)

    def kill_those_with_models(stage: str, done: int, total: int | None, note: str = "", detail: str = "") -> None:
        if stage == "embed" and done and not killed:
            killed.update(model_actors())
            for process in killed:
                os.kill(process, signal.SIGKILL)

    shards = None if where == "a folder" else "shards"
    killer = threading.Thread(target=kill_those_who_fetch, daemon=True)
    killer.start()
    assert hp.download(run, manners=QUICK, engine=engine, store=shards).statuses == {"ok": MANY}
    killer.join()
    assert killed
    killed.clear()
    assert comparable(many.local).equals(comparable(run))
    assert MANY <= len(many.server.asked) <= 2 * MANY, "what was on its way is asked again, once"
    (tmp_path / "marks").mkdir()
    monkeypatch.setattr(score, "_BATCH_ROWS", 500)
    classifier = hp.Classifier("tiny", device="cpu", engine=Deadly(engine, tmp_path / "marks"))
    done = hp.classify(run, classifier, progress=kill_those_with_models)
    assert len(killed) == 2, "one on each node"
    assert not killed & model_actors()
    assert {path.name for path in (tmp_path / "marks").iterdir()} == {"_alike", "_table", "_scored", "_counted"}
    assert (done.new, done.images, done.unreadable) == (MANY, MANY, 0)
    assert done.pictures < MANY - 40, "copies are found"
    same(many.local, run)
    assert report(many.local) == report(run)


DRIVER = """
import os, sys
import hashtag_photos as hp
from hashtag_photos.engines import find_engine
from hashtag_photos.stages import download, embed

embed.PART_ROWS = download.PART_ROWS = 32

def killing(stage, done, total, note="", detail=""):
    if stage == sys.argv[2] and done >= 64:
        os.kill(os.getpid(), 9)

run, engine = hp.Run(sys.argv[1]), find_engine("ray")
hp.collect(run, hp.sources.sample())
hp.download(run, engine=engine, progress=killing)
hp.classify(run, hp.Classifier("tiny", device="cpu", engine=engine), progress=killing)
"""


@pytest.mark.slow  # processes that start anew
@pytest.mark.parametrize("where", ["a folder", "an object store"])
def test_a_driver_that_was_killed_goes_on_where_it_was(
    where: str, sample_here: hp.Run, store: Store, engine: Any, tmp_path: Path
) -> None:
    address = str(tmp_path / "run") if where == "a folder" else store.at("sample")
    for stage in ("download", "embed"):
        died = subprocess.run(
            [sys.executable, "-c", DRIVER, address, stage], capture_output=True, text=True, timeout=240
        )
        assert died.returncode == -signal.SIGKILL, died.stderr
        if stage == "download":
            assert 32 <= hp.Run(address).dataset("photos").count_rows() < 100, "it was killed on its way"
    run = hp.Run(address)
    assert comparable(run).equals(comparable(sample_here))
    done = hp.classify(run, hp.Classifier("tiny", device="cpu", engine=engine))
    assert (done.new, done.images) == (95 - 64, 95)
    same(sample_here, run)
    assert report(sample_here) == report(run)


class Fatal(encoders._Actor):
    """Dies of the second batch, whenever it is asked for it, once the first one was heard."""

    def images(self, task: Any, images: Any) -> Iterator[Any]:
        if len(images) == 95:
            yield next(super().images(task, images))
            while not (Path(task.fit.where).parent / "heard").exists():  # no helper of ours: it is not on a worker
                time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow  # processes that start anew
def test_workers_that_die_again_and_again_end_it_and_what_came_is_kept(
    sample: hp.Run, engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(sample, tmp_path / "run")

    def heard(stage: str, done: int, *_: Any, **__: Any) -> None:
        if (stage, done) == ("embed", 32):
            (tmp_path / "heard").touch()

    with monkeypatch.context() as patched:
        patched.setattr(encoders, "_Actor", Fatal)
        with pytest.raises(RunError, match=r"3 workers of the Ray cluster died one after the other.*goes on from here"):
            hp.classify(run, hp.Classifier("tiny", device="cpu", engine=find_engine("ray")), progress=heard)
    done = hp.classify(run, hp.Classifier("tiny", device="cpu", engine=engine))
    assert (done.new, done.images) == (95 - 32, 95)
