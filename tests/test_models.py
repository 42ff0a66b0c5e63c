import re
import warnings
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest

from hashtag_photos.errors import ModelError
from hashtag_photos.models import bundled, find_model, find_weights, presets

REAL = sorted(set(presets()) - {"tiny"})


@pytest.mark.parametrize("name", REAL)
def test_presets_are_what_open_clip_knows(name: str) -> None:
    spec = find_model(name)
    registered = find_model(f"{spec.architecture}/{spec.weights}")
    assert (spec.hub, spec.file) == (registered.hub, registered.file)
    model = open_clip.create_model(spec.architecture, device="meta", pretrained_text=False)
    assert spec.parameters == sum(each.numel() for each in model.parameters())
    assert spec.megabytes == pytest.approx(spec.parameters * 4 / 1e6, abs=1), "float32, as the hub has them"
    assert spec.licence == "Apache-2.0"


def test_the_bundled_model_is_as_large_as_its_preset_says() -> None:
    spec = find_model("tiny")
    model = open_clip.create_model(spec.architecture)
    assert spec.parameters == sum(each.numel() for each in model.parameters())
    weights = find_weights(spec)
    assert weights is not None
    assert spec.megabytes == round(weights.path.stat().st_size / 1e6)


def test_a_folder_without_weights_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text((bundled() / "tiny/open_clip_config.json").read_text())
    with pytest.raises(ModelError, match=r"no weights in this model folder .*open_clip_model.safetensors"):
        find_model(f"local-dir:{tmp_path}")


def test_a_folder_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no open_clip_config.json"):
        find_model(f"local-dir:{tmp_path}")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("lage", "large"),
        ("Tiny", "tiny"),
        ("ViT-B-32", "ViT-B-32/"),
        ("ViT-L-14/datacomp", "ViT-L-14/datacomp_xl"),
        ("vit-b-32/openai", "ViT-B-32-quickgelu/openai"),
    ],
)
def test_an_unknown_name_lists_near_ones_that_can_be_taken(name: str, near: str) -> None:
    with pytest.raises(ModelError, match=f"there is no model '{name}'; near it: .*{near}") as error:
        find_model(name)
    assert "local-dir:/path" in str(error.value)
    offered = str(error.value).partition("near it: ")[2].partition(";")[0].split(", ")
    assert [find_model(each).name for each in offered] == offered


def test_open_clips_own_names_work() -> None:
    spec = find_model("ViT-L-14/datacomp_xl_s13b_b90k")
    assert (spec.architecture, spec.weights) == ("ViT-L-14", "datacomp_xl_s13b_b90k")
    assert find_model("hf-hub:org/repo").architecture == "hf-hub:org/repo"
    assert find_model("hf-hub:org/repo").hub == "org/repo"
    named = find_model("ViTamin-B/datacomp1b")
    assert (named.hub, named.file) == ("jienengchen/ViTamin-B", "pytorch_model.bin")


class BuiltError(Exception):
    """Raised in place of building a model."""


def test_weights_that_their_architecture_would_compute_wrongly_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that OpenCLIP only warns of, and nothing else; each message names a model that can be taken."""

    def built(*_: object, **__: object) -> None:
        raise BuiltError

    for name in ("CLIP", "CustomTextCLIP", "CoCa"):
        monkeypatch.setattr(open_clip.factory, name, built)
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda *_, **__: "weights")
    refused = []
    for architecture, weights in open_clip.list_pretrained():
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            with pytest.raises(BuiltError):
                open_clip.create_model(architecture, pretrained=weights, load_weights=False)
        warned = any("QuickGELU mismatch" in str(each.message) for each in said)
        if not warned:
            hub = find_model(f"{architecture}/{weights}").hub
            assert re.fullmatch(r"[\w.-]+/[\w.-]+", hub), "weights that are not on the hub would need another way"
            continue
        with pytest.raises(ModelError, match="QuickGELU") as error:
            find_model(f"{architecture}/{weights}")
        refused.append(f"{architecture}/{weights}")
        _, offered, right = str(error.value).rpartition("take ")
        assert find_model(right).weights == weights if offered else "roberta" in architecture
    assert {"ViT-B-32/openai", "ViT-L-14-336/openai", "ViT-H-14/dfn5b"} <= set(refused)


def test_the_key_says_which_vectors(tmp_path: Path) -> None:
    tiny = find_model("tiny")
    assert tiny.key.startswith("tiny-")
    for name in ("open_clip_config.json", "open_clip_model.safetensors"):
        (tmp_path / name).write_bytes((bundled() / "tiny" / name).read_bytes())
    copy = find_model(f"local-dir:{tmp_path}")
    assert copy.key.rpartition("-")[2] == tiny.key.rpartition("-")[2], "the same files anywhere are the same model"
    assert find_model(copy.reference) == copy
    with (tmp_path / "open_clip_model.safetensors").open("ab") as file:
        file.write(b" ")
    assert find_model(f"local-dir:{tmp_path}").key != copy.key


def test_another_precision_or_other_pixels_are_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = find_model("large")
    assert replace(spec, precision="bf16").key != spec.key
    assert (spec.facts["precision"], spec.facts["open_clip"]) == ("fp32", "PE-Core-L-14-336")
    monkeypatch.setattr("hashtag_photos.models.PIXELS", 1)
    assert find_model("large").key != spec.key
