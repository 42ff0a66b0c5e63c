"""The encoder is OpenCLIP: its vectors, its prompts, and an error where OpenCLIP says nothing."""

import io
import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import open_clip
import pytest
import torch
from conftest import SAMPLE
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy.special import softmax

import hashtag_photos.clip as clip
from hashtag_photos import devices
from hashtag_photos.clip import Encoder
from hashtag_photos.devices import choose_device
from hashtag_photos.errors import ModelError
from hashtag_photos.labels import LabelClass, LabelSet, find_labels
from hashtag_photos.models import bundled, find_model
from hashtag_photos.pixels import Preprocessing
from hashtag_photos.stages.score import averaged, filled, probabilities, prompt_vectors

PICTURES = sorted((SAMPLE / "www/media").glob("*.webp"))
JPEGS = sorted((SAMPLE / "www/media").glob("*.jpg"))
#: OpenCLIP names for the families that presets and README speak of, the smallest of each that it has
FAMILIES = {
    "PE-Core": ("PE-Core-B-16", "meta"),
    "ViT": ("ViT-B-32", "laion2b_s34b_b79k"),
    "SigLIP2": ("ViT-B-16-SigLIP2", "webli"),
    "ConvNeXt": ("convnext_base", "laion400m_s13b_b51k"),
}
A_TEXT_TOWER = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1}


