"""The download stage on a Ray cluster on this machine, and what makes a cluster one that can be used."""

import io
import itertools
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import Server, until
from PIL import Image
from ray_cluster import CPUS, Routed, another_node, cluster, comparable, fetching  # noqa: F401

from hashtag_photos import sources
from hashtag_photos.engines import find_engine, nodes
from hashtag_photos.engines import ray as engines_ray
from hashtag_photos.engines.ray import Ray
from hashtag_photos.errors import LabelSetError, RunError, StorageError, UsageError
from hashtag_photos.http import Limits
from hashtag_photos.manners import Manners
from hashtag_photos.records import Attachment, Post
from hashtag_photos.run import Run
from hashtag_photos.stages.collect import collect
from hashtag_photos.stages.download import download
from hashtag_photos.stages.worklist import mark_done, write_share
from hashtag_photos.tables import posts_table

pytestmark = [
    pytest.mark.usefixtures("cluster"),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc"),
]
ONE_BY_ONE = Manners(connections_per_host=1, rate_per_host=1000, attempts=1)
HOSTS = 4


@pytest.fixture
def of_hosts(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """A run of posts whose attachments, a picture each, are on hosts h0 to h3, of which the path says the name."""
    monkeypatch.setitem(sources._KINDS, "routed", Routed)

    def make(folder: Path, paths: list[str]) -> Run:
        run = Run(folder)
        run.ask(
            sources=[
                {"kind": "routed", "routes": {f"http://h{number}.invalid": server.base for number in range(HOSTS)}}
            ]
        )
        urls = [f"http://{path.split('/')[1]}.invalid{path}" for path in paths]
        posts = [Post(source="test", id=str(each), attachments=(Attachment(url=url),)) for each, url in enumerate(urls)]
        run.append("posts", posts_table(posts))
        for number, path in enumerate(paths):
            server.serve(path, noise(number))
        return run

    return make


def noise(seed: int) -> bytes:
    """A picture like no other."""
    out = io.BytesIO()
    Image.frombytes("RGB", (32, 24), random.Random(seed).randbytes(32 * 24 * 3)).save(out, "JPEG")
    return out.getvalue()


def each_host(count: int) -> list[str]:
    return [f"/h{number % HOSTS}/{number}.jpg" for number in range(count)]


def before_all(server: Server, what: Callable[[str, int], object]) -> None:
    """Have something done, with its host and how many were before, when a picture is asked for."""
    lock, asked = threading.Lock(), Counter[str]()

    def instead(good: Callable[[BaseHTTPRequestHandler], None]) -> Callable[[BaseHTTPRequestHandler], None]:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            host = handler.path.split("/")[1]
            with lock:
                asked[""] += 1
                number = asked[""]
            what(host, number)
            good(handler)

        return answer

    server.answers = {path: instead(good) for path, good in server.answers.items()}


def photos(run: Run) -> list[dict[str, Any]]:
    return run.dataset("photos").to_table().to_pylist()


def test_the_sample_gives_the_local_engines_table(tmp_path: Path) -> None:
    here, there = Run(tmp_path / "here"), Run(tmp_path / "there")
    for run in (here, there):
        collect(run, sources.sample())
    ours, theirs = download(here), download(there, engine=find_engine("ray"))
    assert ours == theirs
    assert comparable(here).equals(comparable(there))
    assert {each.name for each in (tmp_path / "here/images").rglob("*.*")} == {
        each.name for each in (tmp_path / "there/images").rglob("*.*")
    }
    assert download(there, engine=find_engine("ray")).new == 0


def test_four_workers_fetch_at_once_and_a_host_is_asked_as_if_there_were_one(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    paths, rate = each_host(80), 5.0
    run = of_hosts(tmp_path / "run", paths)
    inside, most, pids = Counter[str](), Counter[str](), set[int]()
    begun: dict[str, list[float]] = {f"h{number}": [] for number in range(HOSTS)}
    all_there, lock = threading.Event(), threading.Lock()

    def note(host: str, number: int) -> None:
        with lock:
            begun[host].append(time.monotonic())
            inside[host] += 1
            most[host] = max(most[host], inside[host])
            if all(begun.values()) and not all_there.is_set():
                pids.update(fetching())
                all_there.set()
        all_there.wait(100)  # a host is kept waiting until all of them are being asked
        time.sleep(0.01)
        with lock:
            inside[host] -= 1

    before_all(server, note)
    done = download(
        run,
        engine=find_engine("ray"),
        manners=Manners(connections_per_host=2, rate_per_host=rate, attempts=1),
        limits=Limits(read_timeout=120),  # workers need long to start on a busy machine
    )
    assert done.statuses == {"ok": 80}
    assert sorted(server.asked) == sorted(paths)
    assert len(pids) == CPUS == HOSTS
    assert max(most.values()) <= 2, f"two connections to a host were allowed: {most}"
    for host, times in begun.items():
        least = (len(times) - 1) / rate
        # who is asked by two gets there in half the time; the first request may have come late
        assert times[-1] - times[0] > 0.6 * least, f"{host} was asked faster than {rate} times a second"


def test_whoever_is_killed_nothing_is_lost_or_doubled(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    paths = each_host(120)
    run = of_hosts(tmp_path / "run", paths)
    killed: list[int] = []
    told = 0
    lock = threading.Lock()

    def listen(stage: str, done: int, total: int | None, note: str = "", detail: str = "") -> None:
        nonlocal told
        told = done

    def kill(host: str, number: int) -> None:
        time.sleep(0.01)
        with lock:  # all others wait with their answers
            if len(killed) < number // 30 < 3:  # a process that fetches, then a worker of Ray
                until(lambda: told >= len(set(server.asked)) - HOSTS)  # but for what is on its way
                were = fetching()
                (one, parent), *_ = were.items()
                gone = were.keys() if killed else {one}
                killed.append(parent if killed else one)
                os.kill(killed[-1], signal.SIGKILL)
                until(lambda: not gone & fetching().keys())  # with the worker, its round

    before_all(server, kill)
    assert download(run, engine=find_engine("ray"), manners=ONE_BY_ONE, progress=listen).statuses == {"ok": 120}
    assert len(killed) == 2
    assert sorted(row["post_id"] for row in photos(run)) == sorted(map(str, range(120)))
    # what was on its way when somebody was killed is asked again, and no more than that
    assert set(server.asked) == set(paths)
    assert len(server.asked) <= 120 + 1 + HOSTS
    until(lambda: not fetching())


@pytest.mark.slow
def test_workers_that_are_killed_again_and_again_end_the_stage_and_what_was_had_is_kept(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    run = of_hosts(tmp_path / "run", each_host(40))

    def kill(host: str, number: int) -> None:
        if number > 20:
            time.sleep(0.3)  # what was had is told
            for parent in fetching().values():
                with suppress(ProcessLookupError):
                    os.kill(parent, signal.SIGKILL)

    before_all(server, kill)
    with pytest.raises(RunError, match=r"times in a row the Ray cluster brought nothing.*the same command goes on"):
        download(run, engine=find_engine("ray"), manners=ONE_BY_ONE)
    had = [row["post_id"] for row in photos(run)]
    assert len(had) == len(set(had)) <= 20
    assert len(had) >= 10


DRIVER = """
import sys
from contextlib import contextmanager
import hashtag_photos.sources
from hashtag_photos.cli import main
from hashtag_photos.http import Local
from hashtag_photos.stages import download as stage

class Routed:
    def __init__(self, routes):
        self.routes = routes
    @contextmanager
    def local(self):
        yield Local(routes=self.routes)

hashtag_photos.sources._KINDS["routed"] = Routed
stage.PART_ROWS = 5
main()
"""


@pytest.mark.slow
def test_a_driver_that_is_killed_or_interrupted_goes_on_by_keys(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    run = of_hosts(tmp_path / "run", each_host(120))
    before_all(server, lambda host, number: time.sleep(0.02))
    (tmp_path / "driver.py").write_text(DRIVER)
    command = [sys.executable, tmp_path / "driver.py", "download", run.location, "--engine", "ray"]
    for how, least in ((signal.SIGKILL, 20), (signal.SIGTERM, 40)):
        driver = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        until(lambda least=least: len(photos(run)) >= least)  # type: ignore[misc]
        driver.send_signal(how)
        out, err = driver.communicate(timeout=60)
        assert out == f"on Ray: 1 node, {CPUS} CPUs, no GPU\n"
        if how == signal.SIGTERM:
            assert err == "interrupted; what was had is kept: the same command goes on from here\n"
            assert driver.returncode == 130
        until(lambda: not fetching())  # they leave by themselves
        rows = {f"/h{int(row['post_id']) % HOSTS}/{row['post_id']}.jpg" for row in photos(run)}
        server.asked.clear()
        if how == signal.SIGKILL:
            had = rows
    assert had < rows, "the second went on from where the first was killed"
    assert download(Run(run.location), engine=find_engine("ray")).statuses == {"ok": 120}
    assert len(photos(run)) == 120
    assert sorted(server.asked) == sorted(set(each_host(120)) - rows), "no address is asked again that has a row"


def test_a_worker_that_can_not_write_is_the_users_error(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    run = of_hosts(tmp_path / "run", each_host(8))
    for number in range(256):
        (tmp_path / "run/images").mkdir(exist_ok=True)
        (tmp_path / f"run/images/{number:02x}").touch()
    with pytest.raises(StorageError, match="a file stands where"):
        download(run, engine=find_engine("ray"), manners=ONE_BY_ONE)


def test_each_gives_outcomes_in_order_and_errors_as_themselves(tmp_path: Path) -> None:
    def slower(shared: int, item: int) -> tuple[int, int]:
        time.sleep(0.02 * (item % 3))
        return shared, item

    def refuse(shared: None, item: int) -> int:
        if item == 1:
            raise LabelSetError("no such thing", subject=item)
        return item

    def die_once(marker: str, item: int) -> int:
        with suppress(FileExistsError):
            if item == 2:
                Path(marker).touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        return item

    engine = find_engine("ray")
    assert list(engine.each(slower, 7, range(20))) == [(7, each) for each in range(20)]
    taken: list[int] = []
    outcomes = engine.each(slower, 7, (taken.append(each) or each for each in range(1000)))  # type: ignore[func-returns-value]
    assert next(outcomes) == (7, 0)
    assert len(taken) < 50, "few items are in memory at once"
    outcomes.close()  # type: ignore[attr-defined]
    with pytest.raises(LabelSetError, match="no such thing") as ours:
        list(engine.each(refuse, None, range(3)))
    assert ours.value.subject == 1
    with pytest.raises(ZeroDivisionError):
        list(engine.each(divmod, 1, [1, 0]))
    assert list(engine.each(die_once, str(tmp_path / "died"), range(4))) == [0, 1, 2, 3]
    assert (tmp_path / "died").exists()


# Clusters that can't be used


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://10.0.0.1:8265", "is not how a Ray cluster is named: give host and port of its head, such as"),
        ("ray://10.0.0.1:10001", "is for Ray Client.*run the command on a machine of the cluster"),
    ],
)
def test_an_address_of_another_kind(address: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UsageError, match=f"^RAY_ADDRESS={address} {said}"):
        find_engine("ray")


@pytest.mark.parametrize(("there", "said"), [(False, ".*refused"), (True, "what answers there is no Ray")])
def test_a_cluster_that_is_not_there(server: Server, there: bool, said: str) -> None:
    address = server.base.removeprefix("http://") if there else "127.0.0.1:1"
    code = "from hashtag_photos.engines import find_engine; find_engine('ray').place()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"RAY_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    error = done.stderr.splitlines()[-1]
    assert re.search(
        rf"the Ray cluster at RAY_ADDRESS={address} can't be joined \({said}\): start it, or leave", error
    ), done.stderr


def test_without_an_address_one_starts_here_and_no_other_that_runs_is_joined(cluster: str) -> None:  # noqa: F811
    code = (
        "import ray; from hashtag_photos.engines import find_engine; print(find_engine('ray').place()); "
        "print(ray.get_runtime_context().gcs_address)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    place, address = done.stdout.splitlines()
    assert re.fullmatch(r"on Ray: 1 node, \d+ CPUs?, no GPU", place)
    assert address != cluster
    assert done.stderr == ""


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'hashtag-photos\[ray\]'"):
        find_engine("ray")
    with pytest.raises(UsageError, match="no engine 'spark': choose local or ray"):
        find_engine("spark")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"software": (("numpy", "0"),)}, "has .*numpy [0-9.]+ instead of 0"),
        ({"token": "another"}, "doesn't see the run folder"),
    ],
)
def test_a_worker_on_a_node_that_nobody_checked_checks_itself(
    wrong: dict[str, Any],
    said: str,
    server: Server,
    of_hosts: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, engine = of_hosts(tmp_path / "run", each_host(4)), find_engine("ray")
    engine.place()
    monkeypatch.setattr(Ray, "_check", lambda *_: None)
    monkeypatch.setattr(nodes, "Fit", partial(made, nodes.Fit, wrong))
    with pytest.raises(RunError, match=said):
        download(run, engine=engine, manners=ONE_BY_ONE)
    assert server.asked == []


def made(fit: type[nodes.Fit], wrong: dict[str, Any], *given: Any) -> nodes.Fit:
    return replace(fit(*given), **wrong)


def test_a_cluster_that_others_keep_busy_is_waited_for_aloud(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    class Other:
        def is_there(self) -> bool:
            return True

    run, engine = of_hosts(tmp_path / "run", each_host(4)), find_engine("ray")
    engine.place()
    monkeypatch.setattr(engines_ray, "_LOOK_SECONDS", 0.2)
    other = ray.remote(Other).options(num_cpus=CPUS).remote()
    ray.get(other.is_there.remote())
    notes = []

    def told(stage: str, done: int, total: int | None, note: str = "", detail: str = "") -> None:
        notes.append(note)
        if "CPUs of the Ray cluster" in note:
            ray.kill(other)

    assert download(run, engine=engine, manners=ONE_BY_ONE, progress=told).statuses == {"ok": 4}
    assert "waits 1 s for CPUs of the Ray cluster: it had none to give for 0 s" in notes


def test_what_a_worker_can_not_do_is_told_in_a_line(tmp_path: Path) -> None:
    def broken(addresses: pa.Table) -> Iterator[list[Any]]:
        yield ["begun"]
        raise FileNotFoundError(f"no such thing\n{addresses.num_rows}")

    engine = find_engine("ray")
    engine.place()
    said = engine.stream([pa.table({"number": [1]})], broken)
    assert next(said) == "begun"
    with pytest.raises(RunError, match=r"^[0-9.]+, a node .*can't go on \(FileNotFoundError: no such thing\)") as ours:
        next(said)
    assert "in broken" in ours.value.__notes__[0]


def test_a_disk_that_is_full_where_a_worker_lists_its_share_is_the_users_error(tmp_path: Path) -> None:
    addresses = [("host", f"http://host/{number}") for number in range(10_000)]
    write_share(tmp_path / "whole", addresses)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(StorageError, match=f"^{tmp_path}: the list .*can't be kept there .*free some space"):
            write_share(tmp_path / "cut", addresses)
        with pytest.raises(StorageError, match=f"^{tmp_path}: the list .*can't be kept there"):
            mark_done(tmp_path / "whole", range(1, 10_001))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
def test_a_node_with_another_version_is_refused(tmp_path: Path) -> None:
    def take_time(seconds: float, item: int) -> int:
        time.sleep(seconds)
        return item

    engine = find_engine("ray")
    engine.place()
    facts = tmp_path / "hashtag_photos-9.9.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: hashtag-photos\nVersion: 9.9\n")
    match = r"a node of the Ray cluster, has hashtag-photos 9.9 instead of"
    outcomes = engine.each(take_time, 0.1, itertools.count())
    assert next(outcomes) == 0
    with another_node(PYTHONPATH=str(tmp_path)):
        with pytest.raises(RunError, match=match):  # it joined when the work was under way
            deque(outcomes, 0)
        with pytest.raises(RunError, match=match):
            engine.place()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts a file system")
def test_a_node_that_does_not_see_the_run_folder_is_refused(
    server: Server, of_hosts: Callable[..., Run], tmp_path: Path
) -> None:
    run = of_hosts(tmp_path / "run", each_host(4))
    engine = find_engine("ray")
    engine.place()
    hidden = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {tmp_path} && exec "$@"', "sh")
    refused = pytest.raises(RunError, match=r"doesn't see the run folder .*/run: choose one that all nodes share")
    with another_node(within=hidden), refused:
        download(run, engine=engine, manners=ONE_BY_ONE)
    assert server.asked == []
    assert json.loads((tmp_path / "run/run.json").read_text())["asked"]["sources"]
