"""How fast pictures are classified, with how much memory and processor time, beside OpenCLIP and transformers.

    python scripts/bench_classify.py [--photos FOLDER] [--pictures 256] [--rounds 3] [--model ViT-B-32]
                                     [--no-transformers] [--no-memory] [--json]

Everything on the CPU in fp32, with torch's own number of threads. Each contender is a process of its own that is
started once, has its model in memory and waits; they take turns over the same JPEG files, forwards and backwards. A
first round warms up and isn't counted. Rates are medians of the rounds; a ratio is the median of the ratios within each
round, so that a machine whose speed drifts weighs on both sides.

    ours          the whole classify stage, from the JPEG files of a run folder to its tables of embeddings and scores
    readme        the loop of OpenCLIP's README: Image.open, preprocess, encode_image of one picture, softmax
    dataloader    OpenCLIP behind torch's DataLoader, in batches of 32: without workers, with one, and with one for each
                  core, which stay between rounds; the fastest of them is the rival
    transformers  pipeline("zero-shot-image-classification") in batches of 32, with CLIP ViT-B/32 of random weights, in
                  an environment of its own (build/transformers, made on demand); left out for other models
    forward       OpenCLIP's encode_image alone, on batches of 32 float tensors that lie ready: what can't be saved

Theirs have three prompts, which OpenCLIP's contenders encoded before the clock starts; the pipeline does it for each
batch, and can't otherwise. Ours has its default label set, encoded while it warms up. Weights are random (made once, in
build/models/): no speed depends on them. Then, as well:

    preprocess    from file to normalised float tensor, one picture after the other on one thread: ours and OpenCLIP's
    start         in new processes, with files in the system's cache: import, model, texts, first batch of pictures
    memory        the peak of a process that classifies 1,000 pictures, and of one that classifies 20 times as many,
                  with the bundled tiny model, so that nearly all of the work is decoding (the corpus under many names)

The corpus: crops of photographs, all different, at sizes and qualities at which platforms serve them. Pictures have one
line of this mix after the other; 35 % are progressive, and colour has half the resolution in all.

    of 20  platform   longer side      quality  progressive  from what is known
        6  X          680, 1200, 2048       85  half         its small, medium and large; quality as it was measured
        5  Instagram  1080 to 1440          75  none         1080 wide, 1.91:1 to 3:4; quality said to be 70 to 85
        3  Facebook   960 to 2048           80  all          sizes and progressive as photographers found them
        3  Mastodon   1600, 2048            90  one          `-quality 90` in its source; phones, below its limit
        3  Bluesky    1000, 2000            85  none         fits 1000 and 2000, in its source; quality assumed

It takes about a quarter of an hour on two cores, and 10 GB of memory; progress goes to stderr.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import multiprocessing
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
BUILD = REPOSITORY / "build"
THEIRS = BUILD / "transformers"
VERSION = "5.23.0"
BATCH = 32
CORES = len(os.sched_getaffinity(0))
FEW, MANY = 1_000, 20_000  # pictures of which memory is measured
PROMPTS = ["a photo of a friendly encounter", "a photo of conflict and force", "a photo of something else"]
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16")
MIX = [  # quality, and sizes; p is progressive
    (85, "1200x675p 1200x900 900x1200p 2048x1536 1536x2048p 680x510"),
    (75, "1080x1080 1080x1350 1080x1350 1080x1440 1080x566"),
    (80, "960x720p 1080x1440p 2048x1536p"),
    (90, "1600x1200 2048x1536p 1536x2048"),
    (85, "2000x1500 1500x2000 1000x1000"),
]

say = partial(print, file=sys.stderr, flush=True)

Work = Callable[[Path], int]  # what is done with a place (a folder of pictures, for ours a run), and how many it saw
Runs = list[dict[str, float]]


# The contenders, each in a process of its own: they load, and give what is to be done


def ours(model: str, corpus: Path) -> Work:
    """The classify stage."""
    import hashtag_photos as hp

    classifier = hp.Classifier(model, device="cpu")

    def work(place: Path) -> int:
        done = hp.classify(hp.Run(place), classifier)
        return done.new if done.scored else 0

    return work


def loaded(model: str) -> tuple[Any, Any, Any]:
    """OpenCLIP's model, its preprocessing, and unit vectors of the prompts."""
    import open_clip
    import torch

    clip, _, preprocess = open_clip.create_model_and_transforms(model)
    clip.eval()
    with torch.no_grad():
        return clip, preprocess, clip.encode_text(open_clip.get_tokenizer(model)(PROMPTS), normalize=True)