def save(folder: Path, config: dict, preprocessing: dict) -> Path:
    """An OpenCLIP folder with random weights."""
    folder.mkdir(exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocessing}))
    (folder / "open_clip_model.safetensors").unlink(missing_ok=True)
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}")
    weights = {name: values.contiguous() for name, values in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(params=FAMILIES, scope="module")
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The image tower of a family and its preprocessing, with random weights, beside a small text tower."""
    architecture, weights = FAMILIES[request.param]
    config = open_clip.get_model_config(architecture) | {"text_cfg": A_TEXT_TOWER}
    preprocessing = {
        name: value
        for name, value in open_clip.get_pretrained_cfg(architecture, weights).items()
        if name in ("mean", "std", "interpolation", "resize_mode")
    }
    folder = save(tmp_path_factory.mktemp(request.param), config, preprocessing)
    yield folder
    (folder / "open_clip_model.safetensors").unlink()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures of several sizes and formats."""
    folder = tmp_path_factory.mktemp("pictures")
    made = []
    for number, path in enumerate(PICTURES[:6]):
        with Image.open(path) as image:
            picture = image.convert("RGB").resize([(1200, 800), (700, 1500), (320, 240)][number % 3])
        made.append(folder / f"{number}.{'jpg' if number < 4 else 'png'}")
        picture.save(made[-1], quality=88)
    return made


def read(encoder: Encoder, paths: list[Path]) -> list[torch.Tensor]:
    return [encoder.prepare(io.BytesIO(path.read_bytes())) for path in paths]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(find_model("tiny"), "cpu")


@pytest.fixture(scope="module")
def reference() -> tuple[torch.nn.Module, Callable, Callable]:
    name = f"local-dir:{bundled() / 'tiny'}"
    model, _, preprocess = open_clip.create_model_and_transforms(name, require_pretrained=True)
    return model.eval(), preprocess, open_clip.get_tokenizer(name)


# Exact


@pytest.mark.slow
def test_vectors_of_every_family_are_open_clips(family: Path, files: list[Path]) -> None:
    name = f"local-dir:{family}"
    model, _, preprocess = open_clip.create_model_and_transforms(name, require_pretrained=True)
    with torch.no_grad():
        batch = torch.stack([preprocess(Image.open(path)) for path in files])
        expected = model.eval().encode_image(batch, normalize=True).numpy()
    exact = Encoder(find_model(name), "cpu")
    ours = exact.encode_images(read(exact, files))
    assert ours.dtype == np.float32
    assert np.linalg.norm(ours, axis=1) == pytest.approx(1, abs=1e-5)
    assert (ours * expected).sum(axis=1).min() >= 0.99999
    rounded = Encoder(replace(find_model(name), precision="bf16"), "cpu")
    vectors = rounded.encode_images(read(rounded, files))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert (vectors * expected).sum(axis=1).min() >= 0.999


@pytest.mark.slow
def test_a_model_is_built_as_open_clip_builds_it(family: Path) -> None:
    """Random initial values are left out, and what the weights don't hold, buffers, is there all the same."""
    name = f"local-dir:{family}"
    model = open_clip.create_model(name, require_pretrained=True)
    ours = Encoder(find_model(name), "cpu")._lanes[0].model
    for theirs, found in ((model.named_parameters(), ours), (model.named_buffers(), ours)):
        values = {**dict(found.named_parameters()), **dict(found.named_buffers())}
        for each, value in theirs:
            assert torch.equal(value, values[each]), each
    assert not ours.training


def test_image_vectors_are_open_clips(encoder: Encoder, reference: tuple) -> None:
    model, preprocess, _ = reference
    images = [Image.open(path).convert("RGB") for path in PICTURES]
    with torch.no_grad():
        expected = model.encode_image(torch.stack([preprocess(image) for image in images]), normalize=True).numpy()
    vectors = encoder.encode_images([encoder.prepare(image) for image in images])
    np.testing.assert_allclose((vectors * expected).sum(axis=1), 1, atol=1e-6)


def test_prompt_vectors_are_those_of_open_clips_zero_shot_classifier(encoder: Encoder, reference: tuple) -> None:
    model, _, tokenizer = reference
    labels = find_labels("friendly-or-force")
    prompts = [prompt for each in labels.classes for prompt in each.prompts]
    expected = open_clip.build_zero_shot_classifier(model, tokenizer, prompts, list(labels.templates)).T.numpy()
    ours = averaged(encoder.encode_texts(filled(labels)), len(labels.templates))
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert encoder.logit_scale == pytest.approx(model.logit_scale.exp().item())


def test_probabilities_are_those_of_open_clips_readme(encoder: Encoder, reference: tuple) -> None:
    """Scale, templates and softmax, from files to probabilities, for classes of one prompt each."""
    model, preprocess, tokenizer = reference
    names = ["a police officer", "a poster with words", "a city skyline"]
    labels = LabelSet(
        name="three",
        title="",
        question="",
        margin=0.1,
        templates=("{}.", "a photo of {}."),
        classes=tuple(LabelClass(name=f"c{i}", title="", prompts=(name,)) for i, name in enumerate(names)),
    )
    weights = open_clip.build_zero_shot_classifier(model, tokenizer, names, list(labels.templates))
    with torch.no_grad():
        batch = torch.stack([preprocess(Image.open(path).convert("RGB")) for path in PICTURES])
        logits = model.logit_scale.exp() * model.encode_image(batch, normalize=True) @ weights
    vectors = encoder.encode_images(read(encoder, PICTURES))
    prompts = prompt_vectors(encoder.encode_texts(filled(labels)), labels, encoder.logit_scale)
    np.testing.assert_allclose(probabilities(vectors, prompts, labels), softmax(logits.numpy(), axis=1), atol=2e-5)


# What OpenCLIP passes over in silence


def small_config(**changes: object) -> dict:
    config = json.loads((bundled() / "tiny/open_clip_config.json").read_text())["model_cfg"]
    return config | {"text_cfg": config["text_cfg"] | changes}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"vocab_size": 256_000}, "knows 49,408 words, the model 256,000"),
        ({"vocab_size": 32_000}, "knows 49,408 words, the model 32,000"),
    ],
    ids=["a larger vocabulary", "a smaller one"],
)
def test_another_vocabulary_is_an_error(tmp_path: Path, changes: dict, problem: str) -> None:
    """As of a SigLIP folder whose configuration forgot its tokenizer: OpenCLIP takes CLIP's instead."""
    folder = save(tmp_path / "model", small_config(**changes), {})
    with pytest.raises(ModelError, match=f"tokenizer .*{problem}.*not the one that the model was trained with"):
        Encoder(find_model(f"local-dir:{folder}"), "cpu")


