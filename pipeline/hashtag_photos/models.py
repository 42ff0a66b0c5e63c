"""models/*.toml and OpenCLIP names -> a ModelSpec: which backbone, which weights, under which key its vectors stand.

It reads files and names only; clip.py loads what is named here. Importing it imports no torch.
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

DEFAULT = "large"
FOR_THE_SAMPLE = "tiny"
PRECISION = "fp32"
# what OpenCLIP takes from a local folder, in its order of preference (open_clip/factory.py, _find_checkpoint_in_dir)
_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)


@dataclass(frozen=True)
class ModelSpec:
    """A model. `reference` finds it again, `name` is for people and folders, `architecture` is what OpenCLIP calls it
    (with its schema), `weights` its tag, if it has one."""

    reference: str
    name: str
    architecture: str
    weights: str | None
    licence: str | None = None
    notes: str | None = None

    @property
    def folder(self) -> Path | None:
        """The OpenCLIP folder of a `local-dir:` model."""
        return (
            Path(self.architecture.removeprefix("local-dir:")) if self.architecture.startswith("local-dir:") else None
        )

    @cached_property
    def facts(self) -> dict[str, str | None]:
        """What decides its vectors, as far as it is known before loading; a folder's files by their sha256."""
        facts = {"open_clip": self.architecture, "weights": self.weights, "precision": PRECISION}
        if self.folder is not None:
            files = {
                "config_sha256": self.folder / "open_clip_config.json",
                "weights_sha256": weights_file(self.folder),
            }
            facts |= {"open_clip": "local-dir", **{name: _sha256(path) for name, path in files.items()}}
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

    Raises ModelError for an unknown name (with near ones) and for a folder without configuration or weights.
    """
    preset = presets().get(name)
    if preset is None:
        return _by_open_clip_name(name)
    values = tomllib.loads(preset.read_text())
    open_clip = values["open_clip"]
    if open_clip.startswith("local-dir:"):
        open_clip = f"local-dir:{bundled() / open_clip.removeprefix('local-dir:')}"
        spec = _folder(open_clip)
        architecture, weights = spec.architecture, spec.weights
    else:
        architecture, _, weights = open_clip.partition("/")  # a test holds that OpenCLIP knows it
    return ModelSpec(name, name, architecture, weights or None, values.get("licence"), values.get("notes"))


def weights_file(folder: Path) -> Path:
    """The weights that OpenCLIP takes from a folder. Raises ModelError if there are none."""
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(
        f"{folder}: there are no weights in this model folder (a file such as {_WEIGHTS[0]}); "
        "without them its answers would be chance",
        subject=folder,
    )


def slug(name: str) -> str:
    """A name as letters of any script, digits, dots, underscores and dashes."""
    return re.sub(r"[^\w.]+", "-", name.lower()).strip("-.") or "unnamed"


def _by_open_clip_name(name: str) -> ModelSpec:
    if name.startswith("local-dir:"):
        return _folder(name)
    if name.startswith("hf-hub:") and name.count("/") == 1:
        return ModelSpec(name, name.removeprefix("hf-hub:"), name, None)

    from hashtag_photos.clip import pretrained_names  # seconds: only for names that are no preset

    known = pretrained_names()
    if name in known:
        architecture, weights = name.split("/", 1)
        return ModelSpec(name, name, architecture, weights)
    by_lower = {each.lower(): each for each in [*presets(), *known]}
    near = difflib.get_close_matches(name.lower(), by_lower, n=4, cutoff=0.5) or list(presets())
    raise ModelError(
        f"there is no model {name!r}; near it: {', '.join(by_lower[each] for each in near)}; give a preset "
        f"({', '.join(presets())}), an OpenCLIP name such as ViT-L-14/datacomp_xl_s13b_b90k, hf-hub:org/repo, "
        "or local-dir:/path",
        subject=name,
    )


def _folder(open_clip: str) -> ModelSpec:
    folder = Path(open_clip.removeprefix("local-dir:")).expanduser().resolve()
    if not (folder / "open_clip_config.json").is_file():
        raise ModelError(f"{folder}: is not an OpenCLIP model folder (it has no open_clip_config.json)", subject=folder)
    weights_file(folder)
    return ModelSpec(f"local-dir:{folder}", folder.name, f"local-dir:{folder}", None)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
