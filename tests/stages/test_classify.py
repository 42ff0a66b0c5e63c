import hashlib
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from conftest import SAMPLE, picture
from PIL import Image
from safetensors.torch import load_file, save_file

import hashtag_photos as hp
from hashtag_photos.errors import ModelError, RunConflictError, RunError, UsageError
from hashtag_photos.models import bundled

PICTURES = sorted((SAMPLE / "www/media").glob("*.webp"))
JPEGS = sorted((SAMPLE / "www/media").glob("*.jpg"))


def downloaded(folder: Path, pictures: list[Path]) -> hp.Run:
    (folder / "pictures").mkdir(parents=True)
    for path in pictures:
        shutil.copy(path, folder / "pictures" / path.name)
    run = hp.Run(folder / "run")
    hp.collect(run, hp.sources.folder(folder / "pictures"))
    hp.download(run)
    return run


def files(run: hp.Run, pattern: str) -> list[Path]:
    return sorted(run.storage.local.glob(pattern))


def test_each_image_once_and_a_later_one_alone(tmp_path: Path) -> None:
    run, classifier = downloaded(tmp_path, PICTURES[:3]), hp.Classifier(model="tiny")
    assert hp.classify(run, classifier).new == 3
    again = hp.classify(run, hp.Classifier(model="tiny"))
    assert (again.new, again.images, again.scored) == (0, 3, False)
    shutil.copy(PICTURES[3], tmp_path / "pictures/new.webp")
    shutil.copy(PICTURES[0], tmp_path / "pictures/same.webp")
    hp.collect(run, hp.sources.folder(tmp_path / "pictures"))
    hp.download(run)
    assert hp.classify(run, classifier).new == 1
    assert len(files(run, "embeddings/*/part-*")) == 2
    tally = hp.summarize(run)
    assert (tally.images, tally.posts) == (4, 5)


def test_vectors_are_stored_as_unit_float16(tmp_path: Path) -> None:
    run = downloaded(tmp_path, PICTURES[:2])
    hp.classify(run, hp.Classifier(model="tiny"))
    (part,) = files(run, "embeddings/*/part-*")
    column = run.read_table(str(part.relative_to(run.storage.local))).column("vector")
    vectors = np.stack([np.frombuffer(each, "<f2") for each in column.to_pylist()]).astype(np.float32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=2e-3)


def test_one_unreadable_picture_never_loses_its_batch_and_is_counted(tmp_path: Path) -> None:
    run = downloaded(tmp_path, PICTURES[:4])
    gone, damaged = files(run, "images/*/*.webp")[:2]
    gone.unlink()
    damaged.write_bytes(b"overwritten by something else")
    done = hp.classify(run, hp.Classifier(model="tiny"))
    assert (done.new, done.images, done.unreadable) == (2, 4, 2)
    again = hp.classify(run, hp.Classifier(model="tiny"))
    assert (again.new, again.unreadable, again.scored) == (0, 2, False), "tried, and nothing was scored anew"
    tally = hp.summarize(run)
    assert (tally.images, tally.coverage.images, tally.coverage.images_not_classified) == (2, 4, 2)


def in_batches_of(classifier: hp.Classifier, size: int) -> hp.Classifier:
    classifier.encoder.batch_size = size
    return classifier


def stored(run: hp.Run) -> dict[str, bytes]:
    """Vectors by sha256."""
    rows = [row for part in files(run, "embeddings/*/part-*") for row in pq.read_table(part).to_pylist()]
    assert len({row["sha256"] for row in rows}) == len(rows), "each once"
    return {row["sha256"]: row["vector"] for row in rows}


def test_what_was_computed_before_an_interruption_is_kept_and_the_same(tmp_path: Path) -> None:
    undisturbed = downloaded(tmp_path / "a", PICTURES[:6])
    hp.classify(undisturbed, in_batches_of(hp.Classifier(model="tiny"), 2))
    run = downloaded(tmp_path / "b", PICTURES[:6])

    def interrupting(stage: str, done: int, total: int | None, note: str = "", detail: str = "") -> None:
        if (stage, done) == ("embed", 4):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hp.classify(run, in_batches_of(hp.Classifier(model="tiny"), 2), progress=interrupting)
    assert len(stored(run)) == 4
    assert hp.classify(run, in_batches_of(hp.Classifier(model="tiny"), 2)).new == 2
    assert stored(run) == stored(undisturbed), "to the last bit"


