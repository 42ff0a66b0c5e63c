"""Stage 3c: images -> pictures. Images that are the same picture, re-compressed, resized, cropped a little, bordered or
captioned, are one group, named by its representative: the image with most pixels, then with the smallest sha256.

What makes two images the same picture is in duplicates.py. An image without hashes and thumbnail, as an older version
downloaded it, is a picture of its own, and counted as such in run.json.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hashtag_photos.duplicates import RULE, near_duplicates, rounded
from hashtag_photos.images import THUMBNAIL_SIDE, WINDOWS
from hashtag_photos.records import PhotoStatus
from hashtag_photos.run import Run
from hashtag_photos.stages import Progress, silent
from hashtag_photos.stages.engine import LOCAL, Engine
from hashtag_photos.stages.joined import Places, pieces, places, whole
from hashtag_photos.storage import until_answered
from hashtag_photos.tables import GROUPS, PHOTOS, vectors_of

if TYPE_CHECKING:
    import pyarrow.dataset as pads

_BATCH_ROWS = 8_192
_LOOKS = ("window_hashes", "one_shade", "thumbnail")
_WORDS = 4  # of 64 bits, in the hash of a window


def groups_path(model_key: str) -> str:
    """Where a run says which images are one picture, as a model sees them."""
    return f"duplicates/{model_key}.parquet"


def group(run: Run, model_key: str, *, engine: Engine = LOCAL, progress: Progress = silent) -> int:
    """Write which picture each image is that has a vector of a model (GROUPS, by sha256); how many pictures there are.

    Does nothing if the table holds just these images, by the same rule. run.json then says of `duplicates` how many
    images and pictures there are, how many images could not be compared, and the number of the rule.
    """
    embedded = run.dataset(f"embeddings/{model_key}", pa.schema([("sha256", pa.string())]))
    used = run.used("duplicates", model_key) or {}
    if used.get("rule") == RULE and _holds(run, model_key, embedded):
        return int(used["pictures"])
    images = _images(run, embedded)
    first, compared = _grouped(run, model_key, embedded, images, engine, progress)
    order = pc.sort_indices(images).to_numpy()
    rows = pa.table([pieces(images, order), pieces(images, first[order])], schema=GROUPS)
    run.write_table(groups_path(model_key), rows)
    pictures = len(np.unique(first))
    facts = {"rule": RULE, "images": len(images), "pictures": pictures, "images_not_compared": len(images) - compared}
    run.record_used("duplicates", model_key, facts)
    return pictures


def not_compared(run: Run, model_key: str) -> int:
    """Of how many images it isn't known whether they have near-duplicates, since an older version downloaded them."""
    used = run.used("duplicates", model_key) or {}
    return int(used.get("images_not_compared", 0))


@until_answered
def _images(run: Run, embedded: pads.Dataset) -> pa.Array:
    """The sha256 of each image that counts and has a vector, those with most pixels first, then by sha256."""
    with run.database(embedded=embedded) as database:
        ranked = database.sql(
            f"""SELECT sha256 FROM photos
            WHERE status = '{PhotoStatus.OK.value}' AND sha256 IN (SELECT sha256 FROM embedded)
            GROUP BY sha256 ORDER BY max(width::BIGINT * height) DESC NULLS LAST, sha256"""
        ).to_arrow_table()
    return whole(ranked.column("sha256"))


@until_answered
def _holds(run: Run, model_key: str, embedded: pads.Dataset) -> bool:
    """Whether the table holds just the images that count and have a vector."""
    rows = run.read_table(groups_path(model_key), "sha256")
    if rows is None:
        return False
    with run.database() as database:
        shown = database.sql(f"SELECT sha256 FROM photos WHERE status = '{PhotoStatus.OK.value}'").to_arrow_table()
    vectors = _shas(run, embedded)
    place = places(shown.column(0), rows.column(0))
    counted = np.bincount(place[place >= 0], minlength=len(rows))
    others = shown.column(0).filter(pa.array(place < 0))
    same = vectors.equals(rows.column(0)) or (places(rows.column(0), vectors) >= 0).all()
    return bool(same and counted.all() and (places(others, vectors) < 0).all())


@until_answered
def _shas(run: Run, table: pads.Dataset) -> pa.ChunkedArray:
    with run.readable("a table"):
        return table.to_table(columns=["sha256"]).column(0)


def _grouped(
    run: Run, model_key: str, embedded: pads.Dataset, images: pa.Array, engine: Engine, progress: Progress
) -> tuple[npt.NDArray[np.int64], int]:
    """Per image the place of its picture's representative, and how many images could be compared."""
    hashes = np.zeros((len(images), len(WINDOWS), _WORDS), dtype=np.uint64)
    hashed = np.zeros(len(images), dtype=bool)
    shades = np.zeros(len(images), dtype=np.float32)
    thumbnails = np.zeros((len(images), THUMBNAIL_SIDE, THUMBNAIL_SIDE), dtype=np.uint8)
    progress("group", 0, None)
    looks_of_all = run.batches("photos", *_LOOKS, rows=_BATCH_ROWS, schema=PHOTOS)  # null where an older one lacks them
    for place, looks in _rows(looks_of_all, places(_shas(run, run.dataset("photos", PHOTOS)), images)):
        there = pc.and_(pc.and_(*(each.is_valid() for each in looks[:2])), looks[2].is_valid())
        column, shade, small = (each.filter(there) for each in looks)
        place, digits = place[there.to_numpy(zero_copy_only=False)], "".join(column.to_pylist())
        shades[place] = shade.to_numpy()
        pixels = b"".join(map(base64.b64decode, small.to_pylist()))
        thumbnails[place] = np.frombuffer(pixels, np.uint8).reshape(-1, *thumbnails.shape[1:])
        hashes[place] = np.frombuffer(bytes.fromhex(digits), dtype="<u8").reshape(-1, *hashes.shape[1:])
        hashed[place] = True
    known = np.flatnonzero(hashed)
    row = np.full(len(images), -1)
    row[known] = np.arange(len(known))
    vectors = np.empty((0, 0), dtype=np.int8)
    stored = run.batches(f"embeddings/{model_key}", "vector", rows=_BATCH_ROWS)
    for place, (column,) in _rows(stored, places(_shas(run, embedded), images)):
        some = rounded(vectors_of(column))
        if not len(vectors):
            vectors = np.zeros((len(known), some.shape[1]), dtype=np.int8)
        wanted = row[place] >= 0
        vectors[row[place[wanted]]] = some[wanted]
    first = np.arange(len(images))
    if len(known):
        if len(known) < len(images):
            hashes, shades, thumbnails = hashes[known], shades[known], thumbnails[known]
        found = near_duplicates(
            hashes,
            shades,
            thumbnails,
            vectors,
            each=engine.each,
            progress=lambda done, total: progress("group", done, total),
        )
        first[known] = known[found]
    progress("group", len(images), len(images))
    return first, len(known)


def _rows(batches: Iterable[pa.RecordBatch], place: Places) -> Iterator[tuple[npt.NDArray[np.int64], list[pa.Array]]]:
    """The columns of a table, a batch at a time, where a row has a place, and these places."""
    start = 0
    for batch in batches:
        own = place[start : start + len(batch)]
        start += len(batch)
        there = own >= 0
        yield own[there].astype(np.int64), [each.filter(pa.array(there)) for each in batch.columns]
