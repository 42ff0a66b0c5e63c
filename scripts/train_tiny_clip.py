"""Train `tiny`, the small CLIP that comes with the tool, on drawings, and measure it.

    .venv/bin/python scripts/train_tiny_clip.py

Draws the training pictures (draw_scenes.py), captions them (tiny_captions.py), trains OpenCLIP's own CLIP class with
OpenCLIP's own loss on the CPU, writes an OpenCLIP folder (`local-dir:`) with config, weights and model card, loads that
folder again as the tool will, and measures it. Same seed, same machine, same library versions: the same bytes.

Real pictures have no part in it: the model knows drawings only.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import multiprocessing
import os
import random
import resource
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # trained on the CPU, wherever it runs

import numpy as np
import open_clip
import PIL
import torch
from open_clip.loss import ClipLoss
from open_clip.model import CLIP
from PIL import Image, ImageOps
from safetensors.torch import save_file

import draw_scenes
import tiny_captions
from tiny_captions import HELD_OUT_LABEL_SETS, HELD_OUT_PROMPTS, Grammar, LabelSet, read_label_set

ROOT = Path(__file__).resolve().parent.parent
LABELS_DIR = ROOT / "models" / "labels"
SAMPLE_DIR = ROOT / "pipeline" / "hashtag_photos" / "sources" / "sample"

IMAGE_SIZE = 96
CONTEXT_LENGTH = 40
VOCABULARY = 49408
MODEL_CFG = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": IMAGE_SIZE, "layers": [1, 1, 1, 1], "width": 16},
    "text_cfg": {"context_length": CONTEXT_LENGTH, "vocab_size": VOCABULARY, "width": 48, "heads": 4, "layers": 2},
}
PREPROCESS_CFG = {
    "size": [IMAGE_SIZE, IMAGE_SIZE],
    "mode": "RGB",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "interpolation": "bicubic",
    "resize_mode": "squash",  # nothing of a wide or tall picture is cut off
}

# Seeds of drawings by use. The sample's own pictures have seeds from 1_000_000 on, which are never drawn here.
TRAIN_SEEDS = 0
SMALL_SEEDS = 800_000
LARGE_SEEDS = 900_000
SAMPLE_SEEDS = 1_000_000

ASPECTS = ((4, 3), (3, 2), (1, 1), (16, 9), (3, 4), (4, 5), (2, 3), (9, 16), (5, 4))
CAPTIONS_PER_DRAWING = 10
VIEWS_PER_DRAWING = 2


# --- Drawing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One drawing to make; everything random about it follows from scene and seed."""

    scene: str
    seed: int


@dataclass(frozen=True)
class Drawn:
    """A drawing as training wants it: a few small views of it, and its captions as tokens."""

    views: np.ndarray  # views x size x size x 3, uint8
    tokens: np.ndarray  # captions x context length, uint16


_grammar: Grammar | None = None
_tokenizer: Callable[[list[str]], torch.Tensor] | None = None


def start_worker() -> None:
    """Give each drawing process its grammar and tokenizer, and a single thread."""
    global _grammar, _tokenizer
    torch.set_num_threads(1)
    _grammar = Grammar.without_prompts_of(LABELS_DIR)
    _tokenizer = open_clip.tokenizer.SimpleTokenizer(context_length=CONTEXT_LENGTH)


def small_size(rng: random.Random) -> tuple[int, int]:
    """Width and height of a training drawing: the sample's shapes, but small, since drawing takes time."""
    a, b = rng.choice(ASPECTS)
    area = (IMAGE_SIZE * rng.choice((1.5, 2.0, 2.5))) ** 2
    width = math.sqrt(area * a / b)
    return round(width), round(width * b / a)


def roughen(image: Image.Image, rng: random.Random) -> Image.Image:
    """What happens to pictures online: a bit cut off, a border added, saved as JPEG again."""
    width, height = image.size
    if rng.random() < 0.5:
        cut = [rng.uniform(0, 0.05) for _ in range(4)]
        box = (cut[0] * width, cut[1] * height, width - cut[2] * width, height - cut[3] * height)
        image = image.crop(tuple(round(v) for v in box))
    if rng.random() < 0.12:
        colour = rng.choice(((255, 255, 255), (0, 0, 0), (rng.randrange(256), rng.randrange(256), rng.randrange(256))))
        image = ImageOps.expand(image, border=round(rng.uniform(0.01, 0.06) * max(image.size)), fill=colour)
    if rng.random() < 0.5:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(35, 92))
        image = Image.open(buffer).convert("RGB")
    return image


