"""The simulation behind SCALING.md: cases whose answers are known by other means, and the tables that it shows."""

import math
import random
from dataclasses import replace

import pytest
from conftest import REPOSITORY

import simulate_scaling as scaling
from simulate_scaling import Assumptions, Clock, Encoding, Fetching, Host, Pool, download_seconds, encode_seconds

SWIFT = Fetching(cores=1000, seats=1000, loop=0.0, decode=0.0, row=0.0)


def test_one_host_is_asked_at_its_rate() -> None:
    """The last of 300 requests goes out after 299 turns, and takes its latency."""
    assert download_seconds([Host(300, latency=0.1, rate=30)], SWIFT) == pytest.approx(299 / 30 + 0.1)


def test_a_slow_host_is_asked_on_all_its_connections() -> None:
    host = Host(60, latency=2.0, connections=6, rate=1000)
    assert download_seconds([host], SWIFT) == pytest.approx(60 / 6 * 2.0, rel=0.01)


def test_seats_are_shared_by_all_hosts_of_a_process() -> None:
    hosts = [Host(10, latency=0.5, rate=1000)] * 64
    assert download_seconds(hosts, replace(SWIFT, seats=32)) == pytest.approx(640 * 0.5 / 32, rel=0.02)
    assert download_seconds(hosts, replace(SWIFT, seats=32, processes=2)) == pytest.approx(640 * 0.5 / 64, rel=0.02)


def test_cores_decode_whatever_hosts_serve() -> None:
    machine = replace(SWIFT, cores=4, loop=0.001, decode=0.01)
    hosts = [Host(40, latency=0.01, rate=1000)] * 50
    assert download_seconds(hosts, machine) == pytest.approx(2000 * 0.011 / 4, rel=0.02)


def test_a_process_has_one_loop_and_the_stage_one_writer() -> None:
    hosts = [Host(40, latency=0.0, rate=1000)] * 50
    assert download_seconds(hosts, replace(SWIFT, loop=0.002)) == pytest.approx(4.0, rel=0.02)
    assert download_seconds(hosts, replace(SWIFT, loop=0.002, processes=4)) == pytest.approx(1.0, rel=0.05)
    assert download_seconds(hosts, replace(SWIFT, row=0.003)) == pytest.approx(6.0, rel=0.02)


def test_others_go_on_while_one_host_is_slow() -> None:
    """The large one decides, whatever is beside it, where there are seats."""
    others = [Host(20, latency=0.2)] * 30
    assert download_seconds([Host(300), *others], SWIFT) == pytest.approx(10.0, rel=0.02)


def test_nothing_is_faster_than_the_bound_and_a_single_bottleneck_comes_close() -> None:
    machine = Fetching(cores=2, seats=32, loop=0.0012, decode=0.008, row=0.0002)
    for hosts in (
        [Host(200)],
        [Host(20, latency=0.5, rate=1000)] * 40,
        [Host(30, latency=0.0, rate=1000)] * 40,
        [Host(150), *[Host(10, latency=0.3)] * 20],
    ):
        bound, why = scaling.download_bound(hosts, machine)
        assert bound <= download_seconds(hosts, machine) + 0.1 <= 1.35 * bound + 0.6, why


def test_a_queue_before_one_server_is_as_long_as_theory_says() -> None:
    """M/D/1: with arrivals at random and service of one second, the mean wait is load / (2 (1 - load)) seconds."""
    chance, waits = random.Random(3), []
    for load in (0.5, 0.8):
        clock, server = Clock(), Pool(1)
        waits.clear()

        def customer(clock: Clock = clock, server: Pool = server) -> scaling.Steps:
            came = clock.now
            yield server
            waits.append(clock.now - came)
            yield 1.0
            clock.leave(server)

        at = 0.0
        for _ in range(40_000):
            at += chance.expovariate(load)
            clock.start(customer(), after=at)
        clock.run()
        assert sum(waits) / len(waits) == pytest.approx(load / (2 * (1 - load)), rel=0.08)


def test_on_a_cpu_pictures_and_batches_take_turns() -> None:
    machine = Encoding(cores=2, prepare=0.01, forward=1.0, apart=True)
    assert encode_seconds(320, machine) == pytest.approx(320 * 0.01 / 2 + 10 * 1.0)
    assert encode_seconds(336, machine) == pytest.approx(336 * 0.01 / 2 + 10.5)


def test_beside_a_gpu_the_slower_of_both_decides() -> None:
    """The first batch has to be there, and the last one to be computed."""
    fast = Encoding(cores=8, prepare=0.01, forward=0.1)
    assert encode_seconds(3200, fast) == pytest.approx(100 * 0.1 + 32 * 0.01 / 8, rel=0.01)
    few = replace(fast, cores=2)
    assert encode_seconds(3200, few) == pytest.approx(3200 * 0.01 / 2 + 0.1, rel=0.01)


def test_a_thread_that_waits_for_the_store_reads_nothing_else_meanwhile() -> None:
    machine = Encoding(cores=4, prepare=0.01, forward=0.001, read=0.03)
    assert encode_seconds(3200, machine) == pytest.approx(3200 * 0.04 / 4, rel=0.01)
    assert encode_seconds(3200, replace(machine, threads=16)) == pytest.approx(3200 * 0.01 / 4, rel=0.02)


