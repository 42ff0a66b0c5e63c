"""A Ray cluster on this machine, for the tests of a file: starting one takes seconds."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

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
