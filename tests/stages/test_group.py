"""The stage that says which images are one picture, on run folders as the other stages leave them."""

import base64
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SAMPLE
from PIL import Image

import hashtag_photos as hp
from hashtag_photos.stages import group as stage
from hashtag_photos.stages.group import group, groups_path, not_compared
from hashtag_photos.tables import embeddings_schema, photos_table, vector_column

PICTURES = sorted((SAMPLE / "www/media").glob("*.webp"))


def downloaded(folder: Path, pictures: dict[str, bytes]) -> hp.Run:
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for name, content in pictures.items():
        (folder / "pictures" / name).write_bytes(content)
    run = hp.Run(folder / "run")
    hp.collect(run, hp.sources.folder(folder / "pictures"))
    hp.download(run)
    return run


def again(path: Path, times: float, **options: object) -> bytes:
    """A picture saved once more as a JPEG, in another size."""
    with Image.open(path) as image:
        out = io.BytesIO()
        size = round(image.width * times), round(image.height * times)
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(out, "JPEG", **options)
    return out.getvalue()


def table(run: hp.Run) -> dict[str, str]:
    rows = run.read_table(groups_path(run.asked["model_key"]))
    assert rows.column("sha256").to_pylist() == sorted(rows.column("sha256").to_pylist())
    return dict(zip(rows.column("sha256").to_pylist(), rows.column("picture").to_pylist(), strict=True))


def sha_of(run: hp.Run, name: str) -> str:
    with run.database() as database:
        ((sha,),) = database.execute("SELECT sha256 FROM photos WHERE url LIKE ?", [f"%{name}"]).fetchall()
    return sha


def test_copies_are_one_picture_named_by_the_largest(tmp_path: Path) -> None:
    run = downloaded(
        tmp_path,
        {
            "a.webp": PICTURES[0].read_bytes(),
            "a-small.jpg": again(PICTURES[0], 0.5, quality=80),
            "a-large.jpg": again(PICTURES[0], 1.5, quality=80),
            "b.webp": PICTURES[1].read_bytes(),
        },
    )
    done = hp.classify(run, hp.Classifier(model="tiny"))
    assert (done.images, done.pictures) == (4, 2)
    large, b = sha_of(run, "a-large.jpg"), sha_of(run, "b.webp")
    assert table(run) == {
        sha_of(run, "a.webp"): large,
        sha_of(run, "a-small.jpg"): large,
        large: large,
        b: b,
    }
    used = run.used("duplicates", run.asked["model_key"])
    assert (used["images"], used["pictures"], used["images_not_compared"]) == (4, 2, 0)


def test_of_the_same_size_the_smallest_sha256_names_the_picture(tmp_path: Path) -> None:
    copies = {f"{quality}.jpg": again(PICTURES[0], 1, quality=quality) for quality in (60, 75, 90)}
    run = downloaded(tmp_path, copies)
    hp.classify(run, hp.Classifier(model="tiny"))
    assert set(table(run).values()) == {min(table(run))}


def test_again_it_writes_nothing_and_a_new_image_is_grouped(tmp_path: Path) -> None:
    run = downloaded(tmp_path, {"a.webp": PICTURES[0].read_bytes(), "b.webp": PICTURES[1].read_bytes()})
    hp.classify(run, hp.Classifier(model="tiny"))
    path = run.storage.local / groups_path(run.asked["model_key"])
    before = path.stat().st_ino, (run.storage.local / "run.json").read_bytes()
    assert hp.classify(run, hp.Classifier(model="tiny")).pictures == 2
    assert (path.stat().st_ino, (run.storage.local / "run.json").read_bytes()) == before
    run = downloaded(tmp_path, {"c.jpg": again(PICTURES[1], 0.5, quality=70)})
    done = hp.classify(run, hp.Classifier(model="tiny"))
    assert (done.images, done.pictures) == (3, 2)
    assert table(run)[sha_of(run, "c.jpg")] == sha_of(run, "b.webp")


def test_another_rule_groups_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = downloaded(tmp_path, {"a.webp": PICTURES[0].read_bytes()})
    hp.classify(run, hp.Classifier(model="tiny"))
    key = run.asked["model_key"]
    before = (run.storage.local / groups_path(key)).stat().st_ino
    monkeypatch.setattr(stage, "RULE", stage.RULE + 1)
    assert group(run, key) == 1
    assert (run.storage.local / groups_path(key)).stat().st_ino != before
    assert run.used("duplicates", key)["rule"] == stage.RULE


def test_a_run_without_a_picture_has_none(tmp_path: Path) -> None:
    run = downloaded(tmp_path, {"words.txt": b"no picture"})
    assert hp.classify(run, hp.Classifier(model="tiny")).pictures == 0
    assert table(run) == {}


