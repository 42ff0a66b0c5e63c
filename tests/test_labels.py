from dataclasses import asdict
from pathlib import Path

import pytest

from hashtag_photos.errors import LabelSetError
from hashtag_photos.labels import find_labels, label_set_from_facts, label_set_presets

GOOD = """
margin = 0.2
templates = ["{}.", "a photo of {}."]
[classes.dogs]
prompts = ["a dog", "a puppy"]
[classes.cats]
title = "Cats of all kinds"
prompts = ["a cat"]
"""


def written(folder: Path, text: str) -> str:
    (folder / "mine.toml").write_text(text)
    return str(folder / "mine.toml")


def test_a_file_becomes_a_label_set(tmp_path: Path) -> None:
    labels = find_labels(written(tmp_path, GOOD))
    assert (labels.name, labels.margin, labels.class_names) == ("mine", 0.2, ("dogs", "cats"))
    assert [each.title for each in labels.classes] == ["Dogs", "Cats of all kinds"]
    assert labels.classes[0].prompts == ("a dog", "a puppy")
    assert label_set_from_facts(asdict(labels)) == labels


def test_the_key_changes_with_the_question_and_not_with_its_title(tmp_path: Path) -> None:
    key = find_labels(written(tmp_path, GOOD)).key
    assert find_labels(written(tmp_path, GOOD.replace("Cats of all kinds", "Felines"))).key == key
    for old, new in (
        ("a puppy", "a hound"),
        ("0.2", "0.3"),
        ("a photo of {}.", "{}"),
        ("classes.cats", "classes.felines"),
    ):
        assert find_labels(written(tmp_path, GOOD.replace(old, new))).key != key


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("margin = 0.2", "margin = ", "not valid TOML"),
        ("margin = 0.2", "margin = 'x'", "margin must be a number"),
        ("margin = 0.2", "margin = 1.5", "at least 0 and below 1"),
        ("margin = 0.2", "treshold = 1", "unknown key 'treshold'; known are classes, margin"),
        ('["{}.", "a photo of {}."]', "[]", "no templates"),
        ('["{}.", "a photo of {}."]', '["a photo"]', "must hold {} once"),
        ('["{}.", "a photo of {}."]', '["{} {0}"]', "must hold {} once"),
        ('["a dog", "a puppy"]', "[]", "no prompts for the class 'dogs'"),
        ('["a dog", "a puppy"]', '"a dog"', "prompts must be a list"),
        ('prompts = ["a cat"]', 'prompts = ["a cat"]\npromts = []', "unknown key 'promts' in the class 'cats'"),
        ("classes.dogs", "classes.unsure", "can't have a class named 'unsure'"),
        ("classes.dogs", "classes.'big dogs'", "can't have a class named 'big dogs'"),
        ('[classes.cats]\ntitle = "Cats of all kinds"\nprompts = ["a cat"]', "", "has 1 classes"),
    ],
)
def test_an_unusable_file_says_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(LabelSetError, match=message):
        find_labels(written(tmp_path, GOOD.replace(old, new)))


def test_a_file_without_classes_and_one_that_is_not_text(tmp_path: Path) -> None:
    with pytest.raises(LabelSetError, match=r"has no classes; a class is a table \[classes.NAME\]"):
        find_labels(written(tmp_path, 'name = "x"'))
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(LabelSetError, match="can't be read"):
        find_labels(str(tmp_path / "mine.toml"))


def test_an_unknown_name_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(
        LabelSetError, match=r"no label set 'freindly-or-force'; did you mean 'friendly-or-force'\?.*picture-kind"
    ):
        find_labels("freindly-or-force")
    with pytest.raises(LabelSetError, match="no such file"):
        find_labels(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("name", ["friendly-or-force", "picture-kind"])
def test_the_bundled_sets_say_what_can_be_seen(name: str) -> None:
    labels = find_labels(name)
    assert labels.name == name
    assert name in label_set_presets()
    prompts = [prompt for each in labels.classes for prompt in each.prompts]
    assert len(set(prompts)) == len(prompts)
    assert not any(f" {word} " in f" {prompt} " for prompt in prompts for word in ("not", "no", "without"))


def test_the_default_set_has_a_way_out() -> None:
    assert find_labels("friendly-or-force").class_names == ("friendly", "conflict_and_force", "neither")
