"""What a run of many millions needs: a simulation of its queues, held against small real runs, and a plan made with it.

    python scripts/simulate_scaling.py --plan [--assume NAME=NUMBER ...]     the tables of SCALING.md
    python scripts/simulate_scaling.py --check [--rounds 3] [--json]         simulated beside measured, here and now
    … --write                                                                and put the tables into SCALING.md

Simulated are the two stages in which things wait for each other. In *download*, hands (as many for a host as it lets
connections be open) take an address, wait for their host's turn and for a seat, for the server, for the loop of their
process, for a thread that decodes, and all of these for the same cores. In *classify*, pictures are read and decoded in
a window of batches ahead of the model: side by side with a GPU, in turns with it where both have the same cores. What
isn't simulated: rests and retries of hosts, redirects, the network's bandwidth, disks. All else in a run (collecting,
grouping, scoring, the tally) is work that nobody waits for: seconds a million.

`--check` measures, in each round, what a picture costs in processor time, in runs of their own (a machine's speed
drifts); then it lets the simulation say how long other runs take, in which hosts, seats, loops, decoders or the model
are short, and does those: the download stage against a server on 127.0.0.1 with 64 host names, the classify stage with
random weights. Compared is the time from the first request to the last file written, and from the first batch to the
last. How long a run took sets nothing that is simulated. Where others use the cores, work is taken to be as much slower
as it is when they get their share, by how many there were before it began and after it ended: on an idle machine none.

What the plan is made from stands in `Assumptions`: each number with where it is from, and each can be changed with
--assume. Prices are assumed, not looked up.
"""

from __future__ import annotations

import argparse
import functools
import heapq
import itertools
import json
import math
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
SCALING = REPOSITORY / "SCALING.md"
CHECKED = "Does the simulation say what happens?"
SECONDS_A_DAY = 86_400

# The event loop


class Pool:
    """Places that are taken and left: first come, first served."""

    def __init__(self, places: int) -> None:
        self.free = places
        self.waiting: deque[Steps] = deque()


#: what somebody does: yields seconds that pass, or a Pool of which it needs a place
Steps = Generator["float | Pool", None, None]