def their_tensor(preprocess: Any, path: Path) -> Any:
    """A picture as a batch of one, with OpenCLIP's preprocessing."""
    from PIL import Image

    return preprocess(Image.open(path)).unsqueeze(0)


def our_tensor(encoder: Any, path: Path) -> Any:
    """A picture as a batch of one, with our preprocessing."""
    with path.open("rb") as file:
        return encoder.prepare(file).unsqueeze(0)


def readme(model: str, corpus: Path) -> Work:
    """OpenCLIP's README, once for each file."""
    import torch

    clip, preprocess, texts = loaded(model)

    def work(place: Path) -> int:
        rows = []
        for path in files(place):
            image = their_tensor(preprocess, path)
            with torch.no_grad():
                features = clip.encode_image(image)
                features /= features.norm(dim=-1, keepdim=True)
                rows.append((100.0 * features @ texts.T).softmax(dim=-1))
        return len(rows)

    return work


class Pictures(list[Path]):
    """Files for a DataLoader."""

    preprocess: Any

    def __getitem__(self, number: Any) -> Any:
        return their_tensor(self.preprocess, super().__getitem__(number))[0]


def dataloader(model: str, corpus: Path, workers: int) -> Work:
    """OpenCLIP behind a DataLoader over the corpus."""
    import torch

    clip, preprocess, texts = loaded(model)
    pictures = Pictures(files(corpus))
    pictures.preprocess = preprocess
    kept = {"num_workers": workers, "persistent_workers": workers > 0}
    loader: Any = torch.utils.data.DataLoader(pictures, batch_size=BATCH, **kept)  # type: ignore[arg-type]

    @torch.inference_mode()
    def work(_: Path) -> int:
        rows = [(100.0 * clip.encode_image(batch, normalize=True) @ texts.T).softmax(dim=-1) for batch in loader]
        return sum(map(len, rows))

    return work


def forward(model: str, corpus: Path) -> Work:
    """OpenCLIP's image tower alone, on tensors of the corpus."""
    import torch

    clip, preprocess, _ = loaded(model)
    batches: Any = torch.cat([their_tensor(preprocess, path) for path in files(corpus)]).split(BATCH)  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def work(_: Path) -> int:
        return sum(len(clip.encode_image(batch, normalize=True)) for batch in batches)

    return work


