from dataclasses import asdict
from pathlib import Path

import pytest

from hashtag_photos.errors import LabelSetError
from hashtag_photos.labels import (
    KINDS,
    TEXT_KINDS,
    LabelClass,
    LabelSet,
    asked,
    find_labels,
    label_set_from_facts,
    label_set_presets,
)

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
        ("classes.dogs", "classes.skip", "can't have a class named 'skip'"),
        ("classes.dogs", "classes.unsure", "can't have a class named 'unsure'"),
        ("classes.dogs", "classes.'big dogs'", "can't have a class named 'big dogs'"),
        ('["a cat"]', '["a cat", "a cat"]', "the prompt 'a cat' 2 times, once is enough"),
        ('["a cat"]', '["a dog"]', "the prompt 'a dog' 2 times"),
        ('"{}.", "a photo', '"{}.", "{}.", "a photo', "the template '{}.' 2 times"),
        ('["a cat"]', '["a photo of {}"]', "{} in the prompt 'a photo of {}', which is what templates have"),
        ('["a cat"]', f'["{"a cat " * 1000}"]', r"the prompt 'a cat a .*…' of 6000 characters; models read no more"),
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


def test_the_kinds_made_of_words_are_classes_of_the_set_of_kinds() -> None:
    assert set(TEXT_KINDS) < set(find_labels(KINDS).class_names)


def test_a_class_can_not_stand_twice() -> None:
    cats = LabelClass(name="cats", title="Cats", prompts=("a cat",))
    kittens = LabelClass(name="cats", title="Kittens", prompts=("a kitten",))
    with pytest.raises(LabelSetError, match="the class 'cats' 2 times"):
        LabelSet(name="x", title="X", question="?", margin=0.1, templates=("{}",), classes=(cats, kittens))


def test_a_question_can_be_asked_in_passing() -> None:
    labels = asked(
        [
            "friendly: a police officer hugging a child",
            "Conflict-and  force:a baton | riot police | friendly: a poster: hello",
        ]
    )
    usual = find_labels("friendly-or-force")
    assert [(each.name, each.title, each.prompts) for each in labels.classes] == [
        ("friendly", "Friendly", ("a police officer hugging a child", "a poster: hello")),
        ("conflict_and_force", "Conflict and force", ("a baton", "riot police")),
    ]
    assert (labels.name, labels.templates, labels.margin) == (
        "asked: friendly / conflict_and_force",
        usual.templates,
        usual.margin,
    )
    assert labels.title == "Friendly / Conflict and force"
    assert label_set_from_facts(asdict(labels)) == labels


def test_what_is_asked_in_passing_is_known_by_what_is_asked() -> None:
    one = asked(["dogs: a dog", "cats: a cat"])
    assert asked("dogs:  a dog | CATS: a cat").key == one.key
    assert asked(["dogs: a dog", "cats: a kitten"]).key != one.key
    assert one.key.startswith("asked-")


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], r"at least two classes are needed to choose between, not none: ask such as --ask \"friendly: a"),
        (["dogs: a dog", "Dogs: a puppy"], "two classes are needed to choose between, not 'dogs' alone"),
        (["a dog", "cats: a cat"], "'a dog' names no class: ask such as --ask"),
        ([": a dog", "cats: a cat"], "': a dog' names no class"),
        (["", "cats: a cat"], "'' names no class"),
        (["dogs:", "cats: a cat"], "'dogs:' has no prompt for the class 'dogs'"),
        (["dogs: a dog |  | a puppy", "cats: a cat"], "has no prompt for the class 'dogs'"),
        (["skip: a blur", "cats: a cat"], "can't have a class named 'skip'"),
        (["unsure: a blur", "cats: a cat"], "can't have a class named 'unsure'"),
        (["Un sure: a blur", "hündchen: a dog"], "can't have a class named 'hündchen': letters a to z"),
        (["../../x: a dog", "cats: a cat"], r"can't have a class named '../../x'"),
        (["dogs: a dog", "cats: a dog"], "the prompt 'a dog' 2 times"),
        (["dogs: a photo of {}", "cats: a cat"], "{} in the prompt 'a photo of {}'"),
        (["dogs: " + "a dog " * 100_000, "cats: a cat"], "of 599999 characters; models read no more than 300"),
        (["x" * 100_000, "cats: a cat"], "^'x{57}…' names no class"),
        (["dogs: a \udcff", "cats: a cat"], "is not all text"),
    ],
)
def test_what_can_not_be_asked_in_passing_says_what_to_type(prompts: list[str], message: str) -> None:
    with pytest.raises(LabelSetError, match=message) as caught:
        asked(prompts)
    assert len(str(caught.value)) < 400


def test_other_braces_are_only_words() -> None:
    assert asked(["dogs: a {dog}", "cats: a } cat"]).classes[0].prompts == ("a {dog}",)