def test_another_length_of_texts_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shorter = open_clip.SimpleTokenizer(context_length=16)
    monkeypatch.setattr(open_clip, "get_tokenizer", lambda *_, **__: shorter)
    with pytest.raises(ModelError, match="gives 16 tokens, the model reads"):
        Encoder(find_model("tiny"), "cpu")


def test_texts_that_are_filled_up_at_their_beginning_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = open_clip.get_tokenizer(f"local-dir:{bundled() / 'tiny'}")

    class Leftward:
        vocab_size = tokenizer.vocab_size

        def __call__(self, texts: list[str], context_length: int | None = None) -> torch.Tensor:
            return tokenizer(texts, context_length or tokenizer.context_length).flip(1)

    monkeypatch.setattr(open_clip, "get_tokenizer", lambda *_, **__: Leftward())
    with pytest.raises(ModelError, match="doesn't fill short texts up at their end"):
        Encoder(find_model("tiny"), "cpu")


def test_a_prompt_that_the_model_would_not_read_to_its_end_is_an_error(encoder: Encoder) -> None:
    length = encoder._tokenizer(["a"]).shape[1]
    fits = " ".join(["word"] * (length - 2))
    assert encoder.encode_texts([fits]).shape[0] == 1
    with pytest.raises(ModelError, match=rf"prompt 'word word.*longer than the {length} tokens.*shorten it"):
        encoder.encode_texts(["a dog", f"{fits} more"])


def test_a_prompt_that_is_one_token_too_long_is_an_error_also_where_filling_and_end_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is cut off is then the end alone, which looks like filling."""
    clips = open_clip.get_tokenizer(f"local-dir:{bundled() / 'tiny'}")

    class EndsAreFilling:
        vocab_size = clips.vocab_size

        def __call__(self, texts: list[str], context_length: int | None = None) -> torch.Tensor:
            tokens = clips(texts, context_length or clips.context_length)
            return tokens.masked_fill(tokens == 0, clips.eot_token_id)

    monkeypatch.setattr(open_clip, "get_tokenizer", lambda *_, **__: EndsAreFilling())
    encoder = Encoder(find_model("tiny"), "cpu")
    length = clips.context_length
    assert len(encoder.encode_texts([" ".join(["word"] * (length - 2)), "a dog"])) == 2
    with pytest.raises(ModelError, match="longer than"):
        encoder.encode_texts([" ".join(["word"] * (length - 1))])


def test_another_filling_than_the_model_expects_is_an_error(tmp_path: Path) -> None:
    folder = save(tmp_path / "model", small_config(pad_id=7), {})
    with pytest.raises(ModelError, match="fills short texts up with 0, the model expects 7"):
        Encoder(find_model(f"local-dir:{folder}"), "cpu")


def test_a_model_that_needs_a_package_says_so_before_anything_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "fetch_weights", lambda _: pytest.fail("asked for weights"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"tokenizer timm/ViT-B-16-SigLIP2.*pip install transformers"):
        Encoder(find_model("ViT-B-16-SigLIP2/webli"), "cpu")


def test_quickgelu_where_the_weights_want_it() -> None:
    with pytest.raises(ModelError, match="ViT-B-32-quickgelu/openai"):
        find_model("ViT-B-32/openai")


def test_without_weights_nothing_is_made_up(tmp_path: Path) -> None:
    """OpenCLIP itself would only log a warning and go on with random numbers."""
    (tmp_path / "open_clip_config.json").write_text((bundled() / "tiny/open_clip_config.json").read_text())
    with pytest.raises(ModelError, match="there are no weights"):
        Encoder(replace(find_model("tiny"), architecture=f"local-dir:{tmp_path}"), "cpu")


def test_weights_with_a_hole_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text((bundled() / "tiny/open_clip_config.json").read_text())
    weights = load_file(bundled() / "tiny/open_clip_model.safetensors")
    del weights["logit_scale"]
    save_file(weights, tmp_path / "open_clip_model.safetensors")
    with pytest.raises(ModelError, match="can't be loaded: Error"):
        Encoder(find_model(f"local-dir:{tmp_path}"), "cpu")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """A pickle that would run code: weights are read with weights_only."""

    class Bad:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "was-run",))

    (tmp_path / "open_clip_config.json").write_text((bundled() / "tiny/open_clip_config.json").read_text())
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(pickle.dumps({"x": Bad()}))
    with pytest.raises(ModelError, match="can't be loaded"):
        Encoder(find_model(f"local-dir:{tmp_path}"), "cpu")
    assert not (tmp_path / "was-run").exists()


# Devices


@pytest.mark.parametrize(
    ("device", "way_out"),
    [("gpu", "use auto, cpu, cuda or mps"), ("cuda:99", "use auto or cpu"), ("tpu", "use auto, cpu, cuda or mps")],
)
def test_a_device_that_can_not_be_used_says_so(device: str, way_out: str) -> None:
    with pytest.raises(ModelError, match=f"device '{device}' can't be used: .{{,250}}; {way_out}$"):
        choose_device(device)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Pretend that the machine has these GPUs by its driver, and that torch says this of CUDA."""

    def pretend(gpus: int, says: str | None) -> None:
        (tmp_path / "gpus").mkdir(exist_ok=True)
        for number in range(gpus):
            (tmp_path / f"gpus/0000:0{number}:00.0").mkdir()
        monkeypatch.setattr(devices, "_NVIDIA", tmp_path / "gpus")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: says is None)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

        def init() -> None:
            raise RuntimeError(says)

        monkeypatch.setattr(torch.cuda, "init", init)

    return pretend


