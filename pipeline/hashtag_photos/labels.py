"""models/labels/*.toml -> a LabelSet: classes, their prompts, the templates around them, and when not to decide.

    name = "friendly-or-force"
    margin = 0.10                               # below it, between the two best classes, a picture is `unsure`
    templates = ["{}.", "a photo of {}."]       # each prompt is put into each; the vectors are averaged
    [classes.friendly]
    title = "Friendly"                          # optional, for people
    prompts = ["a police officer shaking hands with a person"]

A prompt is one thing that can be seen; a class is as likely as its prompts are on average (see stages/score.py).
A question can also be asked in passing, as texts such as "friendly: a police officer hugging a child".
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hashtag_photos.errors import LabelSetError
from hashtag_photos.models import bundled, slug

DEFAULT = "friendly-or-force"
KINDS = "picture-kind"
TEXT_KINDS = ("screenshot_or_text", "poster", "meme")  # classes of KINDS whose pictures are made of words
UNSURE = "unsure"  # what the model says of pictures that it can't tell
SKIP = "skip"  # and what people say of those
_NOT_CLASSES = (UNSURE, SKIP)
_THESE = " or ".join(map(repr, _NOT_CLASSES))
_CLASS_NAME = re.compile(r"[a-z][a-z0-9_]*")
_QUESTION = "What does this picture show?"
ASKED = "asked: "  # what the names of label sets begin with that were asked in passing
_LONGEST_PROMPT = 300  # characters; models read 64 or 77 tokens, and what comes after would be left out in silence
_ASK = 'ask such as --ask "friendly: a police officer hugging a child" "conflict_and_force: a line of riot police"'
_KEYS = {"name", "title", "question", "margin", "templates", "classes"}


@dataclass(frozen=True, kw_only=True)
class LabelClass:
    """A class: its name in tables, its title for people, and the things that can be seen in its pictures."""

    name: str
    title: str
    prompts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LabelSet:
    """A question that is put to every picture. Raises LabelSetError if it can't be asked."""

    name: str
    title: str
    question: str
    margin: float
    templates: tuple[str, ...]
    classes: tuple[LabelClass, ...]

    def __post_init__(self) -> None:
        names = [each.name for each in self.classes]
        if len(names) < 2:
            raise self._error(f"has {len(names)} classes, at least two are needed to choose between")
        for name in names:
            if not _CLASS_NAME.fullmatch(name) or name in _NOT_CLASSES:
                raise self._error(f"can't have a class named {name!r}: small letters, digits and _, and not {_THESE}")
        if not 0 <= self.margin < 1:
            raise self._error(f"has the margin {self.margin}, it must be at least 0 and below 1")
        if not self.templates:
            raise self._error('has no templates; the simplest is templates = ["{}"]')
        for template in self.templates:
            if template.count("{}") != 1 or re.search(r"[{}]", template.replace("{}", "")):
                raise self._error(f"has the template {template!r}, which must hold {{}} once, for the prompt")
        for each in self.classes:
            if not each.prompts or not all(prompt.strip() for prompt in each.prompts):
                raise self._error(f"has no prompts for the class {each.name!r}, or an empty one")
            for prompt in each.prompts:
                if "{}" in prompt:
                    raise self._error(f"has {{}} in the prompt {_short(prompt)}, which is what templates have")
                if len(prompt) > _LONGEST_PROMPT:
                    raise self._error(
                        f"has the prompt {_short(prompt)} of {len(prompt)} characters; "
                        f"models read no more than {_LONGEST_PROMPT}"
                    )
        for what, texts in (
            ("class", names),
            ("template", self.templates),
            ("prompt", [prompt for each in self.classes for prompt in each.prompts]),
        ):
            # models read capitals and blanks as nothing of their own
            text, times = Counter(" ".join(text.lower().split()) for text in texts).most_common(1)[0]
            if times > 1:
                raise self._error(f"has the {what} {_short(text)} {times} times, once is enough")

    @cached_property
    def key(self) -> str:
        """Name and fingerprint, fit for a file name: the same key means the same question."""
        facts = asdict(self)
        for each in facts["classes"]:
            del each["title"]
        asked = {name: facts[name] for name in ("margin", "templates", "classes")}
        return f"{slug(self.name)}-{hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:8]}"

    @cached_property
    def question_key(self) -> str:
        """What a person is asked, fit for a file name: prompts and margin, which are the model's, are not in it.

        What people say of pictures holds for every label set with the same key.
        """
        asked = json.dumps([self.question, self.class_names])
        return f"{slug(self.name)}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in their order."""
        return tuple(each.name for each in self.classes)

    def _error(self, what: str) -> LabelSetError:
        return LabelSetError(f"label set {self.name!r} {what}", subject=self.name)


def label_set_presets() -> dict[str, Path]:
    """The bundled label sets by name."""
    return {path.stem: path for path in sorted((bundled() / "labels").glob("*.toml"))}