def transformers(model: str, corpus: Path) -> Work:
    """The zero-shot pipeline; run by its own environment's Python."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer, pipeline
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    # CLIP's vocabulary lies in OpenCLIP, which is looked for and not imported
    where: Any = importlib.util.find_spec("open_clip")
    with gzip.open(Path(where.origin).with_name("bpe_simple_vocab_16e6.txt.gz"), "rt", encoding="utf-8") as file:
        merges = [tuple(line.split()) for line in file.read().split("\n")[1 : 49152 - 256 - 2 + 1]]
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges)]
    vocabulary = {word: number for number, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    classify = pipeline(
        "zero-shot-image-classification",
        model=CLIPModel(CLIPConfig()).eval(),
        tokenizer=CLIPTokenizer(vocabulary, merges),
        image_processor=CLIPImageProcessor(),
        device="cpu",
    )

    def work(place: Path) -> int:
        paths = list(map(str, files(place)))
        return len(classify(paths, candidate_labels=PROMPTS, hypothesis_template="{}", batch_size=BATCH))

    return work


def preprocess(model: str, corpus: Path, whose: str) -> Work:
    """From file to tensor, on one thread."""
    import torch

    if whose == "ours":
        import hashtag_photos as hp

        tensor = partial(our_tensor, hp.Classifier(model, device="cpu").encoder)
    else:
        tensor = partial(their_tensor, loaded(model)[1])
    torch.set_num_threads(1)
    return lambda place: sum(len(tensor(path)) for path in files(place))


SPEEDS: dict[str, Callable[[str, Path], Work]] = {
    "ours": ours,
    "readme": readme,
    "dataloader, 0 workers": partial(dataloader, workers=0),
    **{f"dataloader, {n} worker{'s' * (n > 1)}": partial(dataloader, workers=n) for n in sorted({1, CORES})},
    "transformers": transformers,
    "forward": forward,
}
PREPROCESS = {f"preprocess, {whose}": partial(preprocess, whose=whose) for whose in ("ours", "OpenCLIP")}


# Starting: when a new process is at which step, until it has its first batch


def start_ours(model: str, corpus: Path) -> list[float]:
    """Ours, which imports torch and OpenCLIP with the model."""
    laps = [time.perf_counter()]
    import hashtag_photos as hp

    classifier = hp.Classifier(model, device="cpu")
    laps.append(time.perf_counter())
    encoder: Any = classifier.encoder
    laps.append(time.perf_counter())
    encoder.encode_texts(PROMPTS)
    laps.append(time.perf_counter())
    prepared = []
    for path in files(corpus)[:BATCH]:
        with path.open("rb") as file:
            prepared.append(encoder.prepare(file))
    encoder.encode_images(prepared)
    return [*laps, time.perf_counter()]


def start_open_clip(model: str, corpus: Path) -> list[float]:
    """OpenCLIP as in its README."""
    laps = [time.perf_counter()]
    import open_clip
    import torch

    laps.append(time.perf_counter())
    clip, _, preprocess = open_clip.create_model_and_transforms(model)
    clip.eval()
    tokenizer = open_clip.get_tokenizer(model)
    laps.append(time.perf_counter())
    with torch.no_grad():
        clip.encode_text(tokenizer(PROMPTS), normalize=True)
        laps.append(time.perf_counter())
        batch = torch.cat([their_tensor(preprocess, path) for path in files(corpus)[:BATCH]])
        clip.encode_image(batch, normalize=True)
    return [*laps, time.perf_counter()]


STARTS = {"ours, starting": start_ours, "OpenCLIP, starting": start_open_clip}


# Both sides of a process


def attend(name: str, model: str, corpus: Path) -> None:
    """A contender's process: says that it is ready, then works through each place that it is told."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    if name in STARTS:
        print(json.dumps(STARTS[name](model, corpus)), file=answers, flush=True)
        return
    work = (SPEEDS | PREPROCESS)[name](model, corpus)
    print("[]", file=answers, flush=True)
    for line in sys.stdin:
        cpu, begun = cpu_seconds(), time.perf_counter()
        images = work(Path(line.rstrip("\n")))
        seconds = time.perf_counter() - begun
        said = {"images": images, "seconds": seconds, "cpu": cpu_seconds() - cpu, "peak": peak_mib()}
        print(json.dumps(said), file=answers, flush=True)


def cpu_seconds() -> float:
    """Processor seconds of this process and its children, those that ended and those at work."""
    stats = [Path(f"/proc/{child.pid}/stat").read_text() for child in multiprocessing.active_children()]
    ticks = sum(int(field) for stat in stats for field in stat.rpartition(")")[2].split()[11:15])
    return sum(os.times()[:4]) + ticks / os.sysconf("SC_CLK_TCK")


