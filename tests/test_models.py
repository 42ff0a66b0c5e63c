from pathlib import Path

import pytest

from hashtag_photos.errors import ModelError
from hashtag_photos.models import bundled, find_model, presets


def test_presets_are_names_that_open_clip_knows() -> None:
    from hashtag_photos.clip import pretrained_names

    known = pretrained_names()
    for name in set(presets()) - {"tiny"}:
        spec = find_model(name)
        assert f"{spec.architecture}/{spec.weights}" in known
        assert spec.licence == "Apache-2.0"


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
        ("ViT-B-32", "ViT-B-32/openai"),
        ("ViT-L-14/datacomp", "ViT-L-14/datacomp_xl"),
    ],
)
def test_an_unknown_name_lists_near_ones(name: str, near: str) -> None:
    with pytest.raises(ModelError, match=f"there is no model '{name}'; near it: .*{near}") as error:
        find_model(name)
    assert "local-dir:/path" in str(error.value)


def test_open_clips_own_names_work() -> None:
    spec = find_model("ViT-L-14/datacomp_xl_s13b_b90k")
    assert (spec.architecture, spec.weights) == ("ViT-L-14", "datacomp_xl_s13b_b90k")
    assert find_model("hf-hub:org/repo").architecture == "hf-hub:org/repo"


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