class Clock:
    """Runs steps in the order of simulated time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Steps]] = []
        self._numbers = itertools.count()

    def start(self, steps: Steps, after: float = 0.0) -> None:
        """Have somebody begin."""
        heapq.heappush(self._due, (self.now + after, next(self._numbers), steps))

    def leave(self, pool: Pool) -> None:
        """Give a place back: to whoever waits longest, if anybody does."""
        if pool.waiting:
            self.start(pool.waiting.popleft())
        else:
            pool.free += 1

    def run(self) -> float:
        """Until nobody has anything left to do; when that is."""
        while self._due:
            self.now, _, steps = heapq.heappop(self._due)
            wanted = next(steps, None)
            if isinstance(wanted, Pool):
                if wanted.free:
                    wanted.free -= 1
                    self.start(steps)
                else:
                    wanted.waiting.append(steps)
            elif wanted is not None:
                self.start(steps, wanted)
        return self.now


# Downloading


@dataclass(frozen=True)
class Host:
    """A server: so many addresses, answered after `latency` seconds, on so many connections at so many a second."""

    addresses: int
    latency: float = 0.1
    connections: int = 6
    rate: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Fetching:
    """A machine that downloads, and what a picture costs it, in seconds of a core: `loop` in the one thread that does
    a process's requests, `decode` in any of its threads that look at pictures (0: nobody looks), `row` in the stage's
    own process, which works on a part of so many at a time, `serve` in that of the server, where it is on the same
    machine.
    """

    cores: int
    processes: int = 1
    seats: int = 32
    loop: float
    decode: float
    row: float
    part: int = 1_000
    serve: float = 0.0

    def slower(self, times: float) -> Fetching:
        """The machine while others use its cores, so that all work on it takes so many times as long."""
        costs = {name: getattr(self, name) * times for name in ("loop", "decode", "row", "serve")}
        return replace(self, **costs)


def download_seconds(hosts: Sequence[Host], machine: Fetching) -> float:
    """How long it takes from the first request until the last picture is kept."""
    clock = Clock()
    cores, stage, server = Pool(machine.cores), Pool(1), Pool(1)
    loads = [(0, number) for number in range(machine.processes)]
    rows = 0
    last = 0.0

    def working(pool: Pool, seconds: float) -> Steps:
        yield pool
        yield cores
        yield seconds
        clock.leave(cores)
        clock.leave(pool)

    def write(count: int) -> Steps:
        nonlocal last
        yield from working(stage, machine.row * count)
        last = clock.now

    def hand(host: Host, left: list[int], turn: list[float], seats: Pool, loop: Pool, lookers: Pool) -> Steps:
        nonlocal rows
        while left[0]:
            left[0] -= 1
            while True:
                if turn[0] > clock.now:
                    yield turn[0] - clock.now
                    continue
                yield seats
                if turn[0] <= clock.now:
                    break
                clock.leave(seats)  # while this waited for a seat, another request of the host went first
            turn[0] = max(turn[0], clock.now) + 1 / host.rate
            if machine.serve:
                yield from working(server, machine.serve)
            yield host.latency
            yield from working(loop, machine.loop)
            clock.leave(seats)
            if machine.decode:
                yield from working(lookers, machine.decode)
            rows += 1
            if rows % machine.part == 0:
                clock.start(write(machine.part))

    processes = [(Pool(machine.seats), Pool(1), Pool(max(1, machine.cores // machine.processes))) for _ in loads]
    for host in sorted(hosts, key=lambda host: -host.addresses):  # as the worklist shares them out
        load, number = heapq.heappop(loads)
        heapq.heappush(loads, (load + host.addresses, number))
        left, turn = [host.addresses], [0.0]
        for _ in range(min(host.connections, host.addresses)):
            clock.start(hand(host, left, turn, *processes[number]))
    clock.run()
    clock.start(write(rows % machine.part))
    clock.run()
    return last


def download_bound(hosts: Sequence[Host], machine: Fetching) -> tuple[float, str]:
    """The least that it can take, and what it is that takes so long: where nothing is waited for but the scarcest."""
    count = sum(host.addresses for host in hosts)
    each = machine.loop + machine.decode + machine.row + machine.serve
    slowest = max(hosts, key=lambda host: host.addresses * max(1 / host.rate, host.latency / host.connections))
    bounds = {
        "one host": slowest.addresses * max(1 / slowest.rate, slowest.latency / slowest.connections),
        "cores": count * each / machine.cores,
        "fetch loops": count * machine.loop / machine.processes,
        "the stage's own process": count * machine.row,
        "seats": sum(host.addresses * host.latency for host in hosts) / (machine.seats * machine.processes),
    }
    scarcest = max(bounds, key=lambda name: bounds[name])
    return bounds[scarcest], scarcest


# Classifying


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """A machine that classifies: `prepare` is a core's seconds to decode and resize a picture, `read` the seconds until
    it has come from where it is kept (nobody's core works meanwhile, but a thread waits), `forward` the model's seconds
    for a batch. With `apart` pictures are prepared between batches, since the model needs the same cores.
    """

    cores: int
    batch: int = 32
    window: int = 4
    prepare: float
    forward: float
    read: float = 0.0
    apart: bool = False
    threads: int | None = None


def encode_seconds(pictures: int, machine: Encoding) -> float:
    """How long it takes from the first file read to the last batch's vectors."""
    clock = Clock()
    cores, threads = Pool(machine.cores), Pool(machine.threads or machine.cores)
    batches = [min(machine.batch, pictures - begin) for begin in range(0, pictures, machine.batch)]
    done = [Pool(0) for _ in batches]  # a place in it for each picture that is ready

    def picture(batch: int) -> Steps:
        yield threads
        if machine.read:
            yield machine.read
        yield cores
        yield machine.prepare
        clock.leave(cores)
        clock.leave(threads)
        clock.leave(done[batch])

    def prepare(batch: int) -> None:
        if batch < len(batches):
            for _ in range(batches[batch]):
                clock.start(picture(batch))

    def ready(batch: int) -> Steps:
        for _ in range(batches[batch]):
            yield done[batch]

    def model() -> Steps:
        if not machine.apart:
            for batch in range(machine.window):
                prepare(batch)
        for batch, size in enumerate(batches):
            if machine.apart and batch % machine.window == 0:
                several = range(batch, min(batch + machine.window, len(batches)))
                for each in several:
                    prepare(each)
                for each in several:
                    yield from ready(each)
            elif not machine.apart:
                yield from ready(batch)
                prepare(batch + machine.window)
            yield machine.forward * size / machine.batch

    clock.start(model())
    return clock.run()


def vit_gflop(width: int, layers: int, size: int, patch: int) -> float:
    """What a vision transformer computes for a picture, in 10^9 operations (a multiply-add is two)."""
    tokens = (size // patch) ** 2 + 1
    return 2e-9 * layers * (12 * width**2 * tokens + 2 * tokens**2 * width)


MODELS = {
    "ViT-B-32": vit_gflop(768, 12, 224, 32),
    "PE-Core-B-16": vit_gflop(768, 12, 224, 16),
    "PE-Core-L-14-336": vit_gflop(1024, 24, 336, 14),
}


# The plan


def number(value: float, what: str, source: str) -> Any:
    """A number of the plan: what it is, with its unit, and where it is from."""
    return field(default=value, metadata={"what": what, "source": source})


MEASURED = "measured, BENCHMARKS.md"
PRICE = "assumed list price, 2026-11, not looked up"


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """The numbers that the plan is made from."""

    attachments: float = number(1.0, "attachments a post", "assumed")
    had: float = number(0.9, "of attachments, could be had", "assumed")
    distinct: float = number(0.8, "of those, images of their own", "assumed")
    picture_kb: float = number(214, "kB a picture", MEASURED + " (corpus made as platforms serve)")
    latency: float = number(0.2, "s until a host's picture is there", "assumed")
    collect: float = number(46.3, "core s for 1,000,000 posts collected from CSV", MEASURED)
    fetch: float = number(1.42, "core s for 1,000 pictures fetched and kept", MEASURED)
    verify: float = number(
        7.03, "core s for 1,000 pictures decoded to prove them whole", MEASURED + " (8.45 less 1.42)"
    )
    row: float = number(0.15, "of `fetch`, core s for 1,000 rows in the stage's one writer", "measured by --check")
    prepare: float = number(12, "core ms to decode and resize a picture for the model", MEASURED)
    core_gflops: float = number(132, "GFLOP/s of a core in the model", MEASURED + " (ViT-B-32: 65 ms for 8.6 GFLOP)")
    store_ms: float = number(30, "ms until the object store has answered a request", "assumed")
    read_requests: float = number(2, "requests to read an image: how large it is, and its bytes", "by the code")
    readers: float = number(32, "images read at once from the object store, or as many as cores", "by the code")
    gpu_share: float = number(0.4, "of a GPU's bf16 peak that a model reaches", "assumed; no GPU was tried")
    l4_tflops: float = number(121, "TFLOP/s, bf16 peak of an NVIDIA L4", "vendor's data sheet")
    a100_tflops: float = number(312, "TFLOP/s, bf16 peak of an NVIDIA A100", "vendor's data sheet")
    group: float = number(395, "core s to group 1,000,000 images", MEASURED + " (197.6 s of two cores)")
    group_power: float = number(
        1.29, "power of the number with which that grows", MEASURED + " (100,000 took 10.1 s of two cores)"
    )
    group_gb: float = number(3.6, "GB of memory to group 1,000,000", MEASURED)
    score: float = number(5.5, "core s to score 1,000,000 vectors, robustness too", MEASURED)
    tally: float = number(9.1, "s for tally and its files of 1,000,000 posts", MEASURED)
    tally_gb: float = number(1.5, "GB of memory for that", MEASURED)
    vector_bytes: float = number(2048, "bytes a vector (1,024 numbers, float16)", "by the format")
    row_bytes: float = number(1500, "bytes a row of photos (1,024 of them its thumbnail)", "by the format, estimated")
    post_bytes: float = number(400, "bytes a post", "estimated")
    shard_mb: float = number(256, "MB at which a shard is closed", "by the code")
    shard_s: float = number(15, "s after which it is closed in any case", "by the code")
    upload_mb: float = number(10, "MB a request of an upload in parts", "Arrow's default")
    core_hour: float = number(0.045, "$ a core and hour, on demand", PRICE)
    l4_hour: float = number(1.3, "$ an hour for 16 cores with an L4", PRICE)
    a100_hour: float = number(3.7, "$ an hour for 12 cores with an A100", PRICE)
    gb_month: float = number(0.023, "$ a GB and month in an object store", PRICE)
    put: float = number(0.005, "$ for 1,000 writing requests", PRICE)
    get: float = number(0.0004, "$ for 1,000 reading requests", PRICE)


SIZES = (1_000_000, 10_000_000, 100_000_000)
#: cores of the machines that download, and of those that do everything else
MACHINES = (2, 4, 8, 16)
CORES = 16
#: how posts are spread over hosts that serve their pictures
MIXES = {
    "one host (X: pbs.twimg.com; Bluesky: cdn.bsky.app)": 1,
    "ten alike": 10,
    "1,000 hosts, the nth with a share like 1/n (Mastodon)": 1_000,
    "10,000 alike": 10_000,
}
#: how many L4s classify
GPUS = dict(zip(SIZES, (1, 4, 32), strict=True))
_SIMULATED = 10_000  # pictures of which a steady state is simulated


def shares(hosts: int, zipf: bool) -> list[float]:
    """What part of all pictures each host has."""
    weights = [1 / (number + 1) if zipf else 1.0 for number in range(hosts)]
    return [weight / sum(weights) for weight in weights]


def fetching(known: Assumptions, cores: int) -> Fetching:
    """A machine of the plan that downloads, with a fetch process for four cores."""
    return Fetching(
        cores=cores,
        processes=min(4, max(1, cores // 4)),
        loop=(known.fetch - known.row) / 1000,
        decode=known.verify / 1000,
        row=known.row / 1000,
    )


def encoding(known: Assumptions, gflop: float, cores: int, tflops: float, read: float) -> Encoding:
    """A machine of the plan that classifies, with a GPU of so many TFLOP/s, or without (0)."""
    speed = tflops * 1000 * known.gpu_share if tflops else known.core_gflops * cores
    return Encoding(
        cores=cores,
        prepare=known.prepare / 1000,
        forward=32 * gflop / speed,
        read=read,
        threads=max(cores, int(known.readers)) if read else cores,
        apart=not tflops,
    )


def lasts(seconds: float) -> str:
    """A time as people say it."""
    for unit, length in (("days", SECONDS_A_DAY), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            value = seconds / length
            return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"


def rounded(value: float) -> str:
    """Two digits that say something, as people write numbers."""
    if value <= 0:
        return "0"
    digits = 1 - math.floor(math.log10(value))
    return f"{round(value, digits):,.{max(0, digits)}f}"


def million(posts: int) -> str:
    """The head of a column."""
    return f"{posts // 10**6} M posts"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _assumed(known: Assumptions) -> str:
    rows = [
        [f"`{each.name}`", f"{getattr(known, each.name):g}", each.metadata["what"], each.metadata["source"]]
        for each in fields(known)
    ]
    return table(["name", "number", "what", "from"], rows)


def host_seconds(known: Assumptions, mix: str, posts: int) -> float:
    """What the hosts of a mix take to serve all pictures, whoever asks."""
    pictures = posts * known.attachments
    parts = shares(MIXES[mix], "1/n" in mix)
    machine = Fetching(cores=10**9, seats=10**9, loop=0.0, decode=0.0, row=0.0)
    return download_bound([Host(max(1, round(part * pictures)), known.latency) for part in parts], machine)[0]


def machine_speed(known: Assumptions, cores: int) -> float:
    """Pictures a second of a machine that hosts don't hold up, simulated."""
    return _SIMULATED / _seconds(_some_hosts(known), fetching(known, cores))


def _some_hosts(known: Assumptions) -> tuple[Host, ...]:
    return (Host(_SIMULATED // 1000, known.latency),) * 1000


_seconds = functools.cache(download_seconds)


def _download(known: Assumptions) -> str:
    """How long hosts take, whatever the machines; and how fast machines are that hosts don't hold up."""
    hosts = [
        [
            mix,
            *(lasts(host_seconds(known, mix, posts)) for posts in SIZES),
            f"{SIZES[0] * known.attachments / host_seconds(known, mix, SIZES[0]):,.0f}/s",
        ]
        for mix in MIXES
    ]
    machines = []
    for cores in MACHINES:
        speed = machine_speed(known, cores)
        _, why = download_bound(_some_hosts(known), fetching(known, cores))
        machines.append(
            [str(cores), f"{speed:,.0f}/s", why, *(lasts(posts * known.attachments / speed) for posts in SIZES)]
        )
    return "\n\n".join(
        [
            table(["all pictures are on", *(million(posts) for posts in SIZES), "pictures at most"], hosts),
            table(["cores", "pictures, simulated", "held up by", *(million(posts) for posts in SIZES)], machines),
        ]
    )


def read_seconds(known: Assumptions) -> float:
    """Until an image has come from the object store."""
    return known.read_requests * known.store_ms / 1000


def encode_speed(known: Assumptions, model: str, cores: int, tflops: float, read: float) -> float:
    """Images a second of a machine of the plan, simulated."""
    return _SIMULATED / _encoded(_SIMULATED, encoding(known, MODELS[model], cores, tflops, read))


_encoded = functools.cache(encode_seconds)


def _encode(known: Assumptions) -> str:
    rows = []
    machines = (
        (f"{CORES} cores, no GPU", CORES, 0.0, CORES * known.core_hour),
        (f"L4, {CORES} cores", CORES, known.l4_tflops, known.l4_hour),
        ("A100, 12 cores", 12, known.a100_tflops, known.a100_hour),
    )
    images = known.attachments * known.had * known.distinct
    for model in ("PE-Core-L-14-336", "PE-Core-B-16"):
        for name, cores, tflops, price in machines:
            here, far = (encode_speed(known, model, cores, tflops, read) for read in (0.0, read_seconds(known)))
            hours = [posts * images / far / 3600 for posts in SIZES]
            costs = (f"{lasts(3600 * each)}, ${rounded(each * price)}" for each in hours)
            rows.append([model, name, f"{rounded(here)}/s", f"{rounded(far)}/s", *costs])
    return table(["model", "machine", "files here", "object store", *(million(posts) for posts in SIZES)], rows)


def group_seconds(known: Assumptions, images: float) -> float:
    """Of one machine of the plan."""
    return known.group * (images / 1e6) ** known.group_power / CORES


def images_of(known: Assumptions, posts: int) -> float:
    """Distinct images."""
    return posts * known.attachments * known.had * known.distinct


def _rest(known: Assumptions) -> str:
    """What grows with the run, on one machine: seconds and memory."""

    def row(name: str, seconds: Callable[[int], float], memory: Callable[[int], float] | None = None) -> list[str]:
        return [name, *(lasts(seconds(n)) + (f", {rounded(memory(n))} GB" if memory else "") for n in SIZES)]

    rows = [
        row("collect, one core", lambda n: n / 1e6 * known.collect),
        row(
            f"group, {CORES} cores",
            lambda n: group_seconds(known, images_of(known, n)),
            lambda n: known.group_gb * images_of(known, n) / 1e6,
        ),
        row("score, one core", lambda n: known.score * images_of(known, n) / 1e6),
        row("tally, two cores", lambda n: known.tally * n / 1e6, lambda n: known.tally_gb * n / 1e6),
    ]
    return table(["stage, on one machine", *(million(posts) for posts in SIZES)], rows)


def gigabytes(known: Assumptions, posts: int) -> float:
    """Images and tables."""
    rows = posts * (known.post_bytes + known.attachments * known.row_bytes)
    return (images_of(known, posts) * (known.picture_kb * 1000 + known.vector_bytes) + rows) / 1e9


def shards(known: Assumptions, posts: int, rate: float = math.inf) -> float:
    """How many hold all images, where each process asks for so many pictures a second."""
    megabytes = min(known.shard_mb, rate * known.had * known.distinct * known.shard_s * known.picture_kb / 1000)
    return images_of(known, posts) * known.picture_kb / 1000 / megabytes


def writing(known: Assumptions, posts: int, rate: float = math.inf) -> float:
    """Dollars for writing images as shards: a request for each `upload_mb`, one at least for each shard."""
    uploads = images_of(known, posts) * known.picture_kb / 1000 / known.upload_mb
    return max(uploads, shards(known, posts, rate)) * known.put / 1000


def reading(known: Assumptions, posts: int) -> float:
    """Dollars for reading each image once."""
    return images_of(known, posts) * known.read_requests * known.get / 1000


def _whole(known: Assumptions) -> str:
    """A whole run: for each size and spread of hosts, machines, time and money, a stage after the other."""
    rows = []
    speeds = {cores: machine_speed(known, cores) for cores in MACHINES}
    encoded = encode_speed(known, "PE-Core-L-14-336", CORES, known.l4_tflops, read_seconds(known))
    for mix in (name for name in MIXES if MIXES[name] in (1, 1000)):
        for posts in SIZES:
            hosts = host_seconds(known, mix, posts)
            wanted = posts * known.attachments / hosts
            cores = next((cores for cores in MACHINES if speeds[cores] >= wanted), MACHINES[-1])
            download = max(hosts, posts * known.attachments / speeds[cores]) / 3600
            rate = posts * known.attachments / (3600 * download) / fetching(known, cores).processes
            gpus = GPUS[posts]
            classify = images_of(known, posts) / encoded / gpus / 3600
            alone = (group_seconds(known, images_of(known, posts)) + posts / 1e6 * (known.tally + known.collect)) / 3600
            memory = max(known.group_gb * images_of(known, posts), known.tally_gb * posts) / 1e6
            dollars = [
                download * cores * known.core_hour,
                classify * gpus * known.l4_hour,
                alone * CORES * known.core_hour,
                gigabytes(known, posts) * known.gb_month,
                writing(known, posts, rate) + reading(known, posts),
            ]
            rows.append(
                [
                    f"{million(posts)}, {mix.split(' (')[0]}",
                    f"{cores} cores, {lasts(download * 3600)}, ${rounded(dollars[0])}",
                    f"{gpus} L4, {lasts(classify * 3600)}, ${rounded(dollars[1])}",
                    f"{rounded(memory)} GB, {lasts(alone * 3600)}, ${rounded(dollars[2])}",
                    f"{rounded(gigabytes(known, posts))} GB, ${rounded(dollars[3] + dollars[4])}",
                    f"{lasts((download + classify + alone) * 3600)}, ${rounded(sum(dollars))}",
                ]
            )
    head = ["posts, hosts", "download", "classify, large", "the rest, 16 cores", "a month of storage", "in all"]
    return table(head, rows)


def _storage(known: Assumptions) -> str:
    def row(name: str, said: Callable[[int], str]) -> list[str]:
        return [name, *(said(posts) for posts in SIZES)]

    def dollars(amount: float) -> str:
        return f"${rounded(amount)}"

    rows = [
        row("distinct images", lambda n: f"{images_of(known, n) / 1e6:.1f} M"),
        row("images and tables, GB", lambda n: rounded(gigabytes(known, n))),
        row("a month of that", lambda n: dollars(gigabytes(known, n) * known.gb_month)),
        row("objects, as files", lambda n: rounded(images_of(known, n))),
        row(f"objects, as shards of {known.shard_mb:.0f} MB", lambda n: rounded(shards(known, n))),
        row("objects, as shards, from one host", lambda n: rounded(shards(known, n, Host(1).rate))),
        row("writing images as files", lambda n: dollars(images_of(known, n) * known.put / 1000)),
        row("writing them as shards", lambda n: dollars(writing(known, n))),
        row("reading each image once, either way", lambda n: dollars(reading(known, n))),
    ]
    return table(["in an object store", *(million(posts) for posts in SIZES)], rows)


def plan(known: Assumptions) -> dict[str, str]:
    """The tables of SCALING.md, by the heading that they stand under."""
    return {
        "A whole run": _whole(known),
        "Download": _download(known),
        "Classify": _encode(known),
        "Everything else": _rest(known),
        "Storage": _storage(known),
        "What this is made from": _assumed(known),
    }


def assumed(changes: Sequence[str]) -> Assumptions:
    """The assumptions with some changed, given as NAME=NUMBER. Raises SystemExit for what is none of them."""
    names, numbers = [each.name for each in fields(Assumptions)], {}
    for change in changes:
        name, _, number = change.partition("=")
        try:
            numbers[name] = float(number)
        except ValueError:
            raise SystemExit(f"--assume {change}: write NAME=NUMBER, such as core_hour=0.05") from None
        if name not in names:
            raise SystemExit(f"--assume {change}: there is no {name}; there are {', '.join(names)}")
    return Assumptions(**numbers)


# The check: small real runs


@dataclass(frozen=True, kw_only=True)
class Mix:
    """A real download: so many pictures of each host, which answers after `latency` seconds."""

    name: str
    hosts: Sequence[tuple[int, int, float]]  # how many such hosts, addresses of each, latency
    rate: float = 30.0
    decode: bool = True

    @property
    def pictures(self) -> int:
        return sum(count * addresses for count, addresses, _ in self.hosts)

    def simulated(self) -> list[Host]:
        return [Host(n, latency, rate=self.rate) for count, n, latency in self.hosts for _ in range(count)]


#: runs of which only the processor time counts: what a picture costs, without and with decoding
CALIBRATION = (
    Mix(name="bytes", hosts=((48, 80, 0.0),), rate=1000.0, decode=False),
    Mix(name="decoded", hosts=((48, 16, 0.0),), rate=1000.0),
)
MIXES_HERE = (
    Mix(name="one host, 30 a second", hosts=((1, 150, 0.05),)),
    Mix(name="one large host, thirty small ones", hosts=((1, 150, 0.1), (30, 12, 0.2))),
    Mix(name="eight hosts that take 200 ms", hosts=((8, 100, 0.2),), rate=1000.0),
    Mix(name="64 hosts that take 500 ms: seats", hosts=((64, 7, 0.5),), decode=False),
    Mix(name="bytes as fast as it goes", hosts=((64, 70, 0.0),), decode=False, rate=1000.0),
    Mix(name="decoded as fast as it goes", hosts=((64, 16, 0.0),), rate=1000.0),
    Mix(name="decoded, of hosts that take 300 ms", hosts=((16, 60, 0.3),), rate=1000.0),
)


def serve(photos: Path) -> None:
    """A server's process: bench_download.py's, which here answers /LATENCY/NUMBER.jpg after so many ms."""
    import asyncio

    import bench_download

    class Late(bench_download.Serving):
        def answer(self, path: str) -> None:
            late, _, name = path.partition("/")
            if late == "stats":
                self.stats["cpu"] = sum(os.times()[:2])
            if not name or late == "0":
                return super().answer(name or late)
            asyncio.get_running_loop().call_later(int(late) / 1000, super().answer, name)

    Late.bodies = bench_download.pictures(photos)

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Late, "127.0.0.1", 0, backlog=1000)
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await server.serve_forever()

    asyncio.run(forever())


def fetch(folder: Path, base: str, mix: Mix) -> None:
    """The download stage in a process of its own: says how it went, and what its processor time was."""
    from hashtag_photos import sources
    from hashtag_photos.http import Limits, Local
    from hashtag_photos.manners import Manners
    from hashtag_photos.records import Attachment, Post
    from hashtag_photos.run import Run
    from hashtag_photos.stages import silent
    from hashtag_photos.stages.download import _download
    from hashtag_photos.stages.engine import LOCAL
    from hashtag_photos.tables import posts_table

    routes, urls, numbers = {}, [], itertools.count()
    for kind, (count, addresses, latency) in enumerate(mix.hosts):
        for number in range(count):
            origin = f"http://h{kind}-{number}.invalid"
            routes[origin] = f"{base}/{round(latency * 1000)}"
            urls += [f"{origin}/{next(numbers)}.jpg" for _ in range(addresses)]

    class Here:
        @contextmanager
        def local(self) -> Iterator[Local]:
            yield Local(routes=routes)

    sources._KINDS["bench"] = Here  # type: ignore[assignment]
    random.Random(1).shuffle(urls)
    run = Run(folder)
    run.ask(sources=[{"kind": "bench"}])
    posts = [Post(source="bench", id=str(n), attachments=(Attachment(url=url),)) for n, url in enumerate(urls)]
    run.append("posts", posts_table(posts))
    before = os.times()
    done = _download(
        run, False, Limits(), Manners(rate_per_host=mix.rate), None, None, LOCAL, silent, verify=mix.decode
    )
    after = os.times()
    own = after.user + after.system - before.user - before.system
    below = after.children_user + after.children_system - before.children_user - before.children_system
    print(json.dumps({"statuses": done.statuses, "own": own, "below": below}))


def processes_for(mix: Mix, cores: int) -> int:
    """How many fetch processes the stage starts, by its own rules."""
    from hashtag_photos.stages import crew

    hosts = sum(count for count, _, _ in mix.hosts)
    useful = min(1 + mix.pictures // crew._ADDRESSES_A_PROCESS, hosts, crew._MOST_PROCESSES)
    return min(max(1, cores // crew._CORES_A_PROCESS) if mix.decode else cores, useful)


def others(cores: int, looks: int = 50) -> float:
    """How many others have work for a core, for each core, looked at for a second in which this process rests."""
    found = []
    for _ in range(looks):
        time.sleep(1 / looks)
        found.append(int(Path("/proc/stat").read_text().partition("procs_running ")[2].split()[0]) - 1)
    return statistics.mean(found) / cores


class Measuring:
    """A server, and runs of the download stage against it, each in a new folder."""

    def __init__(self, photos: Path, folder: Path, cores: int) -> None:
        self.cores = cores
        words = [sys.executable, __file__, "--serve", str(photos)]
        self.server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.server.stdout is not None
        self.base = f"http://127.0.0.1:{json.loads(self.server.stdout.readline())['port']}"
        self.folder = folder
        self.runs = 0
        self.served = self.stats().get("cpu", 0.0)

    def stats(self) -> dict[str, float]:
        import urllib.request

        with urllib.request.urlopen(f"{self.base}/stats") as answer:
            return dict(json.load(answer))

    def run(self, mix: Mix) -> dict[str, float]:
        """Seconds from the first request to the last file, processor seconds (below, own, of the server), and how many
        times as long work is to take as on an idle machine, by what others used before and after."""
        from bench_download import last_written

        self.runs += 1
        place = self.folder / str(self.runs)
        os.sync()
        self.served = self.stats()["cpu"]
        before = others(self.cores)
        words = [sys.executable, __file__, "--fetch", str(place), self.base, json.dumps(asdict(mix))]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        said, stats = json.loads(done.stdout.splitlines()[-1]), self.stats()
        if said["statuses"] != {"ok": mix.pictures}:
            raise SystemExit(f"{mix.name}: {said} of {mix.pictures}")
        written = max(last_written(place / each) for each in ("images", "photos"))
        return {
            "seconds": written - stats["first"],
            "below": said["below"],
            "own": said["own"],
            "server": stats["cpu"] - self.served,
            "slower": 1 + (before + others(self.cores)) / 2,
        }


def middle(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Simulated and measured of the round whose ratio is in the middle."""
    return sorted(pairs, key=lambda pair: pair[0] / pair[1])[len(pairs) // 2]


def costs(here: Measuring, mix: Mix) -> dict[str, float]:
    """Processor seconds a picture: below, own, of the server."""
    empty = here.run(replace(mix, hosts=((1, 1, 0.0),)))  # what a run costs that fetches nothing: its start
    run = here.run(mix)
    return {name: max(0.0, run[name] - empty[name]) / mix.pictures for name in ("below", "own", "server")}


def check_download(photos: Path, folder: Path, rounds: int, cores: int) -> list[tuple[str, float, float]]:
    """Name, simulated and measured seconds of each mix."""
    here = Measuring(photos, folder, cores)
    pairs: dict[str, list[tuple[float, float]]] = {}
    try:
        for _ in range(rounds):
            plain, decoded = (costs(here, mix) for mix in CALIBRATION)
            look = decoded["below"] - plain["below"]
            say(f"core ms a picture: {1000 * plain['below']:.2f} to fetch, {1000 * look:.2f} to decode,")
            say(f"{1000 * decoded['own']:.2f} for its row, {1000 * plain['server']:.2f} to serve it")
            for mix in MIXES_HERE:
                machine = Fetching(
                    cores=cores,
                    processes=processes_for(mix, cores),
                    loop=plain["below"],
                    decode=look if mix.decode else 0.0,
                    row=(decoded if mix.decode else plain)["own"],
                    serve=plain["server"],
                )
                run = here.run(mix)
                pair = download_seconds(mix.simulated(), machine.slower(run["slower"])), run["seconds"]
                say(f"  {mix.name}: {pair[0]:.2f} s simulated, {pair[1]:.2f} measured; {run['slower']:.2f}")
                pairs.setdefault(f"download: {mix.name}", []).append(pair)
        return [(name, *middle(each)) for name, each in pairs.items()]
    finally:
        here.server.kill()
        here.server.wait()


def encode_costs(encoder: Any, files: Sequence[Path], cores: int) -> tuple[float, float]:
    """A core's seconds to prepare a picture, and the model's for a batch, of a window in which they take turns."""

    def prepared(path: Path) -> Any:
        with path.open("rb") as file:
            return encoder.prepare(file)

    with ThreadPoolExecutor(cores) as pool:
        encoder.encode_images(list(pool.map(prepared, files[: encoder.batch_size])))  # not counted: it is the first
        before, begun = others(cores), time.process_time()
        pictures = list(pool.map(prepared, files))
        prepare = (time.process_time() - begun) / len(files)
        batches = [pictures[at : at + encoder.batch_size] for at in range(0, len(pictures), encoder.batch_size)]
        began = time.perf_counter()
        for batch in batches:
            encoder.encode_images(batch)
        forward = (time.perf_counter() - began) / len(batches)
    return prepare, forward / (1 + (before + others(cores)) / 2)


def check_classify(photos: Path, folder: Path, rounds: int, cores: int) -> list[tuple[str, float, float]]:
    """Name, simulated and measured seconds of each run: of the embed step alone."""
    import bench_classify
    import hashtag_photos as hp
    from hashtag_photos.stages.embed import WINDOW

    found = []
    cases = (("tiny", 512), (f"local-dir:{bench_classify.make_model('ViT-B-32')}", 256))
    for model, pictures in cases:
        corpus = folder / f"corpus-{pictures}"
        bench_classify.make_corpus(photos, corpus, pictures)
        source = hp.Run(folder / f"run-{pictures}")
        hp.collect(source, hp.sources.folder(corpus))
        hp.download(source)
        classifier = hp.Classifier(model, device="cpu")
        encoder: Any = classifier.encoder
        files = bench_classify.files(corpus)
        files = files[:: len(files) // (WINDOW * encoder.batch_size)]
        pairs = []
        for turn in range(rounds):
            prepare, forward = encode_costs(encoder, files, cores)
            copy = folder / f"run-{pictures}-{turn}"
            shutil.copytree(folder / f"run-{pictures}", copy, copy_function=os.link)
            seen: list[float] = []

            def progress(stage: str, *_: Any, seen: list[float] = seen, **__: Any) -> None:
                if stage == "embed":
                    seen.append(time.perf_counter())

            before = others(cores)
            hp.classify(hp.Run(copy), classifier, progress=progress)
            slower = 1 + (before + others(cores)) / 2
            machine = Encoding(
                cores=cores,
                batch=encoder.batch_size,
                window=WINDOW,
                prepare=prepare * slower,
                forward=forward * slower,
                apart=True,
            )
            pairs.append((encode_seconds(pictures, machine), seen[-1] - seen[0]))
            say(f"  {Path(model).name}: {pairs[-1][0]:.2f} s simulated, {pairs[-1][1]:.2f} measured; {slower:.2f}")
        found.append((f"classify: {Path(model).name}, {pictures} pictures", *middle(pairs)))
    return found


def compared(found: Sequence[tuple[str, float, float]], rounds: int) -> str:
    """What was found, for SCALING.md."""
    rows = [[name, f"{a:.2f}", f"{b:.2f}", f"{a / b:.2f}"] for name, a, b in found]
    within = sum(max(a / b, b / a) <= 1.15 for _, a, b in found)
    said = (
        f"{within} of {len(found)} are within 15 %; of {rounds} round{'s' * (rounds > 1)}, for each run the one whose"
    )
    return table(["run", "simulated, s", "measured, s", "ratio"], rows) + f"\n\n{said} ratio is in the middle."


def written(document: str, tables: Mapping[str, str]) -> str:
    """The document with the tables below headings replaced, each by the one that has its place.

    A paragraph that follows a new table stands in the place of the one that followed the old.
    """
    begin, *sections = re.split(r"^(?=## )", document, flags=re.MULTILINE)
    for at, section in enumerate(sections):
        blocks = section.split("\n\n")
        new = tables.get(blocks[0].strip("# \n"), "").split("\n\n")
        places = [place for place, block in enumerate(blocks) if block.startswith("| ")]
        heads = [place for place, block in enumerate(new) if block.startswith("| ")]
        for place, head, following in zip(places, heads, [*heads[1:], len(new)], strict=bool(heads)):
            for step, block in enumerate(new[head:following]):
                blocks[place + step] = block.strip("\n")
        sections[at] = "\n\n".join(blocks).rstrip("\n") + "\n\n"
    return begin + "".join(sections).rstrip("\n") + "\n"


def say(line: str) -> None:
    """To stderr."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Plan, or check."""
    shared = REPOSITORY.parent / "shared/photos"
    sample = REPOSITORY / "pipeline/hashtag_photos/sources/sample"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--assume", action="append", default=[], metavar="NAME=NUMBER")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--photos", type=Path, default=shared if shared.exists() else sample)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="put the tables into SCALING.md")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--fetch", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        return serve(asked.serve)
    if asked.fetch:
        folder, base, mix = asked.fetch
        return fetch(Path(folder), base, Mix(**json.loads(mix)))
    if not (asked.plan or asked.check):
        parser.error("say --plan or --check")
    tables, found = {}, []
    if asked.plan:
        tables = plan(assumed(asked.assume))
    if asked.check:
        below = REPOSITORY / "build"
        below.mkdir(exist_ok=True)
        cores = len(os.sched_getaffinity(0))
        with tempfile.TemporaryDirectory(prefix="check-scaling-", dir=below, ignore_cleanup_errors=True) as name:
            found = check_download(asked.photos, Path(name) / "download", asked.rounds, cores)
            found += check_classify(asked.photos, Path(name), asked.rounds, cores)
        tables[CHECKED] = compared(found, asked.rounds)
    if asked.write:
        SCALING.write_text(written(SCALING.read_text(), tables))
    if asked.json:
        ratios = {name: round(simulated / measured, 3) for name, simulated, measured in found}
        worst = max((max(each, 1 / each) for each in ratios.values()), default=None)
        print(json.dumps({"worst_ratio": worst and round(worst, 3), "ratios": ratios}))
        return None
    for heading, made in tables.items():
        print(f"## {heading}\n\n{made}\n")
    return None


if __name__ == "__main__":
    main()
