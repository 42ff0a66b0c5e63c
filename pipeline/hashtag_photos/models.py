"""models/*.toml and OpenCLIP names -> a ModelSpec: which backbone, which weights, under which key its vectors stand.

It reads names and small files only; weights.py finds the weights, clip.py loads them. Importing it imports no torch.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hashtag_photos.errors import ModelError
from hashtag_photos.weights import CONFIG, HUB_FILE, Weights, fetch_weights, find_weights, sha256_of, weights_file

__all__ = ["ModelSpec", "Weights", "bundled", "fetch_weights", "find_model", "find_weights", "presets", "slug"]

DEFAULT = "large"
FOR_THE_SAMPLE = "tiny"
PRECISIONS = ("fp32", "bf16")
#: the version of how pictures become pixels (pixels.py): other pixels, other vectors
PIXELS = 2


@dataclass(frozen=True)
class ModelSpec:
    """A model. `reference` finds it again, `name` is for people and folders, `architecture` is what OpenCLIP calls it
    (with its schema), `weights` its tag, if it has one. `hub` is the repository that has its weights, `file` what
    OpenCLIP asks for there. Presets also say how many `parameters` it has, and how many `megabytes` its weights."""

    reference: str
    name: str
    architecture: str
    weights: str | None
    licence: str | None = None
    notes: str | None = None
    precision: str = PRECISIONS[0]
    hub: str | None = None
    file: str = HUB_FILE
    parameters: int | None = None
    megabytes: int | None = None

    @property
    def folder(self) -> Path | None:
        """The OpenCLIP folder of a `local-dir:` model."""
        return (
            Path(self.architecture.removeprefix("local-dir:")) if self.architecture.startswith("local-dir:") else None
        )

    @cached_property
    def facts(self) -> dict[str, str | int | None]:
        """What decides its vectors, as far as it is known before loading; a folder's files by their sha256."""
        facts: dict[str, str | int | None] = {
            "open_clip": self.architecture,
            "weights": self.weights,
            "precision": self.precision,
            "pixels": PIXELS,
        }
        if self.folder is not None:
            files = {"config_sha256": self.folder / CONFIG, "weights_sha256": weights_file(self.folder)}
            facts |= {"open_clip": "local-dir", **{name: sha256_of(path) for name, path in files.items()}}
        return facts

    @cached_property
    def key(self) -> str:
        """Name and fingerprint, fit for a folder name: the same key means the same vectors."""
        digest = hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()
        return f"{slug(self.name)}-{digest[:8]}"


def bundled() -> Path:
    """Where the bundled models are: inside the installed package, or beside pipeline/ in a checkout."""
    package = Path(__file__).parent
    return package / "models" if (package / "models").is_dir() else package.parent.parent / "models"


def presets() -> dict[str, Path]:
    """The bundled presets by name."""
    return {path.stem: path for path in sorted(bundled().glob("*.toml"))}


def find_model(name: str) -> ModelSpec:
    """The model that a name means: a preset, or anything that OpenCLIP knows.

    Raises ModelError for an unknown name (with near ones), for a folder without configuration or weights, and for
    weights trained with another activation (QuickGELU) than their architecture has, where OpenCLIP only warns and
    computes wrong vectors.
    """
    preset = presets().get(name)
    if preset is None:
        return _by_open_clip_name(name)
    values = tomllib.loads(preset.read_text())
    open_clip = values.pop("open_clip")
    if open_clip.startswith("local-dir:"):
        architecture, weights = (
            _folder(f"local-dir:{bundled() / open_clip.removeprefix('local-dir:')}").architecture,
            "",
        )
    else:
        architecture, _, weights = open_clip.partition("/")  # a test holds that OpenCLIP knows it
    return ModelSpec(name, name, architecture, weights or None, **values)


def slug(name: str) -> str:
    """A name as letters of any script, digits, dots, underscores and dashes."""
    return re.sub(r"[^\w.]+", "-", name.lower()).strip("-.") or "unnamed"


# Names


def _by_open_clip_name(name: str) -> ModelSpec:
    if name.startswith("local-dir:"):
        return _folder(name)
    if name.startswith("hf-hub:") and name.count("/") == 1:
        repository = name.removeprefix("hf-hub:")
        return ModelSpec(name, repository, name, None, hub=repository)

    import open_clip  # seconds: only for names that are no preset

    known = {f"{architecture}/{tag}": (architecture, tag) for architecture, tag in open_clip.list_pretrained()}
    if name in known:
        architecture, tag = known[name]
        if not _fits(architecture, tag):
            raise _unfit(architecture, tag)
        repository, _, file = open_clip.get_pretrained_cfg(architecture, tag)["hf_hub"].rpartition("/")
        return ModelSpec(name, name, architecture, tag, hub=repository, file=file or HUB_FILE)
    by_lower = {each.lower(): each for each in [*presets(), *(each for each, parts in known.items() if _fits(*parts))]}
    near = difflib.get_close_matches(name.lower(), by_lower, n=4, cutoff=0.5) or list(presets())
    raise ModelError(
        f"there is no model {name!r}; near it: {', '.join(by_lower[each] for each in near)}; give a preset "
        f"({', '.join(presets())}), an OpenCLIP name such as ViT-L-14/datacomp_xl_s13b_b90k, hf-hub:org/repo, "
        "or local-dir:/path",
        subject=name,
    )


def _fits(architecture: str, tag: str) -> bool:
    """Whether an architecture has the activation that its weights were trained with."""
    import open_clip

    trained_with = open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
    return bool(trained_with == open_clip.get_model_config(architecture).get("quick_gelu", False))


def _unfit(architecture: str, tag: str) -> ModelError:
    import open_clip

    quick = open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
    right = f"{architecture}-quickgelu"
    has_it = quick and open_clip.get_pretrained_cfg(right, tag) and _fits(right, tag)
    return ModelError(
        f"{architecture}/{tag}: these weights were trained {'with' if quick else 'without'} QuickGELU, and "
        f"{architecture} computes {'without' if quick else 'with'} it: its vectors would be wrong; "
        + (f"take {right}/{tag}" if has_it else "OpenCLIP has no other architecture for them: choose another model"),
        subject=f"{architecture}/{tag}",
    )


def _folder(open_clip: str) -> ModelSpec:
    folder = Path(open_clip.removeprefix("local-dir:")).expanduser().resolve()
    if not (folder / CONFIG).is_file():
        raise ModelError(f"{folder}: is not an OpenCLIP model folder (it has no {CONFIG})", subject=folder)
    weights_file(folder)
    return ModelSpec(f"local-dir:{folder}", folder.name, f"local-dir:{folder}", None)
