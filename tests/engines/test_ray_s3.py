"""A run in an object store whose stages are done by a Ray cluster: its tables are those of a folder on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from object_store import Proxy, Store, new_bucket
from ray_cluster import running

import hashtag_photos as hp
from hashtag_photos.engines import find_engine


@pytest.fixture(scope="module")
def store(moto: str) -> Iterator[Store]:
    """A bucket behind a proxy that fails, told by the environment of the cluster's processes, too."""
    with pytest.MonkeyPatch.context() as patch:
        there = new_bucket(moto, patch)
        with there.behind(Proxy(share=0.02)), running(2):
            yield there


@pytest.mark.slow
def test_the_sample_on_ray_in_an_object_store_is_the_sample_in_a_folder(store: Store, tmp_path: Path) -> None:
    ray, local = hp.Run(store.at("sample")), hp.Run(tmp_path / "sample")
    for run, engine in ((ray, find_engine("ray")), (local, find_engine("local"))):
        hp.collect(run, hp.sources.sample())
        hp.download(run, engine=engine)
        hp.classify(run, hp.Classifier("tiny", "friendly-or-force", device="cpu", engine=engine))
        hp.write_report(run, hp.summarize(run))
    key = local.asked["model_key"]
    kept = ["sha256", "vector"]
    vectors = [run.dataset(f"embeddings/{key}").to_table(columns=kept).sort_by("sha256") for run in (ray, local)]
    assert vectors[0].equals(vectors[1])
    for folder in (f"scores/{key}", "duplicates", "report"):
        names = [name for name in local.storage.names(folder) if "." in name]
        assert names
        for name in names:
            assert ray.storage.read(f"{folder}/{name}") == local.storage.read(f"{folder}/{name}"), name
