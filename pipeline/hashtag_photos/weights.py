"""Where a model's weights are, and how they get here: a folder, the hub's cache on this machine, the hub.

Whatever is on this machine is taken as it is and no network is asked: the hub may have moved on, a run may not. What
the hub states of a file (its sha256) is held. It knows nothing of what is in the weights.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hashtag_photos.errors import ModelError
from hashtag_photos.words import first_line

if TYPE_CHECKING:
    from hashtag_photos.models import ModelSpec

CONFIG = "open_clip_config.json"
#: in a folder made by `models fetch --to`: where its weights came from
ORIGIN = "origin.json"
#: what OpenCLIP takes from a repository that names no file (open_clip/constants.py, HF_WEIGHTS_NAME)
HUB_FILE = "open_clip_pytorch_model.bin"
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
# what a tokenizer of transformers can consist of; most have three or four of these
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "config.json",
)


@dataclass(frozen=True)
class Weights:
    """A file of weights on this machine, and the hub's repository and commit that it came from, where that is known.

    `stated` is the sha256 that it must have, `remedy` what to do if it hasn't.
    """

    path: Path
    hub: str | None = None
    commit: str | None = None
    stated: str | None = None
    remedy: str = ""

    @property
    def sha256(self) -> str:
        """Of the file, read once in a process. Raises ModelError if it is not what its origin states."""
        found = sha256_of(self.path)
        if self.stated not in (None, found):
            raise ModelError(
                f"{self.path}: the weights are damaged: their sha256 is {found[:12]}…, {self.hub or ORIGIN} states "
                f"{self.stated[:12] if self.stated else ''}…; {self.remedy}",
                subject=self.path,
            )
        return found


def find_weights(spec: ModelSpec) -> Weights | None:
    """The weights of a model as they are on this machine, or None; no network is asked, and the file isn't read yet."""
    if spec.folder is not None:
        return _in_folder(spec.folder)
    if spec.hub is None:
        return None
    for commit in _commits(spec.hub):
        found = [_cached(spec.hub, name, commit) for name in _hub_files(spec)]
        path = next((each for each in found if isinstance(each, Path)), None)
        if path is not None and (spec.weights or isinstance(_cached(spec.hub, CONFIG, commit), Path)):
            return _from_cache(spec, path)
    return None


def fetch_weights(spec: ModelSpec) -> Weights:
    """The weights of a model, downloaded if they are not on this machine, and checked against what the hub states.

    Raises ModelError if they can't be had, or are damaged.
    """
    weights = find_weights(spec)
    if weights is None:
        weights = _download(spec)
        if weights.stated not in (None, sha256_of(weights.path)):
            _blob(weights.path).unlink()
            weights.path.unlink(missing_ok=True)
            raise ModelError(
                f"the weights of model {spec.name!r} came damaged from {spec.hub} (their sha256 is not what it "
                "states), and are deleted again: type the same once more",
                subject=spec.name,
            )
    _ = weights.sha256  # raises if they are damaged
    return weights


def fetch(spec: ModelSpec) -> Weights:
    """All that a model needs, into the hub's cache: weights, and a tokenizer if it has one of its own.

    Raises ModelError as `fetch_weights` does.
    """
    weights = fetch_weights(spec)
    if spec.hub:
        _tokenizer(spec, weights)
    return weights


