"""How fast pictures are downloaded, with how much memory and processor time, beside img2dataset in the same run.

    python scripts/bench_download.py [--photos FOLDER] [--pictures 5000] [--rounds 5] [--json]

A server in a process of its own on 127.0.0.1 serves JPEGs of social-media size, made from a folder of photographs (by
default ../shared/photos, else the sample's pictures), each with bytes of its own. Two pieces of equal work: bytes with
their sha256, nothing decoded; and each picture decoded to prove that it is whole. Ours is the download stage as it is,
with all its guards and manners, durable files and its table; the server is known to it by 64 host names, towards each
of which the default manners hold. Theirs is in an environment of its own (build/img2dataset, made on demand) with the
settings that were its best here. Both are timed from the first request that the server sees to the last file written,
so that neither's start-up counts; they alternate, and the medians are compared.

Memory is that of all processes together, in runs of its own: PSS, where pages that they share count once (the figures
named peak_mb), and RSS added up. Last, the good hosts are timed while three bad ones (one that stalls, one that drips a
byte a second, one that answers 503 for a minute) have fifty addresses each.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import platform
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
THEIRS = REPOSITORY / "build/img2dataset"
VERSION = "1.47.0"
HOSTS = 64
BAD = ("stalls", "drips", "busy")  # hosts that stall, drip a byte a second, answer 503 for a minute
DISTINCT = 200  # pictures; each address has one of them with a comment of its own


# The server


def pictures(folder: Path) -> list[bytes]:
    """JPEGs as social media serve them: crops of photographs, the longer side 1,200 to 2,048 pixels, a third of them
    progressive."""
    from PIL import Image

    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    photos = [photo.convert("RGB") for photo in map(Image.open, paths) if min(photo.size) >= 300]
    if not photos:
        raise SystemExit(f"{folder}: no pictures of 300 pixels and more")
    chance, made = random.Random(1), []
    for number in range(DISTINCT):
        photo = photos[number % len(photos)]
        part = chance.uniform(0.7, 1)
        width, height = int(photo.width * part), int(photo.height * part)
        left, top = chance.randint(0, photo.width - width), chance.randint(0, photo.height - height)
        scale = chance.choice((1200, 1280, 1440, 1600, 2048)) / max(width, height)
        picture = photo.crop((left, top, left + width, top + height)).resize(
            (round(width * scale), round(height * scale)), Image.Resampling.LANCZOS
        )
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=chance.randint(80, 93), progressive=chance.random() < 0.36)
        made.append(file.getvalue())
    return made


class Serving(asyncio.Protocol):
    """Answers /N.jpg at once, from memory; /stats says when the first and the last picture went out, and forgets it."""

    bodies: list[bytes]
    stats: dict[str, float] = {}  # noqa: RUF012  one for all connections
    begun: dict[str, float] = {}  # noqa: RUF012

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.asked = b""

    def data_received(self, data: bytes) -> None:
        self.asked += data
        while (end := self.asked.find(b"\r\n\r\n")) >= 0:
            line, self.asked = self.asked[:end], self.asked[end + 4 :]
            self.answer(line.split(b" ", 2)[1].decode().strip("/"))

    def answer(self, path: str) -> None:
        now, write = time.time(), self.transport.write
        name, _, rest = path.partition("/")
        if name == "stats":
            body = json.dumps(self.stats).encode()
            self.stats.clear()
            self.begun.clear()
            write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        elif name == "busy" and now - self.begun.setdefault(name, now) < 60:
            write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        elif name == "stalls":
            pass
        elif name == "drips":
            write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 200000\r\n\r\n")
            self.drip()
        else:
            number = int((rest or name).partition(".")[0])
            if not rest:
                self.stats.setdefault("first", now)
                self.stats.update(last=now, served=self.stats.get("served", 0) + 1)
            body = self.bodies[number % DISTINCT]
            start = b"\xff\xd8\xff\xfe\x00\x0a%08d" % number
            length = len(start) + len(body) - 2
            write(
                b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % length + start + body[2:]
            )

    def drip(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b".")
            asyncio.get_running_loop().call_later(1, self.drip)


def serve(photos: Path) -> None:
    """The server's process: prints its port and the mean size of its pictures."""
    Serving.bodies = pictures(photos)

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Serving, "127.0.0.1", 0, backlog=1000)
        mean = sum(map(len, Serving.bodies)) / DISTINCT
        print(json.dumps({"port": server.sockets[0].getsockname()[1], "mean": mean}), flush=True)
        await server.serve_forever()

    asyncio.run(forever())