def test_the_same_pictures_give_the_same_vectors_whatever_takes_how_long(tmp_path: Path) -> None:
    runs = [downloaded(tmp_path / name, PICTURES[:9]) for name in ("a", "b")]
    hp.classify(runs[0], in_batches_of(hp.Classifier(model="tiny"), 4))
    slow = in_batches_of(hp.Classifier(model="tiny"), 4)
    prepare, waits = slow.encoder.prepare, iter([0.2, 0, 0.1, 0, 0.3, 0, 0, 0.1, 0])

    def dawdling(picture: object) -> object:
        time.sleep(next(waits))
        return prepare(picture)

    slow.encoder.prepare = dawdling
    hp.classify(runs[1], slow)
    assert stored(runs[0]) == stored(runs[1])
    assert list(stored(runs[0])) == sorted(stored(runs[0]))


def test_broken_files_in_the_middle_of_batches_cost_nobody_else_a_vector(tmp_path: Path) -> None:
    """A whole batch of them, too."""
    whole = downloaded(tmp_path / "whole", JPEGS[:12])
    hp.classify(whole, in_batches_of(hp.Classifier(model="tiny"), 3))
    run = downloaded(tmp_path / "run", JPEGS[:12])
    images = sorted(files(run, "images/*/*.jpg"), key=lambda path: path.name)
    for number in (0, 3, 4, 5, 10):
        images[number].write_bytes(images[number].read_bytes()[:200])
    done = hp.classify(run, in_batches_of(hp.Classifier(model="tiny"), 3))
    assert (done.new, done.images, done.unreadable) == (7, 12, 5)
    good = {path.stem for number, path in enumerate(images) if number not in (0, 3, 4, 5, 10)}
    assert set(stored(run)) == good
    for sha, vector in stored(run).items():
        np.testing.assert_allclose(
            np.frombuffer(vector, "<f2").astype(np.float32),
            np.frombuffer(stored(whole)[sha], "<f2").astype(np.float32),
            atol=2e-3,
        )


def test_out_of_memory_halves_the_batch_says_so_once_and_loses_nothing(tmp_path: Path) -> None:
    run, classifier = downloaded(tmp_path, PICTURES[:9]), in_batches_of(hp.Classifier(model="tiny"), 8)
    lane = classifier.encoder._lanes[0]
    encode, said = lane._encode, []

    def limited(batch: torch.Tensor, normalize: bool) -> torch.Tensor:
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(batch, normalize=normalize)

    def watching(stage: str, done: int, total: int | None, note: str = "", detail: str = "") -> None:
        said.append(note)

    lane._encode = limited
    done = hp.classify(run, classifier, progress=watching)
    assert (done.new, done.unreadable) == (9, 0)
    assert done.notes == ("out of memory on cpu: batches of 2 from here on",)
    assert done.notes[0] in said
    assert len(stored(run)) == 9


