import shutil
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from conftest import SAMPLE, picture
from PIL import Image

import hashtag_photos as hp
from hashtag_photos.errors import RunConflictError, RunError
from hashtag_photos.models import bundled

PICTURES = sorted((SAMPLE / "www/media").glob("*.webp"))


def downloaded(folder: Path, pictures: list[Path]) -> hp.Run:
    (folder / "pictures").mkdir()
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
    rows = run.read_table(str(part.relative_to(run.storage.local)))
    vectors = np.array(rows.column("vector").to_pylist())
    assert str(rows.schema.field("vector").type.value_type) == "halffloat"
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=2e-3)


def test_one_unreadable_picture_never_loses_its_batch_and_is_counted(tmp_path: Path) -> None:
    run = downloaded(tmp_path, PICTURES[:4])
    gone, damaged = files(run, "images/*/*.webp")[:2]
    gone.unlink()
    damaged.write_bytes(b"overwritten by something else")
    done = hp.classify(run, hp.Classifier(model="tiny"))
    assert (done.new, done.images, done.unreadable) == (2, 4, 2)
    tally = hp.summarize(run)
    assert (tally.images, tally.coverage.images, tally.coverage.images_not_classified) == (2, 4, 2)


def test_what_was_computed_before_an_interruption_is_kept_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashtag_photos.stages.embed.BATCH", 2)
    run, classifier = downloaded(tmp_path, PICTURES[:6]), hp.Classifier(model="tiny")
    steps = []

    def interrupting(stage: str, done: int, total: int | None) -> None:
        steps.append((stage, done))
        if (stage, done) == ("embed", 4):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hp.classify(run, classifier, progress=interrupting)
    assert hp.classify(run, hp.Classifier(model="tiny")).new == 2


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


def test_other_weights_under_the_same_name_are_refused(tmp_path: Path) -> None:
    run = downloaded(tmp_path, PICTURES[:2])
    hp.classify(run, hp.Classifier(model="tiny"))
    other = hp.Classifier(model="tiny", labels="picture-kind")
    other.encoder._model.logit_scale.data += 1
    with pytest.raises(RunConflictError, match="other weights of 'tiny'"):
        hp.classify(run, other)


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
    (path,) = files(run, "scores/*/*.parquet")
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
