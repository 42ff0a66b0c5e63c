"""A Ray cluster on this machine, for the tests of a file: starting one takes seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import until

from hashtag_photos.http import Local
from hashtag_photos.run import Run

CPUS = 4  # of which each does a share of a download; this machine may have fewer


@contextmanager
def running(*cpus: int) -> Iterator[str]:
    """A cluster with a node for each of these numbers of CPUs, while this is open; its address, also in RAY_ADDRESS:
    this process, and those it starts, join it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ[MARK] = uuid.uuid4().hex  # in the environment of all its processes
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    for number in cpus:
        cluster.add_node(num_cpus=number, object_store_memory=200 << 20, include_dashboard=False)
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        yield cluster.address
    finally:
        del os.environ["RAY_ADDRESS"]
        ray.shutdown()
        cluster.shutdown()


MARK = "OF_THIS_CLUSTER"


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of one node."""
    with running(CPUS) as address:
        yield address


@contextmanager
def another_node(*options: str, within: tuple[str, ...] = (), **environment: str) -> Iterator[None]:
    """A second machine in the cluster, as far as can be told here."""
    import ray

    def alive() -> set[str]:
        return {each["NodeID"] for each in ray.nodes() if each["Alive"]}

    before = alive()
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus", "1", *options]
    own = ["--address", os.environ["RAY_ADDRESS"], "--object-store-memory", str(100 << 20)]
    command = [*within, *start, *own]
    nodes = []

    def stands() -> bool:
        if not nodes or (nodes[-1].poll() is not None and len(nodes) < 3):  # on a busy machine it can end as it begins
            silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            nodes.append(subprocess.Popen(command, env=os.environ | environment, start_new_session=True, **silent))
        return bool(alive() - before)

    try:
        until(stands, 120)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(nodes[-1].pid, signal.SIGTERM)
        nodes[-1].wait()
        until(lambda: alive() <= before)


def fetching() -> dict[int, int]:
    """Processes that fetch, of this test's cluster, and their parents, which are Ray's workers."""
    found = {}
    for each in Path("/proc").iterdir():
        with suppress(OSError, IndexError):
            ours = each.name.isdigit() and os.environ[MARK].encode() in (each / "environ").read_bytes()
            if ours and b"hashtag_photos.stages.fetching" in (each / "cmdline").read_bytes():
                found[int(each.name)] = int((each / "stat").read_text().rpartition(")")[2].split()[1])
    return found


class Routed:
    """A source whose posts stand in the run already: only the way to its server is needed."""

    title = "a list"

    def __init__(self, routes: dict[str, str]) -> None:
        self.routes = routes

    @contextmanager
    def local(self) -> Iterator[Local]:
        yield Local(routes=self.routes)


def comparable(run: Run) -> pa.Table:
    """The photos but for when they were fetched, sorted."""
    table = run.dataset("photos").to_table()
    return table.drop_columns(["fetched_at"]).sort_by(
        [(name, "ascending") for name in ("source", "post_id", "position")]
    )