TOO_OLD = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver"


def test_a_gpu_that_torch_can_not_use_stops_the_run(machine: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(1, TOO_OLD)
    with pytest.raises(ModelError, match=r"an NVIDIA GPU is there.*driver on your system is too old.*--device cpu"):
        choose_device("auto")
    assert choose_device("cpu") == "cpu", "when asked for"
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(ModelError, match="this torch was built without CUDA"):
        choose_device("auto")


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_gpu_that_was_hidden_on_purpose_is_none(
    machine: Callable, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    machine(1, "No CUDA GPUs are available")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert choose_device("auto") == "cpu"


def test_a_machine_without_a_gpu_computes_on_its_processor(machine: Callable) -> None:
    machine(0, "Found no NVIDIA driver on your system")
    assert choose_device("auto") == "cpu"


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo 'GPU 0: NVIDIA A10 (UUID: GPU-1234)'", "GPU 0: NVIDIA A10 is there"),
        (
            "echo 'Failed to initialize NVML: Driver/library version mismatch' >&2; exit 18",
            "an NVIDIA driver that fails",
        ),
        ("echo 'No devices were found'; exit 6", None),
    ],
    ids=["one", "a driver that fails", "none"],
)
def test_without_its_folder_the_driver_is_asked_by_its_tool(
    machine: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, found: str | None
) -> None:
    """As under WSL, or with a module that wasn't loaded."""
    machine(0, "Found no NVIDIA driver on your system")
    monkeypatch.setattr(devices, "_NVIDIA", tmp_path / "no such folder")
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if found is None:
        assert choose_device("auto") == "cpu"
    else:
        with pytest.raises(ModelError, match=f"{found}.*--device cpu"):
            choose_device("auto")