def pack(spec: ModelSpec, folder: Path) -> Weights:
    """A model as a folder that OpenCLIP loads by `local-dir:`, to be carried to another machine.

    It appears whole, or not at all, and says where its weights came from; one that is there already is checked. Raises
    ModelError as `fetch_weights` does, and if something else stands there.
    """
    if spec.folder is not None:
        raise ModelError(f"model {spec.name!r} is a folder already: copy {spec.folder}", subject=spec.name)
    weights = fetch_weights(spec)
    folder = folder.expanduser().resolve()
    origin = {"model": spec.reference, "hub": weights.hub, "commit": weights.commit, "sha256": weights.sha256}
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        if _origin(folder) != origin:
            raise ModelError(f"{folder}: something else stands there; choose a new folder with --to", subject=folder)
        packed = _in_folder(folder)
        _ = packed.sha256
        return packed
    config = _config(spec, weights)
    text = config["model_cfg"].get("text_cfg", {})
    if text.get("hf_model_name"):
        raise ModelError(
            f"model {spec.name!r} can't be put into a folder: OpenCLIP builds its text tower from the hub's "
            f"{text['hf_model_name']}; choose another model",
            subject=spec.name,
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
            made = Path(temporary) / "model"
            made.mkdir()
            # by the name that OpenCLIP prefers in a folder
            name = (
                _WEIGHTS[0]
                if weights.path.suffix == ".safetensors"
                else f"open_clip_pytorch_model{weights.path.suffix}"
            )
            for source in (weights.path, *_tokenizer(spec, weights)):
                with source.open("rb") as file:
                    _write(made / (name if source == weights.path else source.name), file)
            for title, values in {CONFIG: config, ORIGIN: origin}.items():
                _write(made / title, io.BytesIO(f"{json.dumps(values, indent=2)}\n".encode()))
            _ = _in_folder(made).sha256  # as it was written
            made.rename(folder)
    except OSError as error:
        raise ModelError(
            f"{folder}: can't be written: {error.strerror or error}; choose another folder with --to", subject=folder
        ) from error
    return _in_folder(folder)


def config_of(spec: ModelSpec) -> dict[str, Any]:
    """Architecture and preprocessing of a model by OpenCLIP's name, as its open_clip_config.json would have them."""
    import open_clip  # seconds
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    model = open_clip.get_model_config(spec.architecture)
    trained = open_clip.get_pretrained_cfg(spec.architecture, spec.weights)
    preprocess = merge_preprocess_dict(asdict(PreprocessCfg()), trained)
    return {"model_cfg": model, "preprocess_cfg": {**preprocess, "size": model["vision_cfg"]["image_size"]}}


def _in_folder(folder: Path) -> Weights:
    path, origin = weights_file(folder), _origin(folder)
    if origin is None:
        return Weights(path)
    model, to = origin.get("model"), f"hashtag-photos models fetch {origin.get('model')} --to {folder}"
    remedy = (
        f"delete the folder and bring it again ({to}), or, if {model} is not what it is meant to be, delete {ORIGIN}"
    )
    return Weights(path, origin.get("hub"), origin.get("commit"), origin.get("sha256"), remedy)


def _origin(folder: Path) -> dict[str, str | None] | None:
    """Where a folder's weights came from, if it says so."""
    if not (folder / ORIGIN).is_file():
        return None
    try:
        origin = json.loads((folder / ORIGIN).read_text())
    except ValueError:
        origin = None
    if not isinstance(origin, dict):
        raise ModelError(f"{folder / ORIGIN}: can't be read; delete it, or bring the folder again", subject=folder)
    return origin


def _hub_files(spec: ModelSpec) -> tuple[str, str]:
    """What OpenCLIP takes from the hub, the safe format first (open_clip/pretrained.py, _get_safe_alternatives)."""
    safe = _WEIGHTS[0] if spec.file == HUB_FILE else f"{spec.file.rpartition('.')[0]}.safetensors"
    return safe, spec.file


def _commits(repository: str) -> Iterator[str]:
    """The hub's commits that are in the cache: the one that it takes for the newest, then the others by their time."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    yield "main"
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model") / "snapshots"
    snapshots = sorted(folder.glob("*"), key=lambda path: path.stat().st_mtime, reverse=True)
    yield from (path.name for path in snapshots)


def _cached(repository: str, name: str, commit: str = "main") -> Path | bool:
    """A file in the hub's cache; False if it isn't there, True if the hub is known to have none of that name."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, name, revision=commit)
    return Path(found) if isinstance(found, str) else found is not None


def _from_cache(spec: ModelSpec, path: Path) -> Weights:
    # a file's blob is called by its sha256; small files, which aren't, have git's 40 digits
    stated = _blob(path).name
    remedy = f"delete {_blob(path)} and type: hashtag-photos models fetch {spec.reference}"
    return Weights(path, spec.hub, path.parent.name, stated if re.fullmatch("[0-9a-f]{64}", stated) else None, remedy)


def _blob(path: Path) -> Path:
    """What a name in the hub's cache points to; itself where there are no links."""
    return Path(os.path.normpath(path.parent / path.readlink())) if path.is_symlink() else path


def _download(spec: ModelSpec) -> Weights:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import RemoteEntryNotFoundError

    hub = spec.hub or ""
    with _hub_errors(spec):
        for name in _hub_files(spec):
            try:
                # asked first, since this fails at once where hf_hub_download would try for half a minute
                get_hf_file_metadata(hf_hub_url(hub, name))
            except RemoteEntryNotFoundError:
                continue
            if spec.weights is None:
                hf_hub_download(hub, CONFIG)
            hf_hub_download(hub, name)
            break
        else:
            names = " or ".join(_hub_files(spec))
            raise ModelError(f"{hub} has no weights that OpenCLIP takes ({names}): choose another", subject=spec.name)
    weights = find_weights(spec)
    if weights is None:
        raise ModelError(f"{hub} changed while it was downloaded; type the same once more", subject=spec.name)
    return weights


def _tokenizer(spec: ModelSpec, weights: Weights) -> list[Path]:
    """Files of the tokenizer that a model names, in the hub's cache, downloaded if need be; most models name none."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    text = _config(spec, weights)["model_cfg"].get("text_cfg", {})
    repository = text.get("hf_tokenizer_name") or text.get("hf_model_name")
    files: list[Path] = []
    for name in _TOKENIZER if repository else ():
        found = _cached(repository, name)
        if not found:
            with _hub_errors(spec), suppress(RemoteEntryNotFoundError):
                found = Path(hf_hub_download(repository, name))
        files += [found] if isinstance(found, Path) else []
    return files


def _config(spec: ModelSpec, weights: Weights) -> dict[str, Any]:
    """Architecture and preprocessing of a model at the hub."""
    if spec.weights:
        return config_of(spec)
    config: dict[str, Any] = json.loads((weights.path.parent / CONFIG).read_text())
    return config


@contextmanager
def _hub_errors(spec: ModelSpec) -> Iterator[None]:
    """Whatever goes wrong with the hub, as one line and no log lines."""
    from huggingface_hub.errors import RepositoryNotFoundError

    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # the hub's own, those of its HTTP client, OSError
        reason = first_line(error).rstrip(".")
        if isinstance(error, RepositoryNotFoundError):
            reason = f"the hub has no repository {spec.hub}, or not for everybody (log in with HF_TOKEN)"
        raise ModelError(
            f"the weights of model {spec.name!r} are not on this machine and can't be had: {reason}; bring them from a "
            f"machine that can have them: there, hashtag-photos models fetch {spec.reference} --to FOLDER, and here "
            "--model local-dir:FOLDER",
            subject=spec.name,
        ) from error
    finally:
        logger.setLevel(level)


def _write(path: Path, content: IO[bytes]) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())


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


def sha256_of(path: Path) -> str:
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns)


@functools.cache
def _sha256(path: Path, _size: int, _changed: int) -> str:
    """Once per process and state of a file: weights have gigabytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