@pytest.mark.parametrize(
    ("shape", "counted"),
    [((768, 12, 224, 32), 4.409), ((768, 12, 224, 16), 17.564), ((1024, 24, 224, 16), 61.555)],
    ids=["ViT-B-32", "ViT-B-16", "ViT-L-16"],
)
def test_what_a_model_computes_is_what_torchvision_counts(shape: tuple[int, int, int, int], counted: float) -> None:
    """`_ops` of its weights' metadata (ViT_B_32_Weights.IMAGENET1K_V1.meta), in 10^9 multiply-adds: two operations."""
    assert scaling.vit_gflop(*shape) / 2 == pytest.approx(counted, rel=0.03)


def test_numbers_are_changed_by_their_names_alone() -> None:
    assert scaling.assumed(["core_hour=0.1", "distinct=0.5"]) == Assumptions(core_hour=0.1, distinct=0.5)
    with pytest.raises(SystemExit, match="there is no gpu_hours; there are attachments"):
        scaling.assumed(["gpu_hours=1"])
    with pytest.raises(SystemExit, match="write NAME=NUMBER"):
        scaling.assumed(["get"])


def test_dearer_machines_make_a_dearer_plan() -> None:
    """A price stands in a row's own cost and in the sum."""
    head, _, *rows = scaling._whole(Assumptions()).splitlines()
    dearer = scaling._whole(Assumptions(l4_hour=13.0)).splitlines()[2:]
    column = [cell.strip() for cell in head.split("|")].index("classify, large")

    def dollars(row: str, at: int) -> float:
        return float(row.split("|")[at].rpartition("$")[2].replace(",", ""))

    for before, after in zip(rows, dearer, strict=True):
        assert dollars(after, column) == pytest.approx(10 * dollars(before, column), rel=0.06)
        assert dollars(after, -2) - dollars(before, -2) == pytest.approx(9 * dollars(before, column), rel=0.15)


def test_an_image_of_the_store_is_two_requests_and_their_time() -> None:
    known = Assumptions(attachments=1, had=1, distinct=1, get=0.5, store_ms=100)
    assert scaling.reading(known, 1000) == pytest.approx(2 * 0.5)
    assert scaling.read_seconds(known) == pytest.approx(0.2)


def test_a_shard_is_closed_when_it_is_full_or_after_15_seconds() -> None:
    """Of 1 MB a picture: 256 of them, or 15 times those of a second."""
    known = Assumptions(attachments=1, had=0.5, distinct=0.5, picture_kb=1000, put=1.0, upload_mb=10)
    assert scaling.shards(known, 4_000_000) == pytest.approx(1_000_000 / 256)
    assert scaling.shards(known, 4_000_000, rate=30) == pytest.approx(1_000_000 / (30 / 4 * 15))
    assert scaling.writing(known, 4_000_000, rate=30) == pytest.approx(1_000_000 / 10 / 1000)
    assert scaling.writing(known, 4_000_000, rate=2) == pytest.approx(1_000_000 / (2 / 4 * 15) / 1000)


def test_tables_are_put_in_their_places_and_words_left() -> None:
    found = [("download: x", 1.0, 1.1), ("classify: y", 2.0, 1.0)]
    before = "# T\n\n## One\n\nA.\n\n| a |\n\nB.\n\n| b |\n\nC.\n\n## Two\n\n| c |\n\nold.\n\nD.\n"
    after = scaling.written(before, {"One": "| 1 |\n| 2 |\n\n| 3 |", "Two": scaling.compared(found, 3)})
    assert after.startswith("# T\n\n## One\n\nA.\n\n| 1 |\n| 2 |\n\nB.\n\n| 3 |\n\nC.\n\n## Two\n\n| run |")
    assert (
        "| download: x | 1.00 | 1.10 | 0.91 |\n| classify: y | 2.00 | 1.00 | 2.00 |\n\n1 of 2 are within 15 %" in after
    )
    assert after.endswith("\n\nD.\n")
    assert "old" not in after
    with pytest.raises(ValueError, match="zip"):
        scaling.written(before, {"One": "| 1 |"})


def test_the_document_shows_these_tables() -> None:
    document = (REPOSITORY / "SCALING.md").read_text()
    for heading, tables in scaling.plan(Assumptions()).items():
        (section,) = [part for part in document.split("\n## ")[1:] if part.startswith(f"{heading}\n")]
        for table in tables.split("\n\n"):
            assert table in section, f"{heading}: make it anew by python scripts/simulate_scaling.py --plan --write"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.3, "under 1 s"), (59.6, "60 s"), (100, "1.7 min"), (3600, "60 min"), (5 * 3600, "5.0 h"), (1e6, "12 days")],
)
def test_times_as_people_say_them(seconds: float, said: str) -> None:
    assert scaling.lasts(seconds) == said


def test_two_digits_are_kept() -> None:
    assert [scaling.rounded(value) for value in (0, 0.0123, 1.26, 15.6, 1234)] == ["0", "0.012", "1.3", "16", "1,200"]
    assert math.isclose(sum(scaling.shares(1000, True)), 1)