def test_a_gpu_that_fails_at_the_first_sum_stops_the_run(machine: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a chip that is older or newer than what the wheel was compiled for."""
    machine(1, None)

    def zeros(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    monkeypatch.setattr(torch, "zeros", zeros)
    with pytest.raises(ModelError, match=r"device 'cuda' can't be used: .*no kernel image.*--device cpu"):
        choose_device("auto")


# Memory


@contextmanager
def room_for(encoder: Encoder, pictures: int) -> Iterator[list[int]]:
    """A device that has memory for so many pictures at once; the sizes of the batches that it computed."""
    lane, computed = encoder._lanes[0], []
    encode = lane._encode

    def limited(batch: torch.Tensor, normalize: bool) -> torch.Tensor:
        if len(batch) > pictures:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        computed.append(len(batch))
        return encode(batch, normalize=normalize)

    lane._encode = limited
    try:
        yield computed
    finally:
        lane._encode = encode


def test_out_of_memory_halves_the_batch_and_goes_on() -> None:
    encoder = Encoder(find_model("tiny"), "cpu")
    prepared = read(encoder, (PICTURES * 8)[:70])
    expected = encoder.encode_images(prepared)
    with room_for(encoder, 10) as computed:
        found = encoder.encode_images(prepared)
        again = encoder.encode_images(prepared[:20])
    assert computed == [8] * 8 + [6] + [8, 8, 4]
    assert encoder.notes == ["out of memory on cpu: batches of 8 from here on"], "once said"
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(again, expected[:20], atol=1e-5)


def test_a_model_without_room_for_one_picture_is_an_error() -> None:
    encoder = Encoder(find_model("tiny"), "cpu")
    with room_for(encoder, 0), pytest.raises(ModelError, match=r"doesn't fit into the memory of cpu.*smaller model"):
        encoder.encode_images(read(encoder, PICTURES[:4]))


@pytest.mark.parametrize(
    "words",
    [
        "MPS backend out of memory (MPS allocated: 17.9 GB, other allocations: 1 GB, max allowed: 18.13 GB).",
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.",
    ],
)
def test_memory_ends_in_many_words(words: str) -> None:
    encoder = Encoder(find_model("tiny"), "cpu")
    lane = encoder._lanes[0]
    encode = lane._encode

    def limited(batch: torch.Tensor, normalize: bool) -> torch.Tensor:
        if len(batch) > 3:
            raise RuntimeError(words)
        return encode(batch, normalize=normalize)

    lane._encode = limited
    assert encoder.encode_images(read(encoder, PICTURES[:7])).shape[0] == 7


def test_another_error_of_the_device_is_not_taken_for_its_memory() -> None:
    encoder = Encoder(find_model("tiny"), "cpu")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    encoder._lanes[0]._encode = broken
    with pytest.raises(RuntimeError, match="illegal memory access"):
        encoder.encode_images(read(encoder, PICTURES[:4]))


# A GPU's way of working, without one


class Streams:
    """What `torch.cuda` is to a GPU lane: it writes down who waits for whom, and lets nobody read what isn't done."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.here = "computing"

    def Stream(self, device: str) -> str:
        return "copying"

    def current_stream(self, device: str) -> "Streams":
        return self

    def wait_stream(self, other: str) -> None:
        self.log.append(f"{self.here} waits for {other}")

    @contextmanager
    def stream(self, other: str) -> Iterator[None]:
        self.here, before = other, self.here
        self.log.append(f"{other}: copy")
        yield
        self.here = before

    def Event(self) -> "Streams":
        return self

    def record(self, stream: object) -> None:
        self.log.append("recorded")

    def synchronize(self, device: str | None = None) -> None:
        self.log.append("waited" if device is None else f"{device} at rest")

    def empty_cache(self) -> None:
        self.log.append("emptied")


def gpu_lanes(count: int) -> tuple[Encoder, list[Streams]]:
    """An encoder that takes the CPU for so many GPUs."""
    encoder = Encoder(find_model("tiny"), "cpu")
    streams = [Streams() for _ in range(count)]
    encoder.device = "cuda"
    model, pixels = encoder._lanes[0].model, Preprocessing(encoder.preprocessing)
    encoder._lanes = [clip._GpuLane(model, pixels, "cpu", "fp32", cuda=each) for each in streams]
    encoder.ahead = 2 * count
    return encoder, streams


def on_the_cpu(paths: list[Path]) -> np.ndarray:
    encoder = Encoder(find_model("tiny"), "cpu")
    return encoder.encode_images(read(encoder, paths))


def test_a_gpu_computes_what_was_copied_and_is_read_when_it_is_done() -> None:
    encoder, (streams,) = gpu_lanes(1)
    prepared = read(encoder, PICTURES[:5])
    first = encoder.begin(prepared[:3])
    second = encoder.begin(prepared[3:])
    assert streams.log == ["copying: copy", "computing waits for copying", "recorded"] * 2, "both under way, none read"
    vectors = np.concatenate([first(), second()])
    assert streams.log[6:] == ["waited", "waited"]
    np.testing.assert_allclose(vectors, on_the_cpu(PICTURES[:5]), atol=1e-5)


def test_all_gpus_get_batches_in_turn_and_results_keep_their_order() -> None:
    from hashtag_photos.stages.embed import encoded

    encoder, streams = gpu_lanes(3)
    encoder.batch_size = 4
    items = list(range(30))
    batches = list(
        encoded(encoder, items, lambda number: encoder.prepare(io.BytesIO(PICTURES[number % 9].read_bytes())))
    )
    assert [item for batch in batches for item, _ in batch] == items
    assert [len(each.log) // 4 for each in streams] == [3, 3, 2]
    expected = on_the_cpu([PICTURES[i % 9] for i in items])
    np.testing.assert_allclose(np.stack([vector for batch in batches for _, vector in batch]), expected, atol=2e-3)


def test_a_gpu_out_of_memory_rests_before_it_goes_on() -> None:
    encoder, (streams,) = gpu_lanes(1)
    prepared = read(encoder, PICTURES[:8])
    encode = encoder._lanes[0].model.encode_image

    def limited(batch: torch.Tensor, normalize: bool) -> torch.Tensor:
        if len(batch) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(batch, normalize=normalize)

    encoder._lanes[0].model.encode_image = encoder._lanes[0]._encode = limited
    encoder._lanes[0]._padded = 8  # as of a compiled model
    try:
        found = encoder.encode_images(prepared)
    finally:
        del encoder._lanes[0].model.encode_image
    assert streams.log[2:4] == ["cpu at rest", "emptied"]
    assert len(found) == 8


def test_a_compiled_model_sees_batches_of_one_size() -> None:
    encoder, _ = gpu_lanes(1)
    lane, seen = encoder._lanes[0], []
    encode = lane._encode
    lane._encode = lambda batch, normalize: (seen.append(len(batch)), encode(batch, normalize=normalize))[1]
    lane._padded = 16
    prepared = read(encoder, PICTURES[:5])
    assert encoder.encode_images(prepared).shape[0] == 5
    assert seen == [16]


def test_a_model_that_can_not_be_compiled_is_computed_as_it_is_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, _ = gpu_lanes(1)

    def no_compiler(*_: object, **__: object) -> None:
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")

    monkeypatch.setattr(torch, "compile", lambda _: no_compiler)
    encoder.expect(1_000)
    assert encoder.notes == [], "too few pictures for it to pay"
    encoder.expect(1_000_000)
    assert encoder.notes == [
        "the model is not compiled: Failed to find C compiler. Please specify via CC environment variable"
    ]
    np.testing.assert_allclose(encoder.encode_images(read(encoder, PICTURES[:3])), on_the_cpu(PICTURES[:3]), atol=1e-5)


def test_as_many_pictures_at_once_as_half_of_a_gpus_memory_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, (streams,) = gpu_lanes(1)
    each, allocated = 10_000_000, iter([500_000_000])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: next(allocated))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 500_000_000 + 8 * each)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=800 * each))
    assert encoder._fitting_batch() == 256, "of the 400 that there is room for"
    assert streams.log.count("waited") == 2


@pytest.mark.parametrize(("cuda", "mps", "chosen"), [(True, False, "cuda"), (False, True, "mps"), (True, True, "cuda")])
def test_auto_takes_what_torch_can_use(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, chosen: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(devices, "_hidden_gpu", lambda: None)
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *shape, device: zeros(*shape))  # as if it were there
    assert choose_device("auto") == chosen