def squash(image: Image.Image) -> np.ndarray:
    """The same resizing as the model's preprocessing does."""
    return np.asarray(image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC))


def make(job: Job) -> Drawn:
    """Draw one training picture and write its captions."""
    assert _grammar
    assert _tokenizer
    assert job.seed < SAMPLE_SEEDS
    rng = random.Random(f"{job.scene}/{job.seed}")
    drawing = draw_scenes.draw(job.scene, job.seed, *small_size(rng))
    views = np.stack([squash(roughen(drawing.image, rng)) for _ in range(VIEWS_PER_DRAWING)])
    captions = [_grammar.caption(drawing.scene, drawing.label, drawing.facts, rng) for _ in range(CAPTIONS_PER_DRAWING)]
    return Drawn(views, _tokenizer(captions).numpy().astype(np.uint16))


def make_small(job: Job) -> np.ndarray:
    """A validation picture drawn as small as the training ones, but as it is."""
    rng = random.Random(f"{job.scene}/{job.seed}")
    return squash(draw_scenes.draw(job.scene, job.seed, *small_size(rng)).image)


def make_large(job: Job) -> np.ndarray:
    """A validation picture at a size as in the sample, saved as JPEG, then resized as the model's preprocessing is."""
    buffer = io.BytesIO()
    draw_scenes.draw(job.scene, job.seed, 960, 720).image.save(buffer, "JPEG", quality=88)
    return squash(Image.open(buffer).convert("RGB"))


def jobs(first_seed: int, per_scene: int) -> list[Job]:
    """The same number of drawings of each scene; no seed is used twice."""
    scenes = list(draw_scenes.SCENES)
    return [Job(scene, first_seed + i * len(scenes) + k) for i in range(per_scene) for k, scene in enumerate(scenes)]


# --- Training --------------------------------------------------------------------------------------------------------


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Up in a straight line, down to nothing as a cosine."""
    warm = max(1, min(100, steps // 10))
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels from 0 to 1 as the image tower takes them."""
    mean = torch.tensor(PREPROCESS_CFG["mean"]).view(1, 3, 1, 1)
    std = torch.tensor(PREPROCESS_CFG["std"]).view(1, 3, 1, 1)
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


