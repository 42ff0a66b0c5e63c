"""The encoder is OpenCLIP, and its tiny model earns its labels through text."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from conftest import SAMPLE
from PIL import Image

from hashtag_photos.clip import Encoder, choose_device
from hashtag_photos.errors import ModelError
from hashtag_photos.labels import find_labels
from hashtag_photos.models import ModelSpec, bundled, find_model
from hashtag_photos.stages.score import averaged, filled

PICTURES = sorted((SAMPLE / "www/media").glob("*.webp"))


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(find_model("tiny"), "cpu")


@pytest.fixture(scope="module")
def reference() -> tuple[torch.nn.Module, object, object]:
    name = f"local-dir:{bundled() / 'tiny'}"
    model, _, preprocess = open_clip.create_model_and_transforms(name, require_pretrained=True)
    return model.eval(), preprocess, open_clip.get_tokenizer(name)


def test_image_vectors_are_open_clips(encoder: Encoder, reference: tuple) -> None:
    model, preprocess, _ = reference
    images = [Image.open(path).convert("RGB") for path in PICTURES]
    with torch.no_grad():
        expected = model.encode_image(torch.stack([preprocess(image) for image in images]), normalize=True).numpy()
    vectors = encoder.encode_images([encoder.prepare(image) for image in images])
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose((vectors * expected).sum(axis=1), 1, atol=1e-6)


def test_prompt_vectors_are_those_of_open_clips_zero_shot_classifier(encoder: Encoder, reference: tuple) -> None:
    model, _, tokenizer = reference
    labels = find_labels("friendly-or-force")
    prompts = [prompt for each in labels.classes for prompt in each.prompts]
    expected = open_clip.build_zero_shot_classifier(model, tokenizer, prompts, list(labels.templates)).T.numpy()
    ours = averaged(encoder.encode_texts(filled(labels)), len(labels.templates))
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert encoder.logit_scale == pytest.approx(model.logit_scale.exp().item())


def test_without_weights_nothing_is_made_up(tmp_path: Path) -> None:
    """OpenCLIP itself would only log a warning and go on with random numbers."""
    (tmp_path / "open_clip_config.json").write_text((bundled() / "tiny/open_clip_config.json").read_text())
    with pytest.raises(ModelError, match=r"can't be loaded.*is damaged"):
        Encoder(ModelSpec("x", "x", f"local-dir:{tmp_path}", None), "cpu")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """A pickle that would run code: weights are read with weights_only."""
    import pickle

    class Bad:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "was-run",))

    (tmp_path / "open_clip_config.json").write_text((bundled() / "tiny/open_clip_config.json").read_text())
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(pickle.dumps({"x": Bad()}))
    with pytest.raises(ModelError, match="can't be loaded"):
        Encoder(find_model(f"local-dir:{tmp_path}"), "cpu")
    assert not (tmp_path / "was-run").exists()


def test_the_fingerprint_is_of_the_weights(encoder: Encoder) -> None:
    assert encoder.fingerprint() == Encoder(find_model("tiny"), "cpu").fingerprint()
    with torch.no_grad():
        before = encoder.fingerprint()
        encoder._model.logit_scale += 1
        assert encoder.fingerprint() != before
        encoder._model.logit_scale -= 1


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "tpu"])
def test_a_device_that_can_not_be_used_says_so(device: str) -> None:
    with pytest.raises(ModelError, match=f"device '{device}' can't be used.*use auto, cpu, cuda or mps"):
        choose_device(device)