@pytest.mark.parametrize("reverse", [False, True])
def test_the_order_of_the_tables_makes_no_difference(tmp_path: Path, reverse: bool) -> None:
    pictures = [(f"{number}.webp", path.read_bytes()) for number, path in enumerate(PICTURES[:6])]
    pictures += [(f"{number}.jpg", again(path, 0.7, quality=60)) for number, path in enumerate(PICTURES[:6])]
    pictures = pictures[::-1] if reverse else pictures
    for at in range(0, len(pictures), 4):  # a part of each table at a time
        run = downloaded(tmp_path, dict(pictures[at : at + 4]))
        hp.classify(run, hp.Classifier(model="tiny"))
    expected = {sha_of(run, f"{number}.jpg"): sha_of(run, f"{number}.webp") for number in range(6)}
    assert {sha: picture for sha, picture in table(run).items() if sha != picture} == expected


BASIC = {"source": "t", "url": "u", "status": "ok", "attempt": 1, "width": 9, "height": 9}


def made(folder: Path, photos: list[dict[str, object]], vectors: dict[str, list[float]]) -> hp.Run:
    """A run of rows made by hand."""
    run = hp.Run(folder)
    run.ask(model="m")
    run.append("photos", photos_table([{**BASIC, "post_id": str(n), "position": 0, **p} for n, p in enumerate(photos)]))
    column = vector_column(np.array(list(vectors.values()), dtype=np.float16))
    run.append("embeddings/m", pa.table([pa.array(list(vectors)), column], schema=embeddings_schema(2)))
    return run


HASH = {
    "window_hashes": np.packbits(np.arange(1280) % 2).tobytes().hex(),
    "one_shade": 0.1,
    "thumbnail": base64.b64encode(bytes(range(256)) * 4).decode(),
}


def test_only_images_that_count_and_have_a_vector_are_grouped(tmp_path: Path) -> None:
    photos = [{"sha256": sha, **HASH} for sha in ("a" * 64, "b" * 64, "c" * 64)]
    photos += [{"sha256": "c" * 64, "post_id": "2", "attempt": 2, "status": "placeholder"}]
    run = made(tmp_path / "run", photos, {letter * 64: [1.0, 0.0] for letter in "ac"})
    assert group(run, "m") == 1
    assert run.read_table(groups_path("m")).to_pylist() == [{"sha256": "a" * 64, "picture": "a" * 64}]


def test_a_run_of_an_older_version_has_nothing_to_compare_and_says_so(tmp_path: Path) -> None:
    photos = [{"sha256": "a" * 64, **HASH}, {"sha256": "b" * 64, **HASH}]
    run = made(tmp_path / "run", photos, {letter * 64: [1.0, 0.0] for letter in "ab"})
    (part,) = (run.storage.local / "photos").glob("*.parquet")
    older = pq.read_table(part).drop_columns(["window_hashes", "one_shade", "thumbnail"])
    pq.write_table(older, part)
    assert group(run, "m") == 2
    assert not_compared(run, "m") == 2
    run.append("photos", photos_table([{**BASIC, "post_id": "9", "position": 0, "sha256": "c" * 64, **HASH}]))
    column = vector_column(np.array([[1.0, 0.0]], dtype=np.float16))
    run.append("embeddings/m", pa.table([pa.array(["c" * 64]), column], schema=embeddings_schema(2)))
    assert group(run, "m") == 3, "the older part stands beside a newer one"
    assert not_compared(run, "m") == 2


def test_before_it_was_grouped_a_run_has_none_that_were_not_compared(tmp_path: Path) -> None:
    assert not_compared(hp.Run(tmp_path / "run"), "m") == 0


def test_an_image_without_a_hash_is_its_own_picture_and_counted(tmp_path: Path) -> None:
    photos = [{"sha256": "a" * 64, **HASH}, {"sha256": "b" * 64}, {"sha256": "c" * 64}, {"sha256": "d" * 64, **HASH}]
    run = made(tmp_path / "run", photos, {letter * 64: [1.0, 0.0] for letter in "dcba"})
    assert group(run, "m") == 3
    rows = run.read_table(groups_path("m")).to_pylist()
    assert [row["picture"][0] for row in rows] == ["a", "b", "c", "a"]
    assert not_compared(run, "m") == 2


def test_vectors_come_to_the_image_that_they_are_of(tmp_path: Path) -> None:
    """Largest first is not the order of the table."""
    photos = [{"sha256": sha * 64, "width": width, **HASH} for sha, width in (("a", 1), ("b", 5), ("c", 9), ("d", 7))]
    vectors = {"a" * 64: [1.0, 0.0], "b" * 64: [0.0, 1.0], "c" * 64: [0.0, 1.0], "d" * 64: [1.0, 0.0]}
    run = made(tmp_path / "run", photos, vectors)
    assert group(run, "m") == 2
    assert [row["picture"][0] for row in run.read_table(groups_path("m")).to_pylist()] == ["d", "c", "c", "d"]


def test_progress_ends_at_its_total(tmp_path: Path) -> None:
    run = made(tmp_path / "run", [{"sha256": "a" * 64, **HASH}], {"a" * 64: [1.0, 0.0]})
    said: list[tuple[str, int, int | None]] = []
    group(run, "m", progress=lambda stage, done, total, note="", detail="": said.append((stage, done, total)))
    assert said[-1] == ("group", 1, 1)