def find_labels(name: str) -> LabelSet:
    """The label set that a name means: a bundled one, or the path of a TOML file.

    Raises LabelSetError if there is none, or if it can't be read or asked.
    """
    known = label_set_presets()
    path = known.get(name)
    if path is None:
        path = Path(name).expanduser()
        if path.suffix != ".toml":
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise LabelSetError(
                f"there is no label set {name!r}; {hint}bundled: {', '.join(known)}; or give the path of a .toml file",
                subject=name,
            )
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise LabelSetError(f"{path}: no such file; bundled label sets: {', '.join(known)}", subject=name) from None
    except (OSError, UnicodeDecodeError) as error:
        raise LabelSetError(f"{path}: can't be read ({error})", subject=name) from error
    try:
        return _parse(tomllib.loads(text), path)
    except tomllib.TOMLDecodeError as error:
        raise LabelSetError(f"{path}: is not valid TOML: {error}", subject=name) from None


def asked(prompts: Iterable[str]) -> LabelSet:
    """The label set of texts "class: prompt", with templates and margin of the default one.

    Texts of one class add up. One text can hold several, divided by " | "; without a class, they are of the one before.
    Raises LabelSetError if they can't be asked.
    """
    by_class: dict[str, list[str]] = {}
    for text in [prompts] if isinstance(prompts, str) else prompts:
        for name, prompt in _classes_asked(text):
            by_class.setdefault(name, []).append(prompt)
    if len(by_class) < 2:
        had = f"{next(iter(by_class))!r} alone" if by_class else "none"
        raise LabelSetError(f"at least two classes are needed to choose between, not {had}: {_ASK}", subject=had)
    usual = find_labels(DEFAULT)
    classes = tuple(LabelClass(name=name, title=_title(name), prompts=tuple(texts)) for name, texts in by_class.items())
    return LabelSet(
        name=f"{ASKED}{' / '.join(by_class)}"[:60],
        title=" / ".join(each.title for each in classes),
        question=_QUESTION,
        margin=usual.margin,
        templates=usual.templates,
        classes=classes,
    )


def _classes_asked(text: str) -> Iterator[tuple[str, str]]:
    """Names of classes and their prompts in one text."""

    def error(what: str) -> LabelSetError:
        return LabelSetError(f"{_short(text)} {what}: {_ASK}", subject=text)

    if text != text.encode(errors="replace").decode():
        raise error("is not all text")
    name = ""
    for part in re.split(r"\s\|\s", text):
        before, colon, prompt = part.partition(":")
        if not colon and not name:
            raise error("names no class")
        if colon:
            name = re.sub(r"[\s_-]+", "_", before.strip().lower())
            if not name:
                raise error("names no class")
            if not _CLASS_NAME.fullmatch(name) or name in _NOT_CLASSES:
                raise error(f"can't have a class named {_short(name)}: letters a to z, digits and _, not {_THESE}")
        words = (prompt if colon else part).split()
        if not words:
            raise error(f"has no prompt for the class {name!r}")
        yield name, " ".join(words)


def label_set_from_facts(facts: dict[str, Any]) -> LabelSet:
    """The label set that `asdict` gave, as run.json remembers it."""
    classes = tuple(LabelClass(**{**each, "prompts": tuple(each["prompts"])}) for each in facts["classes"])
    return LabelSet(**{**facts, "templates": tuple(facts["templates"]), "classes": classes})


def _parse(values: dict[str, Any], path: Path) -> LabelSet:
    def text(where: dict[str, Any], key: str, default: str) -> str:
        value = where.get(key, default)
        if not isinstance(value, str):
            raise LabelSetError(f"{path}: {key} must be text, not {value!r}", subject=path)
        return value

    def texts(where: dict[str, Any], key: str, default: list[str]) -> tuple[str, ...]:
        value = where.get(key, default)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise LabelSetError(f"{path}: {key} must be a list of texts, not {value!r}", subject=path)
        return tuple(value)

    unknown = sorted(set(values) - _KEYS)
    if unknown:
        raise LabelSetError(f"{path}: unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}", subject=path)
    classes = values.get("classes")
    if not isinstance(classes, dict) or not all(isinstance(each, dict) for each in classes.values()):
        raise LabelSetError(
            f"{path}: has no classes; a class is a table [classes.NAME] with prompts = [...]", subject=path
        )
    for name, each in classes.items():
        strange = sorted(set(each) - {"title", "prompts"})
        if strange:
            raise LabelSetError(
                f"{path}: unknown key {strange[0]!r} in the class {name!r}; known are prompts, title", subject=path
            )
    margin = values.get("margin", 0.1)
    if isinstance(margin, bool) or not isinstance(margin, int | float):
        raise LabelSetError(f"{path}: margin must be a number, not {margin!r}", subject=path)
    name = text(values, "name", path.stem)
    return LabelSet(
        name=name,
        title=text(values, "title", name),
        question=text(values, "question", _QUESTION),
        margin=float(margin),
        templates=texts(values, "templates", ["{}"]),
        classes=tuple(
            LabelClass(
                name=key,
                title=text(each, "title", _title(key)),
                prompts=texts(each, "prompts", []),
            )
            for key, each in classes.items()
        ),
    )


def _title(class_name: str) -> str:
    return class_name.replace("_", " ").capitalize()


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}…")