def augment(pixels: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Batch of uint8 pictures to input: mirrored or not, shifted a little, lighter or darker, more or less contrast."""
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    count = len(batch)
    mirrored = torch.from_numpy(rng.random(count) < 0.5)
    batch[mirrored] = batch[mirrored].flip(-1)
    pad = IMAGE_SIZE // 24
    padded = torch.nn.functional.pad(batch, (pad, pad, pad, pad), mode="replicate")
    offsets = rng.integers(0, 2 * pad + 1, size=(count, 2)).tolist()
    batch = torch.stack(
        [p[:, y : y + IMAGE_SIZE, x : x + IMAGE_SIZE] for p, (y, x) in zip(padded, offsets, strict=True)]
    )
    light = torch.from_numpy(rng.uniform(-0.1, 0.1, size=(count, 1, 1, 1))).float()
    contrast = torch.from_numpy(rng.uniform(0.8, 1.2, size=(count, 1, 1, 1))).float()
    tint = torch.from_numpy(rng.uniform(-0.04, 0.04, size=(count, 3, 1, 1))).float()
    return normalised(((batch - 0.5) * contrast + 0.5 + light + tint).clamp(0, 1))


def with_unknown_words(tokens: np.ndarray, unknown: int, end: int, rng: np.random.Generator) -> np.ndarray:
    """Put the unknown token in place of some tokens, or in between, so that new words in a prompt do no harm."""
    out = tokens.copy()
    for row in out:
        length = int(np.argmax(row == end))  # position of the end token; 0 is the start token
        chance = rng.random()
        if chance < 0.35 and length > 2:
            row[1:length][rng.random(length - 1) < 0.15] = unknown
        if 0.2 < chance < 0.5:
            extra = min(int(rng.integers(1, 4)), CONTEXT_LENGTH - 1 - length)
            at = int(rng.integers(1, length + 1))
            if extra > 0:
                row[at + extra : length + 1 + extra] = row[at : length + 1].copy()
                row[at : at + extra] = unknown
    return out


def batches(scenes: int, per_scene: int, groups: int, steps: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Index batches of so many groups, each with one drawing of every scene; every drawing once in each round."""
    queue: list[np.ndarray] = []
    for _ in range(steps):
        while len(queue) < groups:
            order = np.stack([rng.permutation(per_scene) for _ in range(scenes)], axis=1)
            queue.extend(order * scenes + np.arange(scenes))  # drawings lie one of each scene after the other
        yield np.concatenate(queue[:groups])
        queue = queue[groups:]


@dataclass(frozen=True)
class Settings:
    """What a run depends on."""

    seed: int
    steps: int
    per_scene: int
    groups: int
    rate: float
    threads: int


def train(drawn_views: np.ndarray, drawn_tokens: np.ndarray, settings: Settings) -> CLIP:
    """Train a new model; ends with every token that no caption has set to the learned unknown token."""
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    model = CLIP(**MODEL_CFG).to(memory_format=torch.channels_last)
    seen = np.unique(drawn_tokens)
    end = VOCABULARY - 1
    unknown = int(np.setdiff1d(np.arange(1000, VOCABULARY), seen)[0])  # any token that no caption has
    decayed = [p for p in model.parameters() if p.ndim >= 2 and p is not model.token_embedding.weight]
    others = [p for p in model.parameters() if p.ndim < 2 or p is model.token_embedding.weight]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        lr=settings.rate,
        betas=(0.9, 0.98),
    )
    loss_of = ClipLoss()
    model.train()
    recent: list[float] = []
    start = time.perf_counter()
    scenes = len(drawn_views) // settings.per_scene
    for step, index in enumerate(batches(scenes, settings.per_scene, settings.groups, settings.steps, rng)):
        views = drawn_views[index, rng.integers(0, VIEWS_PER_DRAWING, len(index))]
        tokens = drawn_tokens[index, rng.integers(0, CAPTIONS_PER_DRAWING, len(index))]
        text = torch.from_numpy(with_unknown_words(tokens, unknown, end, rng).astype(np.int64))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings.steps, settings.rate)
        image_features = model.encode_image(augment(views, rng), normalize=True)
        text_features = model.encode_text(text, normalize=True)
        scale = model.logit_scale.exp()
        # The whole batch teaches details and how sure to be; the groups have no second picture of a scene, so no pair
        # is pushed apart that belongs together, and learning starts much earlier.
        loss = loss_of(image_features, text_features, scale)
        for images, texts in zip(image_features.split(scenes), text_features.split(scenes), strict=True):
            loss = loss + loss_of(images, texts, scale) / settings.groups
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        recent.append(loss.item())
        if (step + 1) % 100 == 0 or step + 1 == settings.steps:
            rate = (step + 1) / (time.perf_counter() - start)
            loss_now = statistics.mean(recent)
            print(f"  step {step + 1}: loss {loss_now:.3f}, scale {scale.item():.1f}, {rate:.2f} steps/s", flush=True)
            recent.clear()
    with torch.no_grad():
        table = model.token_embedding.weight
        unseen = np.setdiff1d(np.arange(VOCABULARY), seen)
        table[torch.from_numpy(unseen)] = table[unknown].clone()
    return model.eval()