# Those who are measured, each in a process of its own


def ours(folder: Path, base: str, count: int, decode: bool, bad: int) -> None:
    """Download with the stage."""
    from hashtag_photos import sources
    from hashtag_photos.http import Limits, Local
    from hashtag_photos.manners import Manners
    from hashtag_photos.records import PhotoStatus
    from hashtag_photos.run import Run
    from hashtag_photos.stages import silent
    from hashtag_photos.stages.download import _download
    from hashtag_photos.stages.engine import LOCAL

    class Here:
        @contextmanager
        def local(self) -> Iterator[Local]:
            routes = {f"http://h{number}.invalid": base for number in range(HOSTS)}
            yield Local(routes=routes | {f"http://{name}.invalid": f"{base}/{name}" for name in BAD})

    sources._KINDS["bench"] = Here  # type: ignore[assignment]
    run = Run(folder)
    begun = time.time()
    done = _download(run, False, Limits(), Manners(), None, None, LOCAL, silent, verify=decode)
    had = done.statuses.get(PhotoStatus.OK, 0)
    print(json.dumps({"had": had, "began": begun, "statuses": done.statuses}))


def prepare(folder: Path, count: int, bad: int) -> None:
    """A run folder with as many posts as there are to be pictures, and with some of bad hosts before each."""
    import pyarrow as pa

    from hashtag_photos.records import Attachment, Post
    from hashtag_photos.run import Run
    from hashtag_photos.tables import posts_table

    run = Run(folder)
    run.ask(sources=[{"kind": "bench"}])
    urls = [f"http://h{number % HOSTS}.invalid/{number}.jpg" for number in range(count)]
    urls += [f"http://{name}.invalid/{number}.jpg" for name in BAD for number in range(bad)]
    parts = []
    for begin in range(0, len(urls), 5000):
        posts = [
            Post(source="bench", id=str(begin + place), attachments=(Attachment(url=url),))
            for place, url in enumerate(urls[begin : begin + 5000])
        ]
        parts.append(posts_table(posts))
    run.append("posts", pa.concat_tables(parts))


def theirs(folder: Path, base: str, count: int, decode: bool) -> None:
    """Download with img2dataset; run by its own environment's Python."""
    from img2dataset import download

    folder.mkdir()
    urls = folder / "urls.txt"
    urls.write_text("\n".join(f"{base}/{number}.jpg" for number in range(count)))
    begun = time.time()
    download(
        url_list=str(urls),
        output_folder=str(folder / "out"),
        output_format="webdataset",
        processes_count=os.cpu_count(),
        thread_count=16,
        number_sample_per_shard=500,  # more than a thousand and one process works alone
        compute_hash="sha256",
        **({"resize_mode": "no", "skip_reencode": True} if decode else {"disable_all_reencoding": True}),
    )
    stats = [json.loads(path.read_text()) for path in (folder / "out").glob("*_stats.json")]
    print(json.dumps({"had": sum(each["successes"] for each in stats), "began": begun}))


# Measuring