def test_interrupted_while_a_part_becomes_visible_its_rows_stand_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = downloaded(tmp_path, PICTURES[:3])
    append = hp.Run.append

    def interrupted(self: hp.Run, table: str, rows: object) -> None:
        append(self, table, rows)
        raise KeyboardInterrupt

    with monkeypatch.context() as once:
        once.setattr(hp.Run, "append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            hp.classify(run, hp.Classifier(model="tiny"))
    hp.classify(run, hp.Classifier(model="tiny"))
    assert len(run.keys("embeddings/" + hp.Classifier(model="tiny").model.key, None, "sha256")) == 3
    tally = hp.summarize(run)
    assert (tally.images, tally.photos) == (3, 3)


def test_a_model_whose_files_changed_is_refused(tmp_path: Path) -> None:
    shutil.copytree(bundled() / "tiny", tmp_path / "mine")
    run = downloaded(tmp_path, PICTURES[:2])
    hp.classify(run, hp.Classifier(model=f"local-dir:{tmp_path / 'mine'}"))
    (tmp_path / "mine/open_clip_config.json").write_text((tmp_path / "mine/open_clip_config.json").read_text() + "\n")
    with pytest.raises(RunConflictError, match=r"files of model 'mine' are not those"):
        hp.classify(run, hp.Classifier(model=f"local-dir:{tmp_path / 'mine'}"))


def test_a_run_without_a_single_picture_has_a_tally_of_none(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("no picture")
    run = downloaded(tmp_path, [tmp_path / "words.txt"])
    assert hp.classify(run, hp.Classifier(model="tiny")).images == 0
    tally = hp.summarize(run)
    assert (tally.images, [each.images for each in tally.classes]) == (0, [0, 0, 0, 0])
    assert tally.coverage.missing == {"not_an_image": 1}
    assert all((each.share, each.low, each.high) == (None, 0.0, 1.0) for each in tally.classes)


def test_other_weights_under_the_same_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a name at the hub whose cache was filled anew."""
    run = downloaded(tmp_path, PICTURES[:2])
    snapshot = hub_cache(tmp_path / "cache", monkeypatch)
    hp.classify(run, hp.Classifier(model="hf-hub:test/tiny"))
    weights = load_file(snapshot / "open_clip_model.safetensors")
    weights["logit_scale"] += 1
    save_file(weights, snapshot / "open_clip_model.safetensors")
    with pytest.raises(RunConflictError, match="other weights of 'test/tiny'"):
        hp.classify(run, hp.Classifier(model="hf-hub:test/tiny", labels=a_question(tmp_path)))


def a_question(folder: Path) -> str:
    (folder / "mine.toml").write_text('[classes.a]\nprompts = ["a dog"]\n[classes.b]\nprompts = ["a car"]\n')
    return str(folder / "mine.toml")


def hub_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub that has the tiny model under the name test/tiny, as one commit; the commit's folder."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    repository = folder / "models--test--tiny"
    snapshot = repository / "snapshots" / ("ab" * 20)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("ab" * 20)
    for name in ("open_clip_config.json", "open_clip_model.safetensors"):
        shutil.copy(bundled() / "tiny" / name, snapshot / name)
    return snapshot


def test_run_json_names_what_classified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = hub_cache(tmp_path / "cache", monkeypatch)
    run, classifier = downloaded(tmp_path, PICTURES[:2]), hp.Classifier(model="hf-hub:test/tiny", device="cpu")
    hp.classify(run, classifier)
    used = run.used("models", classifier.model.key)
    assert used["hub"] == "test/tiny"
    assert used["hub_commit"] == "ab" * 20
    assert used["weights_sha256"] == hashlib.sha256((snapshot / "open_clip_model.safetensors").read_bytes()).hexdigest()
    assert (used["precision"], used["devices"]) == ("fp32", ["cpu"])
    assert {"size", "mean", "std", "interpolation", "resize_mode"} <= set(used["preprocessing"])
    assert {"torch", "torchcodec", "torchvision", "open_clip_torch", "pillow"} <= set(used["software"][0])


def test_vectors_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    """They would otherwise all be `unsure`."""
    shutil.copytree(bundled() / "tiny", tmp_path / "damaged")
    weights = load_file(tmp_path / "damaged/open_clip_model.safetensors")
    name = next(name for name in weights if name.startswith("visual") and weights[name].ndim == 4)
    weights[name][0] = float("nan")
    save_file(weights, tmp_path / "damaged/open_clip_model.safetensors")
    run = downloaded(tmp_path, PICTURES[:2])
    with pytest.raises(ModelError, match="vectors that are no numbers"):
        hp.classify(run, hp.Classifier(model=f"local-dir:{tmp_path / 'damaged'}"))
    assert not files(run, "embeddings/*/part-*")


# Precision, devices


def test_a_picture_that_fails_while_it_is_decoded_costs_the_others_nothing(tmp_path: Path) -> None:
    """Given as a PIL image, which Pillow decodes when it is first used."""
    Image.effect_noise((600, 600), 90).save(tmp_path / "bad.png")
    content = bytearray((tmp_path / "bad.png").read_bytes())
    second = content.index(b"IDAT", content.index(b"IDAT") + 4)
    content[second - 4 : second + 4] = b"nonsense"
    (tmp_path / "bad.png").write_bytes(content)
    with Image.open(PICTURES[0]) as one, Image.open(PICTURES[1]) as two, Image.open(tmp_path / "bad.png") as bad:
        first, broken, last = hp.Classifier(model="tiny")([one, bad, two])
    assert None not in (first.label, last.label)
    assert broken.label is None
    assert "can't be decoded" in broken.problem


def test_a_run_of_a_version_with_other_pixels_is_refused_for_that_reason(tmp_path: Path) -> None:
    run = downloaded(tmp_path, PICTURES[:2])
    classifier = hp.Classifier(model="tiny")
    hp.classify(run, classifier)
    key = run.asked["model_key"]
    run.record_used("models", key, {**run.used("models", key), "pixels": 1})
    with pytest.raises(RunConflictError, match="a version of hashtag-photos whose pixels were others"):
        hp.classify(run, hp.Classifier(model="tiny"))


def test_the_check_of_bf16_grows_with_the_run_and_survives_its_pictures(tmp_path: Path) -> None:
    run = downloaded(tmp_path, PICTURES[:1])
    classifier = hp.Classifier(model="tiny", device="cpu", precision="bf16")
    hp.classify(run, classifier)
    for path in PICTURES[1:5]:
        shutil.copy(path, tmp_path / "pictures" / path.name)
    hp.collect(run, hp.sources.folder(tmp_path / "pictures"))
    hp.download(run)
    hp.classify(run, classifier)
    assert hp.summarize(run).check.images == 5
    shutil.rmtree(run.storage.local / "images")
    for path in files(run, "embeddings/*/in-fp32.parquet"):
        path.unlink()
    other = hp.Classifier(model="tiny", labels=a_question(tmp_path), device="cpu", precision="bf16")
    hp.classify(run, other)
    assert hp.summarize(run, model_key=other.model.key, labels_key=other.labels.key).check is None


def test_bf16_is_a_model_of_its_own_and_held_against_fp32(tmp_path: Path) -> None:
    run = downloaded(tmp_path, PICTURES[:9])
    classifier = hp.Classifier(model="tiny", device="cpu", precision="bf16")
    assert classifier.model.key != hp.Classifier(model="tiny", device="cpu").model.key
    hp.classify(run, classifier)
    check = run.used("checks", f"{classifier.model.key}/{classifier.labels.key}")
    assert (check["precision"], check["images"]) == ("bf16", 9)
    assert 0 < check["largest_change"] < 0.2
    assert 0 <= check["labels_differing"] <= 9
    tally = hp.summarize(run)
    assert tally.check.images == 9
    shutil.rmtree(run.storage.local / "images")
    hp.classify(run, hp.Classifier(model="tiny", labels="picture-kind", device="cpu", precision="bf16"))


def test_a_run_keeps_its_precision(tmp_path: Path) -> None:
    run = downloaded(tmp_path, PICTURES[:2])
    hp.classify(run, hp.Classifier(model="tiny", device="cpu"))
    with pytest.raises(RunConflictError, match="precision fp32 and is now asked with precision bf16"):
        hp.classify(run, hp.Classifier(model="tiny", device="cpu", precision="bf16"))
    with pytest.raises(UsageError, match="no precision 'fp8'"):
        hp.Classifier(model="tiny", precision="fp8")


@pytest.mark.parametrize(("precision", "refused"), [("bf16", True), ("fp32", False)])
def test_a_run_that_moved_to_another_device_is_refused_or_marked(tmp_path: Path, precision: str, refused: bool) -> None:
    shutil.copytree(SAMPLE / "www/media", tmp_path / "later")
    run = downloaded(tmp_path, PICTURES[:2])
    on_gpu = hp.Classifier(model="tiny", device="cpu", precision=precision)
    on_gpu.encoder.device = "mps"  # as far as the run can tell
    hp.classify(run, on_gpu)
    shutil.copy(PICTURES[3], tmp_path / "pictures/new.webp")
    hp.collect(run, hp.sources.folder(tmp_path / "pictures"))
    hp.download(run)
    here = hp.Classifier(model="tiny", device="cpu", precision=precision)
    if refused:
        with pytest.raises(RunConflictError, match=r"classified in bf16 on mps, and this is cpu.*where it began"):
            hp.classify(run, here)
        assert len(stored(run)) == 2
    else:
        hp.classify(run, here)
        assert run.used("models", here.model.key)["devices"] == ["cpu", "mps"]
        assert hp.summarize(run).devices == ("cpu", "mps")


# New questions


def test_a_new_question_touches_no_image(tmp_path: Path) -> None:
    run = downloaded(tmp_path, PICTURES[:5])
    hp.classify(run, hp.Classifier(model="tiny"))
    shutil.rmtree(run.storage.local / "images")
    other = hp.Classifier(model="tiny", labels=a_question(tmp_path))
    done = hp.classify(run, other)
    assert (done.new, done.images, done.unreadable, done.scored) == (0, 5, 0, True)
    assert hp.summarize(run, labels_key=other.labels.key).images == 5


def test_the_kind_of_each_picture_and_the_weight_of_each_prompt_are_known_beside_the_answer(tmp_path: Path) -> None:
    run, classifier = downloaded(tmp_path, PICTURES[:5]), hp.Classifier(model="tiny")
    hp.classify(run, classifier)
    tally = hp.summarize(run)
    templates, prompts = len(classifier.labels.templates), sum(len(each.prompts) for each in classifier.labels.classes)
    assert len({(each.kind, each.variant) for each in tally.robustness}) == 1 + templates + prompts
    assert tally.without_text is not None


def test_two_models_stand_beside_each_other(tmp_path: Path) -> None:
    shutil.copytree(bundled() / "tiny", tmp_path / "copy")
    (tmp_path / "copy/open_clip_config.json").write_text((tmp_path / "copy/open_clip_config.json").read_text() + "\n")
    run = downloaded(tmp_path, PICTURES[:2])
    hp.classify(run, hp.Classifier(model="tiny"))
    other = hp.Classifier(model=f"local-dir:{tmp_path / 'copy'}")
    assert hp.classify(run, other).new == 2
    assert len(files(run, "embeddings/*")) == 2
    assert run.asked["model"] == "tiny", "the first question stays the run's own"
    hp.summarize(run, model_key=other.model.key, labels_key=other.labels.key)
    assert len(files(run, "report/*/tally.json")) == 1


def test_nothing_to_classify_before_the_download(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="run the download stage first"):
        hp.classify(hp.Run(tmp_path), hp.Classifier(model="tiny"))


def test_the_classifier_takes_paths_and_pictures_and_says_what_it_can_not_read(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>")
    with Image.open(PICTURES[0]) as image:
        results = list(hp.Classifier(model="tiny")([PICTURES[0], image, tmp_path / "page.jpg", tmp_path / "none.jpg"]))
    by_path, by_image, page, none = results
    assert by_path.probabilities == by_image.probabilities
    assert sum(by_path.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert (page.label, page.problem, page.probabilities) == (None, "a web page, not a picture", {})
    assert none.label is None
    assert "none.jpg" in none.problem


def test_a_picture_is_the_same_as_its_file_also_if_it_lies_on_its_side(tmp_path: Path) -> None:
    with Image.open(PICTURES[0]) as image:
        exif = Image.Exif()
        exif[0x0112] = 6
        image.convert("RGB").save(tmp_path / "side.png", exif=exif)
    with Image.open(tmp_path / "side.png") as image:
        by_path, by_image = hp.Classifier(model="tiny")([tmp_path / "side.png", image])
        assert image.getexif()[0x0112] == 6, "and is left as it was"
    assert by_path.probabilities == by_image.probabilities


def test_labels_follow_the_stored_scores(tmp_path: Path) -> None:
    run = downloaded(tmp_path, PICTURES[:5])
    hp.classify(run, hp.Classifier(model="tiny"))
    (path,) = files(run, "scores/*/friendly-or-force-????????.parquet")
    rows = run.read_table(str(path.relative_to(run.storage.local)))
    assert pc.count_distinct(rows.column("sha256")).as_py() == 5
    for row in rows.to_pylist():
        chances = sorted((row[name] for name in rows.column_names if name.startswith("p_")), reverse=True)
        assert row["margin"] == pytest.approx(chances[0] - chances[1], abs=1e-6)
        assert (row["label"] == "unsure") == (row["margin"] < 0.1)


def test_it_runs_where_pictures_are_tiny_or_odd(tmp_path: Path) -> None:
    odd = {
        "1x2.png": picture(size=(1, 2), format="PNG"),
        "wide.jpg": picture(size=(2000, 3)),
        "l.png": picture(9, mode="L", format="PNG"),
    }
    for name, content in odd.items():
        (tmp_path / name).write_bytes(content)
    run = downloaded(tmp_path, [tmp_path / name for name in odd])
    assert hp.classify(run, hp.Classifier(model="tiny")).new == 3
