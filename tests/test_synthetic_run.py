"""The made-up run that benchmarks are of: what it says it is."""

from pathlib import Path

from hashtag_photos.stages.summarize import summarize
from make_synthetic_run import MODEL, make


def test_it_is_a_finished_run_with_as_many_images_as_posts(tmp_path: Path) -> None:
    """That nothing is left to download and to classify is held where it is made."""
    tally = summarize(make(tmp_path / "run", 1_000, files=False))
    assert (tally.coverage.posts, tally.images, tally.coverage.images_not_classified) == (1_000, 1_000, 0)
    assert 1_150 < tally.photos < 1_350
    assert tally.pictures < tally.images
    assert tally.model_key.startswith(MODEL)
    assert not (tmp_path / "run/images").exists()