class Watch(threading.Thread):
    """Watches a process and all below it: processor time as it goes, and, where that is asked, memory at its peak.

    Adding up pages costs those who are watched some time: who is timed is not asked for it.
    """

    def __init__(self, pid: int, memory: bool) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.memory = memory
        self.cpu: list[tuple[float, float]] = []
        self.rss = self.pss = 0.0
        self.over = threading.Event()

    def run(self) -> None:
        tick = os.sysconf("SC_CLK_TCK")
        while not self.over.wait(0.05 if self.memory else 0.1):
            cpu = rss = pss = 0.0
            for pid in self.below():
                try:
                    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                    pages = Path(f"/proc/{pid}/smaps_rollup").read_text() if self.memory else ""
                except (OSError, ProcessLookupError):
                    continue
                cpu += sum(map(int, fields[11:15])) / tick
                sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in pages.splitlines()[1:]}
                rss, pss = rss + sizes.get("Rss", 0), pss + sizes.get("Pss", 0)
            self.cpu.append((time.time(), cpu))
            self.rss, self.pss = max(self.rss, rss), max(self.pss, pss)

    def below(self) -> list[int]:
        """The process and its descendants."""
        found, left = [], [self.pid]
        while left:
            found.append(left.pop())
            for children in Path(f"/proc/{found[-1]}/task").glob("*/children"):
                try:
                    left += map(int, children.read_text().split())
                except OSError:
                    continue
        return found

    def cpu_since(self, moment: float) -> float:
        """Processor seconds since a moment."""
        before = [cpu for at, cpu in self.cpu if at <= moment]
        return max((cpu for _, cpu in self.cpu), default=0.0) - (before[-1] if before else 0.0)


def last_written(folder: Path) -> float:
    """When the last file of those below a folder was written."""
    return max(
        entry.stat().st_mtime
        for root, _, names in os.walk(folder)
        for entry in (Path(root, name) for name in names)
        if not entry.name.startswith(".")
    )