def write_model(model: CLIP, out: Path) -> None:
    """Config and half-precision weights as an OpenCLIP folder; running statistics stay as exact as they are."""
    out.mkdir(parents=True, exist_ok=True)
    buffers = {name for name, _ in model.named_buffers()}
    state = {
        name: (tensor if name in buffers else tensor.half()).detach().clone().contiguous()
        for name, tensor in model.state_dict().items()
    }
    weights = out / "open_clip_model.safetensors"
    save_file(state, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # the library writes it for its owner only
    config = {"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS_CFG}
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


# --- Measuring -------------------------------------------------------------------------------------------------------


@dataclass
class Loaded:
    """The model as the tool loads it: from the folder."""

    model: CLIP
    preprocess: Callable[[Image.Image], torch.Tensor]
    tokenizer: Callable[[list[str]], torch.Tensor]

    @classmethod
    def from_folder(cls, folder: Path) -> Loaded:
        """Load as OpenCLIP loads any local folder."""
        name = f"local-dir:{folder}"
        model, _, preprocess = open_clip.create_model_and_transforms(name, require_pretrained=True)
        return cls(model.eval(), preprocess, open_clip.get_tokenizer(name))

    @torch.no_grad()
    def images(self, pixels: np.ndarray) -> torch.Tensor:
        """Features of pictures that are already squashed."""
        batch = [
            normalised(torch.from_numpy(p.copy()).permute(0, 3, 1, 2).float() / 255)
            for p in np.array_split(pixels, max(1, len(pixels) // 64))
        ]
        return torch.cat([self.model.encode_image(b, normalize=True) for b in batch])

    @torch.no_grad()
    def texts(self, label_set: LabelSet) -> dict[str, torch.Tensor]:
        """One vector per prompt, by class: the mean over the templates."""
        vectors = {}
        for name, prompts in label_set.classes.items():
            rows = []
            for prompt in prompts:
                text = self.tokenizer([t.format(prompt) for t in label_set.templates])
                mean = self.model.encode_text(text, normalize=True).mean(0)
                rows.append(mean / mean.norm())
            vectors[name] = torch.stack(rows)
        return vectors

    def classify(self, features: torch.Tensor, label_set: LabelSet) -> list[str]:
        """Label of each picture, scored as the tool scores it; `unsure` where the first two are close."""
        vectors = self.texts(label_set)
        with torch.no_grad():
            scale = self.model.logit_scale.exp()
            logits = torch.stack(
                [(scale * features @ v.T).logsumexp(-1) - math.log(len(v)) for v in vectors.values()], dim=-1
            )
            top = logits.softmax(-1).topk(2, dim=-1)
        names = list(vectors)
        return [
            names[best] if first - second >= label_set.margin else "unsure"
            for (first, second), (best, _) in zip(top.values.tolist(), top.indices.tolist(), strict=True)
        ]


@dataclass(frozen=True)
class Figure:
    """Share of right answers, and what the others were."""

    what: str
    right: int
    total: int
    wrong: tuple[tuple[str, int], ...]

    def line(self) -> str:
        """As printed and as in the model card."""
        return f"{self.what}: {100 * self.right / self.total:.1f} % ({self.right} of {self.total})"


def figure(what: str, truth: list[str], answers: list[str], scenes: list[str]) -> Figure:
    """Compare answers with the truth, and count the mistakes by scene."""
    wrong = Counter(
        f"{scene} -> {answer}" for scene, true, answer in zip(scenes, truth, answers, strict=True) if true != answer
    )
    return Figure(what, len(truth) - sum(wrong.values()), len(truth), tuple(wrong.most_common(8)))


def label_of(scenes: list[str]) -> list[str]:
    """The right labels."""
    return [draw_scenes.SCENES[scene] for scene in scenes]


def measure_drawings(
    loaded: Loaded, small: np.ndarray, large: np.ndarray, small_scenes: list[str], large_scenes: list[str]
) -> list[Figure]:
    """Accuracy on fresh drawings: with the tool's own labels, and with prompts and words that training never saw."""
    own = read_label_set(LABELS_DIR / "friendly-or-force.toml")
    small_features, large_features = loaded.images(small), loaded.images(large)
    figures = [
        figure(f"own labels, {what}", label_of(scenes), loaded.classify(features, own), scenes)
        for what, features, scenes in (
            ("drawn small", small_features, small_scenes),
            ("drawn at 960x720", large_features, large_scenes),
        )
    ]
    for label_set in HELD_OUT_LABEL_SETS:
        answers = loaded.classify(large_features, label_set)
        figures.append(figure(f"held-out labels '{label_set.name}'", label_of(large_scenes), answers, large_scenes))
    scene_set = LabelSet("scenes", ("{}", "a drawing of {}"), HELD_OUT_PROMPTS, margin=0.0)
    answers = loaded.classify(large_features, scene_set)
    figures.append(figure("held-out prompts, which scene", large_scenes, answers, large_scenes))
    return figures


def measure_sample(loaded: Loaded) -> list[Figure]:
    """Accuracy on the sample's pictures, opened and preprocessed as the tool does it."""
    with (SAMPLE_DIR / "truth.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    features = []
    for row in rows:
        with Image.open(SAMPLE_DIR / "www" / "media" / Path(row["file"]).name) as image:
            pixels = loaded.preprocess(ImageOps.exif_transpose(image))
        with torch.no_grad():
            features.append(loaded.model.encode_image(pixels[None], normalize=True))
    own = read_label_set(LABELS_DIR / "friendly-or-force.toml")
    answers = loaded.classify(torch.cat(features), own)
    return [figure("own labels, the sample", [r["label"] for r in rows], answers, [r["scene"] for r in rows])]


def glance_at_kinds(loaded: Loaded, large: np.ndarray, scenes: list[str]) -> list[str]:
    """What the picture-kind labels give: the most frequent answers for posters, screenshots and all other drawings."""
    answers = loaded.classify(loaded.images(large), read_label_set(LABELS_DIR / "picture-kind.toml"))
    lines = []
    for what in ("poster", "screenshot", "all others"):
        counts = Counter(
            answer
            for scene, answer in zip(scenes, answers, strict=True)
            if scene == what or (what == "all others" and scene not in ("poster", "screenshot"))
        )
        total = counts.total()
        shares = ", ".join(f"{name} {100 * n / total:.0f} %" for name, n in counts.most_common(3))
        lines.append(f"{what}: {shares}")
    return lines


CARD = """---
license: apache-2.0
library_name: open_clip
pipeline_tag: zero-shot-image-classification
tags:
- clip
---

# tiny: a CLIP for drawings

A very small CLIP (image and text tower) that comes with hashtag-photos, so that everything can be tried and tested
offline. It was trained from scratch, on drawings that this project's own code draws, with captions that this
project's own code writes. No photograph, no picture of anybody, and no other model's weights or answers went into it.

**It knows only those drawings. Never use it on real photographs:** it answers with confidence there too, and the
answers mean nothing. For photographs, take a CLIP that was trained on them.

## What it is

- An OpenCLIP folder: `open_clip.create_model_and_transforms("local-dir:models/tiny")`, with OpenCLIP's own tokenizer.
- Image tower: {image_tower}, {image_parameters:,} parameters; pictures are squashed to
  {size} x {size}.
- Text tower: {text_tower}, {text_parameters:,} parameters, of which
  {table_parameters:,} are the token table.
- {embed} dimensions in common. Weights in half precision, {megabytes:.1f} MB.
- Licence: Apache-2.0.

## How it was trained

- `{command}` took {minutes:.1f} minutes on a CPU with 2 cores (of which {draw_minutes:.1f} for drawing) and
  {processor_minutes:.1f} minutes of processor time, both cores together.
- Seed {seed}, {steps} steps with {batch} pairs each, OpenCLIP's `ClipLoss`, AdamW with a peak rate of {rate}.
- {drawings:,} drawings of {scenes} scenes ({per_scene} each), {captions} captions and {views} views of each. They have
  seeds below {sample_seeds:,}, those of the bundled sample have seeds from there on: none of the sample's pictures
  was seen in training.
- The same seed gives the same bytes on the same machine with the same versions (PyTorch {torch}, OpenCLIP
  {open_clip}, Pillow {pillow}) and {threads} threads.
- No caption is one of the prompts in `models/labels` in any template, and none has a prompt of five words or more
  in it. The held-out labels and prompts below are in `scripts/tiny_captions.py`; no caption has them either, and the
  words {held_out_words} are in none.
- Tokens that no caption has are all set to one learned "unknown" vector, so that a new word in a prompt does little
  harm.

## How well it does

Right answers on new drawings; `unsure` (the first two classes closer than the label set's margin) counts as wrong.

{figures}

## Limits

- Drawings of the {scenes} scenes of `scripts/draw_scenes.py` only. What else it is shown, it takes for one of them.
- It knows the words of its captions only, {words} tokens. Prompts with other words work as far as their known words
  carry them; a label whose main word is unknown does not work.
- It has learned nothing of kinds of pictures but poster and screenshot, and most words of the `picture-kind` labels are
  new to it. What it answers to them means nothing but for screenshots:
{kinds}
- It cannot read: what is written on a poster is a pattern to it.
"""


def card(loaded: Loaded, settings: Settings, values: dict[str, object]) -> str:
    """The model card."""
    model = loaded.model
    text_cfg, vision_cfg = MODEL_CFG["text_cfg"], MODEL_CFG["vision_cfg"]
    image_parameters = sum(p.numel() for p in model.visual.parameters())
    return CARD.format(
        image_tower=f"OpenCLIP's ModifiedResNet, layers {vision_cfg['layers']}, width {vision_cfg['width']}",
        image_parameters=image_parameters,
        size=IMAGE_SIZE,
        text_tower=f"transformer, {text_cfg['layers']} layers, width {text_cfg['width']}, {text_cfg['heads']} heads",
        text_parameters=sum(p.numel() for p in model.parameters()) - image_parameters,
        table_parameters=model.token_embedding.weight.numel(),
        embed=MODEL_CFG["embed_dim"],
        seed=settings.seed,
        steps=settings.steps,
        batch=settings.groups * len(draw_scenes.SCENES),
        rate=settings.rate,
        drawings=settings.per_scene * len(draw_scenes.SCENES),
        scenes=len(draw_scenes.SCENES),
        per_scene=settings.per_scene,
        captions=CAPTIONS_PER_DRAWING,
        views=VIEWS_PER_DRAWING,
        sample_seeds=SAMPLE_SEEDS,
        threads=settings.threads,
        torch=torch.__version__.split("+")[0],
        open_clip=open_clip.__version__,
        pillow=PIL.__version__,
        held_out_words=", ".join(f'"{w}"' for w in tiny_captions.HELD_OUT_WORDS),
        **values,
    )


def processor_minutes() -> float:
    """Processor time of this process and the drawing processes: unlike the clock, it leaves out what others ran."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(s.ru_utime + s.ru_stime for s in spent) / 60


def main() -> None:
    """Draw, train, write, load, measure."""
    parser = argparse.ArgumentParser(description="Train the bundled model `tiny` on drawings.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "models" / "tiny")
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--per-scene", type=int, default=700, help="training drawings of each scene")
    parser.add_argument("--groups", type=int, default=3, help="drawings of each scene in a batch")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--checks", type=int, default=24, help="validation drawings of each scene and size")
    parser.add_argument("--threads", type=int, default=2, help="another number gives other weights")
    args = parser.parse_args()
    settings = Settings(args.seed, args.steps, args.per_scene, args.groups, args.rate, args.threads)
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True)

    start = time.perf_counter()
    first = TRAIN_SEEDS + (settings.seed * 97 % 1000) * 100
    work = jobs(first, settings.per_scene)
    assert work[-1].seed < SMALL_SEEDS
    small_jobs, large_jobs = jobs(SMALL_SEEDS, args.checks), jobs(LARGE_SEEDS, args.checks)
    print(f"drawing {len(work)} training pictures of {len(draw_scenes.SCENES)} scenes", flush=True)
    with multiprocessing.get_context("spawn").Pool(2, start_worker) as pool:
        drawn = list(pool.imap(make, work, chunksize=64))
        draw_seconds = time.perf_counter() - start
        print(f"  took {draw_seconds:.0f} s; drawing the validation pictures", flush=True)
        small = np.stack(pool.map(make_small, small_jobs, chunksize=16))
        large = np.stack(pool.map(make_large, large_jobs, chunksize=8))
    views, tokens = np.stack([d.views for d in drawn]), np.stack([d.tokens for d in drawn])
    del drawn
    print(f"training for {settings.steps} steps ({time.perf_counter() - start:.0f} s so far)", flush=True)
    model = train(views, tokens, settings)
    write_model(model, args.out)
    minutes, processor = (time.perf_counter() - start) / 60, processor_minutes()
    print(f"wrote the model after {minutes:.1f} min, {processor:.1f} min of processor time", flush=True)

    loaded = Loaded.from_folder(args.out)
    small_scenes, large_scenes = [j.scene for j in small_jobs], [j.scene for j in large_jobs]
    figures = measure_drawings(loaded, small, large, small_scenes, large_scenes)
    if (SAMPLE_DIR / "truth.csv").is_file():
        figures += measure_sample(loaded)
    for entry in figures:
        print(entry.line(), "|", ", ".join(f"{what} x{n}" for what, n in entry.wrong))
    kinds = glance_at_kinds(loaded, large, large_scenes)
    print("picture-kind:", "; ".join(kinds))
    size = sum(path.stat().st_size for path in args.out.glob("open_clip*"))
    values = {
        "command": "python scripts/train_tiny_clip.py" + ("" if settings.seed == 1 else f" --seed {settings.seed}"),
        "minutes": minutes,
        "processor_minutes": processor,
        "draw_minutes": draw_seconds / 60,
        "megabytes": size / 1e6,
        "words": len(np.unique(tokens)),
        "figures": "\n".join(f"- {entry.line()}" for entry in figures),
        "kinds": "\n".join(f"  - {line}" for line in kinds),
    }
    (args.out / "README.md").write_text(card(loaded, settings, values), encoding="utf-8")
    print(f"{size / 1e6:.2f} MB; all in all {(time.perf_counter() - start) / 60:.1f} min", flush=True)


if __name__ == "__main__":
    main()