def peak_mib() -> float:
    """The most memory that this process had so far; what it was forked from isn't in it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


class Contender(subprocess.Popen[str]):
    """A contender's process as it is seen from here, started and loaded; leaving its context ends it."""

    def __init__(self, name: str, model: str, corpus: Path) -> None:
        self.name = name
        python = str(THEIRS / "bin/python") if name == "transformers" else sys.executable
        words = [python, __file__, "--attend", name, model, str(corpus)]
        super().__init__(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = self.answer()

    def answer(self) -> Any:
        """What it says next."""
        assert self.stdout is not None
        line = self.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with {self.wait()}; what it said of it stands above")
        return json.loads(line)

    def go(self, place: Path, images: int) -> dict[str, float]:
        """Have it work on a place, of which it must see all images."""
        assert self.stdin is not None
        os.sync()  # so that nobody pays for what another one left to be written
        print(place, file=self.stdin, flush=True)
        said = self.answer()
        if said["images"] != images:
            raise SystemExit(f"{self.name} classified {said['images']} of {images} pictures in {place}")
        rate, cpu = images / said["seconds"], 1000 * said["cpu"] / images
        say(f"  {self.name:24} {place.name:12} {rate:8.2f} images/s {cpu:8.1f} CPU s per 1,000")
        return {"rate": rate, "cpu": cpu, "peak": said["peak"]}


def alternate(
    names: Iterable[str], model: str, corpus: Path, rounds: int, places: Callable[[str, int], list[Path]]
) -> dict[str, Runs]:
    """Contenders in turn, after a round that isn't counted: what was measured, by contender (and place, if several).

    `places` says where a contender works in a round: folders of pictures, or a run of the whole corpus.
    """
    measured: dict[str, Runs] = {}
    with ExitStack() as stack:
        contenders = [stack.enter_context(Contender(name, model, corpus)) for name in names]
        for turn in range(rounds + 1):
            say(f"round {turn} of {rounds}" if turn else "warming up")
            for contender in contenders if turn % 2 else reversed(contenders):
                for place in (several := places(contender.name, turn)):
                    run = contender.go(place, len(files(place)))
                    if turn:
                        key = f"{contender.name}, {place.name}" if len(several) > 1 else contender.name
                        measured.setdefault(key, []).append(run)
    return measured


# What they work on


def files(place: Path) -> list[Path]:
    """The pictures in a folder and below."""
    return sorted(place.rglob("*.jpg"))


def make_corpus(photos: Path, folder: Path, count: int) -> str:
    """So many JPEGs of the mix, in folders named baseline and progressive; what became of it."""
    from PIL import Image

    found = []
    for path in sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png")):
        try:
            found.append(Image.open(path).convert("RGB"))
        except (OSError, Image.DecompressionBombError):
            continue  # the sample has such ones
    least = 1000 if any(max(photo.size) >= 1000 for photo in found) else 300  # small ones, enlarged, are too smooth
    found = [photo for photo in found if max(photo.size) >= least]
    if not found:
        raise SystemExit(f"{photos}: no pictures of 300 pixels and more")
    mix = [(quality, size.removesuffix("p"), size[-1] == "p") for quality, sizes in MIX for size in sizes.split()]
    chance, pixels, sizes, enlarged = random.Random(1), 0, [], 0
    for number in range(count):
        photo = found[number % len(found)]
        quality, size, progressive = mix[7 * number % len(mix)]  # from platform to platform
        width, height = map(int, size.split("x"))
        scale = min(photo.width / width, photo.height / height) * chance.uniform(0.8, 1)
        left, top = chance.uniform(0, photo.width - width * scale), chance.uniform(0, photo.height - height * scale)
        box = (left, top, left + width * scale, top + height * scale)
        place = folder / ("progressive" if progressive else "baseline") / f"{number:05}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture = photo.resize((width, height), Image.Resampling.LANCZOS, box)
        picture.save(place, quality=quality, progressive=progressive, subsampling="4:2:0")
        pixels += width * height
        enlarged += scale < 1
        sizes.append(place.stat().st_size)
    size = f"{pixels / count / 1e6:.2f} megapixels and {statistics.mean(sizes) / 1000:.0f} kB on average"
    progressive = len(files(folder / "progressive"))
    return (
        f"{count:,} JPEGs, {size}, {progressive / count:.0%} progressive; crops of {len(found)} photographs, "
        f"{enlarged / count:.0%} of them enlarged"
    )


def make_large_run(folder: Path, corpus: Path, count: int) -> None:
    """A run folder with so many images, which are those of the corpus under many names."""
    from hashtag_photos.imagestore import Layout
    from hashtag_photos.run import Run
    from hashtag_photos.tables import photos_table

    run, paths, rows = Run(folder), files(corpus), []
    run.record_stage("download", attachments=count, statuses={"ok": count})
    known = {"source": "bench", "position": 0, "attempt": 1, "format": "JPEG", "status": "ok"}
    for number in range(count):
        name = sha256(str(number).encode()).hexdigest()
        place = folder / Layout().path(name, "JPEG")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.hardlink_to(paths[number % len(paths)])
        own = {"post_id": str(number), "url": f"file:///{number}", "sha256": name, "fetched_at": datetime.now(UTC)}
        rows.append(known | own)
    run.append("photos", photos_table(rows))


def make_model(architecture: str) -> Path:
    """The architecture with random weights; made once."""
    folder = BUILD / "models" / architecture.lower()
    if not folder.exists():
        making = folder.with_name(f".{folder.name}")
        script = str(Path(__file__).with_name("make_random_model.py"))
        subprocess.run([sys.executable, script, architecture, str(making)], check=True, stdout=sys.stderr)
        making.rename(folder)
    return folder


def install_theirs() -> None:
    """transformers in an environment of its own, which sees our packages after its own."""
    if not (THEIRS / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(THEIRS)], check=True)
        (place,) = THEIRS.glob("lib/python*/site-packages")
        (place / "ours.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    if not list(THEIRS.glob(f"lib/python*/site-packages/transformers-{VERSION}.dist-info")):
        subprocess.run([str(THEIRS / "bin/pip"), "install", "--quiet", f"transformers=={VERSION}"], check=True)


# Measuring


def end_to_end(folder: Path, model: str, corpus: Path, rounds: int, names: Iterable[str]) -> dict[str, Runs]:
    """Contenders over the corpus; ours each time in a run folder that was not classified yet."""
    import hashtag_photos as hp

    run = hp.Run(folder / "run")
    hp.collect(run, hp.sources.folder(corpus))
    hp.download(run)

    def places(name: str, turn: int) -> list[Path]:
        if name != "ours":
            return [corpus]
        copy = folder / f"run-{turn}"
        shutil.copytree(folder / "run", copy, copy_function=os.link, ignore=shutil.ignore_patterns(".*"))
        return [copy]

    return alternate(names, model, corpus, rounds, places)


def preprocessing(model: str, corpus: Path, rounds: int) -> dict[str, Runs]:
    """Ours and OpenCLIP's, over all files, the baseline and the progressive ones."""
    places = [corpus, corpus / "baseline", corpus / "progressive"]
    return alternate(PREPROCESS, model, corpus, rounds, lambda *_: places)


def starting(model: str, corpus: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of each step, and in all."""
    laps: dict[str, list[list[float]]] = {}
    for turn in range(rounds):
        for name in reversed(STARTS) if turn % 2 else STARTS:
            with Contender(name, model, corpus) as started:
                steps = [after - before for before, after in pairwise(started.first)]
            say(f"  {name:24} {sum(steps):8.2f} s")
            laps.setdefault(name, []).append([*steps, sum(steps)])
    return {name: list(map(statistics.median, zip(*turns, strict=True))) for name, turns in laps.items()}


def memory(folder: Path, corpus: Path) -> dict[int, dict[str, float]]:
    """Peak and rate of the stage in new processes, by the number of images."""
    measured = {}
    for count in (FEW, MANY):
        make_large_run(folder / f"of-{count}", corpus, count)
        with Contender("ours", "tiny", corpus) as contender:
            measured[count] = contender.go(folder / f"of-{count}", count)
    return measured


def ratio(runs: Runs, others: Runs) -> float:
    """How many times the others' rate, in the middle of the rounds."""
    return statistics.median(run["rate"] / other["rate"] for run, other in zip(runs, others, strict=True))


def middle(runs: Runs, what: str = "rate") -> str:
    return f"{statistics.median(run[what] for run in runs):.4g}"


def ends(runs: Runs) -> str:
    return f"{min(run['rate'] for run in runs):.4g} to {max(run['rate'] for run in runs):.4g}"


def machine() -> str:
    """What the figures are of."""
    import torch

    said = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", said)
    flags = [flag for flag in FLAGS if re.search(rf"\b{flag}\b", said)]
    used = f"torch computes with {torch.backends.cpu.get_cpu_capability()} on {torch.get_num_threads()} threads"
    versions = [f"{name} {metadata.version(name)}" for name in ("torch", "torchvision", "open_clip_torch", "pillow")]
    versions += [f"transformers {VERSION}", f"Python {platform.python_version()}"]
    cpu = model[1] if model else platform.machine()
    return f"{CORES} cores, {cpu}: {', '.join(flags)}; {used}\n{', '.join(versions)}"


def table(*rows: Iterable[str]) -> None:
    """Rows as Markdown, the first being the head."""
    cells = [list(row) for row in rows]
    print("\n" + "\n".join(f"| {' | '.join(row)} |" for row in [cells[0], ["---"] * len(cells[0]), *cells[1:]]))


def main() -> None:
    """Measure, and print."""
    shared = REPOSITORY.parent / "shared/photos"
    sample = REPOSITORY / "pipeline/hashtag_photos/sources/sample"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=shared if shared.exists() else sample)
    parser.add_argument("--pictures", type=int, default=8 * BATCH, help=f"a multiple of {BATCH}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="ViT-B-32", help="an OpenCLIP architecture")
    parser.add_argument("--no-transformers", action="store_true")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--attend", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.attend:
        return attend(asked.attend[0], asked.attend[1], Path(asked.attend[2]))
    if asked.pictures < BATCH or asked.pictures % BATCH or asked.rounds < 1:
        parser.error(f"--pictures must be a multiple of {BATCH}, and --rounds at least 1")

    BUILD.mkdir(exist_ok=True)
    names = list(SPEEDS)
    if asked.no_transformers or asked.model != "ViT-B-32":
        names.remove("transformers")
    else:
        install_theirs()
    model = f"local-dir:{make_model(asked.model)}"
    with tempfile.TemporaryDirectory(prefix="bench-classify-", dir=BUILD, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        corpus = folder / "corpus"
        say(made := make_corpus(asked.photos, corpus, asked.pictures))
        speeds = end_to_end(folder, model, corpus, asked.rounds, names)
        prepared = preprocessing(model, corpus, asked.rounds)
        starts = {} if asked.json else starting(model, corpus, asked.rounds)
        peaks = {} if asked.no_memory else memory(folder, corpus)

    times = {name: ratio(speeds["ours"], runs) for name, runs in speeds.items()}
    sides = {
        kind: [prepared[f"preprocess, {whose}, {kind}"] for whose in ("ours", "OpenCLIP")]
        for kind in ("corpus", "baseline", "progressive")
    }
    result = {
        "ratio_readme_loop": times["readme"],
        "ratio_dataloader": min(value for name, value in times.items() if name.startswith("dataloader")),
        "ratio_transformers": times.get("transformers"),
        "efficiency": times["forward"],
        "ratio_preprocess": ratio(*sides["corpus"]),
        "peak_mb": peaks[FEW]["peak"] if peaks else None,
        "peak_mb_20x": peaks[MANY]["peak"] if peaks else None,
    }
    if asked.json:
        print(json.dumps({name: value and round(value, 3) for name, value in result.items()}))
        return
    print(f"{machine()}\n{asked.model}, random weights, fp32; {made}; medians of {asked.rounds} rounds")
    table(
        ["who", "images/s", "of rounds", "CPU s per 1,000", "peak MiB", "ours is, times"],
        *(
            [who, middle(runs), ends(runs), middle(runs, "cpu"), middle(runs, "peak"), f"{times[who]:.2f}"]
            for who, runs in speeds.items()
        ),
    )
    table(
        ["file to tensor, one thread", "ours, images/s", "of rounds", "OpenCLIP's", "of rounds", "times"],
        *(
            [kind, *(cell for runs in side for cell in (middle(runs), ends(runs))), f"{ratio(*side):.2f}"]
            for kind, side in sides.items()
        ),
    )
    table(
        ["seconds until the first batch", "import", "model", "texts", "pictures", "in all"],
        *([who, *(f"{step:.2f}" for step in steps)] for who, steps in starts.items()),
    )
    if peaks:
        rows = ([f"{count:,} pictures", middle([run], "peak"), middle([run])] for count, run in peaks.items())
        table(["ours with the tiny model", "peak MiB", "images/s"], *rows)
    print("\n" + " ".join(f"{name} {value:.2f}" for name, value in result.items() if value))


if __name__ == "__main__":
    main()
