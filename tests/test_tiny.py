"""The bundled model earns its labels through text: prompts that it never saw as training captions work."""

import random
import subprocess
import sys
from collections.abc import Callable
from functools import cache

import pytest
from conftest import REPOSITORY, SAMPLE
from PIL import Image

import draw_scenes
import hashtag_photos as hp
import tiny_captions
from hashtag_photos.labels import LabelClass, LabelSet, find_labels

FIRST_SEED = 3_000_000  # training and the sample have smaller ones
PER_SCENE = 2


@cache
def drawings() -> list[tuple[Image.Image, str]]:
    """Pictures that neither training nor the sample has, with their labels."""
    numbers = [(scene, FIRST_SEED + i) for scene in draw_scenes.SCENES for i in range(PER_SCENE)]
    return [(draw_scenes.draw(scene, seed, 800, 600).image, draw_scenes.SCENES[scene]) for scene, seed in numbers]


def label_set(name: str, **prompts: tuple[str, ...]) -> LabelSet:
    return LabelSet(
        name=name,
        title=name,
        question="?",
        margin=0.1,
        templates=("{}",),
        classes=tuple(LabelClass(name=each, title=each, prompts=texts) for each, texts in prompts.items()),
    )


PLAIN = label_set(
    "plain",
    friendly=(
        "an officer and a resident greet each other with a handshake",
        "two people take a selfie together with a cop",
        "a cop kneels down to help a little kid",
        "a warm hug with an officer",
        "everybody smiles for a group photo with the police",
        "an officer strokes a dog",
        "a kid slaps hands with a cop, a high five",
    ),
    conflict_and_force=(
        "a cop beats someone with a raised baton",
        "officers in helmets stand in a row behind shields",
        "someone lies on the ground with officers on top",
        "a cop sprays people in the face",
        "a man in handcuffs is arrested by a cop",
        "officers drag somebody across the ground",
        "the crowd with signs fights with the police",
    ),
    neither=(
        "some words on a poster",
        "a phone with a message on its screen",
        "the skyline of a town by the water",
        "food on a plate",
        "a car stands in the street",
        "a street with houses and nobody there",
        "hills and trees",
        "a cat or a dog alone",
        "a cup on a table",
    ),
)


def share_right(labels: LabelSet, of: Callable[[str], str] = str) -> float:
    results = hp.Classifier(model="tiny", labels=labels)(image for image, _ in drawings())
    right = [result.label == of(label) for result, (_, label) in zip(results, drawings(), strict=True)]
    return sum(right) / len(right)


def test_the_default_labels_on_new_drawings() -> None:
    assert share_right(find_labels("friendly-or-force")) >= 0.95


def test_prompts_in_other_words() -> None:
    captions = tiny_captions.Grammar.without_prompts_of(REPOSITORY / "models/labels")
    dice = random.Random(0)
    drawn = draw_scenes.draw("handshake", 5, 64, 64)
    written = {captions.caption(drawn.scene, drawn.label, drawn.facts, dice) for _ in range(2000)}
    assert not written & {prompt for each in PLAIN.classes for prompt in each.prompts}
    assert share_right(PLAIN) >= 0.9


@pytest.mark.parametrize("held_out", tiny_captions.HELD_OUT_LABEL_SETS, ids=lambda each: each.name)
def test_prompts_that_were_held_out_of_training(held_out: tiny_captions.LabelSet) -> None:
    labels = label_set("held out", **{name: tuple(prompts) for name, prompts in held_out.classes.items()})
    assert share_right(labels) >= 0.9


def test_labels_follow_the_text_and_not_the_name_of_the_class() -> None:
    """The same prompts under each other's names: the labels change places."""
    texts = {each.name: each.prompts for each in PLAIN.classes}
    turned = {"friendly": "conflict_and_force", "conflict_and_force": "neither", "neither": "friendly"}
    swapped = label_set("swapped", **{turned[name]: prompts for name, prompts in texts.items()})
    assert share_right(swapped, turned.__getitem__) >= 0.9


def test_no_caption_is_a_prompt_of_the_bundled_label_sets() -> None:
    captions = tiny_captions.Grammar.without_prompts_of(REPOSITORY / "models/labels")
    for name in ("friendly-or-force", "picture-kind"):
        labels = find_labels(name)
        for prompt in (prompt for each in labels.classes for prompt in each.prompts):
            for template in labels.templates:
                assert not captions.allows(template.replace("{}", prompt))


def test_the_samples_pictures_were_never_trained_on() -> None:
    code = "import train_tiny_clip as t; print(t.SAMPLE_SEEDS); t.make(t.Job('hug', t.SAMPLE_SEEDS))"
    done = subprocess.run(
        [sys.executable, "-c", f"import train_tiny_clip as t; t._grammar = t._tokenizer = 1; {code}"],
        cwd=REPOSITORY / "scripts", capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "assert job.seed < SAMPLE_SEEDS" in done.stderr
    seeds = [int(line.split(",")[4]) for line in (SAMPLE / "truth.csv").read_text().splitlines()[1:]]
    assert min(seeds) >= int(done.stdout)


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in (REPOSITORY / "models/tiny").iterdir()) < 8_000_000