class Bench:
    """Runs of both against one server, each in a new folder; nothing is deleted before the end."""

    def __init__(self, photos: Path, folder: Path) -> None:
        self.folder = folder
        words = [sys.executable, __file__, "--serve", str(photos)]
        self.server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.server.stdout is not None
        said = json.loads(self.server.stdout.readline())
        self.base, self.mean = f"http://127.0.0.1:{said['port']}", said["mean"]
        self.runs = 0

    def stats(self) -> dict[str, float]:
        with urllib.request.urlopen(f"{self.base}/stats") as answer:
            return dict(json.load(answer))

    def run(self, who: str, count: int, *, decode: bool, bad: int = 0, memory: bool = False) -> dict[str, float]:
        """One run: pictures and processor seconds, by the second and the thousand; memory at its peak."""
        self.runs += 1
        place = self.folder / f"{self.runs}-{who}"
        os.sync()  # so that nobody pays for what another one left to be written
        self.stats()
        words = [str(place), self.base, str(count), str(int(decode)), str(bad)]
        if who == "ours":
            subprocess.run([sys.executable, __file__, "--prepare", *words], check=True)
        python = sys.executable if who == "ours" else str(THEIRS / "bin/python")
        started = subprocess.Popen(
            [python, __file__, f"--{who}", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        watch = Watch(started.pid, memory)
        watch.start()
        out, errors = started.communicate()
        watch.over.set()
        watch.join()
        if started.returncode:
            raise SystemExit(errors)
        said, stats = json.loads(out.splitlines()[-1]), self.stats()
        if said["had"] < count or stats["served"] != count:
            raise SystemExit(f"{who}: {said} of {count}, {stats['served']} requests\n{errors[-2000:]}")
        seconds = last_written(place) - stats["first"]
        measured = {
            "per_s": count / seconds,
            "served_per_s": count
            / (stats["last"] - stats["first"]),  # of the good hosts alone, where there are bad ones
            "cpu_per_1000": 1000 * watch.cpu_since(stats["first"]) / count,
        }
        return measured | ({"rss": watch.rss, "pss": watch.pss} if memory else {})


def install_theirs() -> None:
    """img2dataset in an environment of its own."""
    if not (THEIRS / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", THEIRS], check=True)
        subprocess.run([THEIRS / "bin/pip", "install", "--quiet", f"img2dataset=={VERSION}"], check=True)


def median(runs: list[dict[str, float]], name: str) -> float:
    return statistics.median(run[name] for run in runs)


def main() -> None:
    """Measure, and print."""
    shared = REPOSITORY.parent / "shared/photos"
    sample = REPOSITORY / "pipeline/hashtag_photos/sources/sample"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=shared if shared.exists() else sample)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    for name in ("ours", "theirs", "prepare"):
        parser.add_argument(f"--{name}", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        return serve(asked.serve)
    for work, words in ((ours, asked.ours), (theirs, asked.theirs), (prepare, asked.prepare)):
        if words:
            folder, base, count, decode, bad = Path(words[0]), words[1], int(words[2]), words[3] == "1", int(words[4])
            if work is prepare:
                return prepare(folder, count, bad)
            return ours(folder, base, count, decode, bad) if work is ours else theirs(folder, base, count, decode)
    install_theirs()
    below = REPOSITORY / "build"
    below.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-download-", dir=below))
    bench = Bench(asked.photos, folder)
    say = (lambda *_: None) if asked.json else print
    measured: dict[tuple[str, bool], list[dict[str, float]]] = {}
    try:
        for decode in (False, True):
            for turn in range(asked.rounds):
                for who in ("ours", "theirs") if turn % 2 == 0 else ("theirs", "ours"):
                    run = bench.run(who, asked.pictures, decode=decode)
                    measured.setdefault((who, decode), []).append(run)
                    say(f"{'decoded' if decode else 'bytes':8} {who:7} {run['per_s']:8.0f}/s")
        few = range(max(1, asked.rounds // 2))  # each lasts until the bad hosts are given up: two minutes
        bad = [bench.run("ours", asked.pictures, decode=False, bad=50) for _ in few]
        memory = {who: bench.run(who, asked.pictures, decode=True, memory=True) for who in ("ours", "theirs")}
        ten = bench.run("ours", 10 * asked.pictures, decode=True, memory=True)
    finally:
        bench.server.kill()
        bench.server.wait()
        shutil.rmtree(folder, ignore_errors=True)
    result = {
        "ratio_bytes": median(measured["ours", False], "per_s") / median(measured["theirs", False], "per_s"),
        "ratio_decoded": median(measured["ours", True], "per_s") / median(measured["theirs", True], "per_s"),
        "peak_mb": memory["ours"]["pss"],
        "peak_mb_10x": ten["pss"],
        "peak_rss_mb": memory["ours"]["rss"],
        "peak_rss_mb_10x": ten["rss"],
        "peak_mb_theirs": memory["theirs"]["pss"],
        "ratio_bad_hosts": median(bad, "served_per_s") / median(measured["ours", False], "served_per_s"),
    }
    if asked.json:
        print(json.dumps({name: round(value, 3) for name, value in result.items()}))
        return
    print(f"\n{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, img2dataset {VERSION}")
    print(f"{asked.pictures:,} JPEGs, {bench.mean / 1000:.0f} kB on average; medians of {asked.rounds} rounds\n")
    print("| work | who | images/s | of rounds | CPU s per 1,000 |")
    print("|---|---|---|---|---|")
    for (who, decode), runs in sorted(measured.items(), key=lambda each: (each[0][1], each[0][0])):
        rates = sorted(run["per_s"] for run in runs)
        cells = [f"{median(runs, 'per_s'):,.0f}", f"{rates[0]:,.0f} to {rates[-1]:,.0f}"]
        cells.append(f"{median(runs, 'cpu_per_1000'):.2f}")
        print(f"| {'decoded' if decode else 'bytes'} | {who} | {' | '.join(cells)} |")
    print("\n| decoded | peak PSS MiB | peak RSS MiB |\n|---|---|---|")
    sizes = (("ours", asked.pictures, memory["ours"]), ("theirs", asked.pictures, memory["theirs"]))
    for who, count, run in (*sizes, ("ours", 10 * asked.pictures, ten)):
        print(f"| {who}, {count:,} | {run['pss']:.0f} | {run['rss']:.0f} |")
    print("\n" + " ".join(f"{name} {value:.2f}" for name, value in result.items()))


if __name__ == "__main__":
    main()
