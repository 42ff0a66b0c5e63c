"""Stage 3a: images -> embeddings. Decode threads feed a bounded window of pictures to the model, in a fixed order.

An image is done when its sha256 stands in the table of this model and preprocessing.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hashtag_photos.images import ImageError, read_rgb
from hashtag_photos.records import PhotoStatus
from hashtag_photos.run import Run
from hashtag_photos.stages import Progress, silent
from hashtag_photos.tables import embeddings_schema

if TYPE_CHECKING:
    from hashtag_photos.clip import Encoder

BATCH = 32
PART_ROWS = 5_000
PART_SECONDS = 30.0  # a crash loses at most this much of what was computed

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")
StoredVectors = npt.NDArray[np.float16]


def embed(
    run: Run, encoder: Encoder, model_key: str, todo: list[tuple[str, str]], *, progress: Progress = silent
) -> int:
    """Append the vectors of images, given as (sha256, format), to `embeddings/<model_key>`; how many could be embedded.

    An image whose file is gone or damaged since it was stored gets no row: the summary counts it as not classified.
    """
    shas: list[str] = []
    vectors: list[StoredVectors] = []
    since = time.monotonic()
    embedded = 0

    def flush() -> None:
        nonlocal since
        if shas:
            stacked = np.concatenate(vectors)
            column = pa.FixedSizeListArray.from_arrays(pa.array(stacked.ravel()), stacked.shape[1])
            rows = pa.table([pa.array(shas), column], schema=embeddings_schema(stacked.shape[1]))
            shas.clear()  # before they are written: an interruption in the middle must not write them twice
            vectors.clear()
            run.append(f"embeddings/{model_key}", rows)
        since = time.monotonic()

    def read(item: tuple[str, str]) -> object:
        with run.open_image(*item) as file:
            return encoder.prepare(read_rgb(file))

    progress("embed", 0, len(todo))
    try:
        for number, batch in enumerate(encoded(encoder, todo, read), start=1):
            good = [(item[0], vector) for item, vector in batch if not isinstance(vector, Exception)]
            if good:
                shas += [sha for sha, _ in good]
                vectors.append(np.stack([vector for _, vector in good]))
                embedded += len(good)
            if len(shas) >= PART_ROWS or time.monotonic() - since > PART_SECONDS:
                flush()
            progress("embed", min(number * BATCH, len(todo)), len(todo))
    finally:
        flush()  # also when interrupted: what was computed is kept
    return embedded


def encoded(
    encoder: Encoder, items: Iterable[Item], prepare: Callable[[Item], object]
) -> Iterator[list[tuple[Item, StoredVectors | Exception]]]:
    """Batches of items with their vectors as stored (float16, unit length), or why one could not be read; in order.

    Two batches are decoded ahead in threads while the model computes.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for batch in _batches(_ahead(pool, prepare, items, 2 * BATCH), BATCH):
            good = [value for _, value in batch if not isinstance(value, Exception)]
            vectors = iter(encoder.encode_images(good).astype(np.float16) if good else ())  # type: ignore[arg-type]
            yield [(item, value if isinstance(value, Exception) else next(vectors)) for item, value in batch]


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[Item], Prepared], items: Iterable[Item], window: int
) -> Iterator[tuple[Item, Prepared | Exception]]:
    """Items with the outcome of `work` in threads, in order, at most `window` of them under way or waiting."""
    waiting: deque[tuple[Item, Future[Prepared]]] = deque()

    def outcome() -> tuple[Item, Prepared | Exception]:
        item, future = waiting.popleft()
        try:
            return item, future.result()
        except (ImageError, OSError, ValueError, MemoryError) as error:  # MemoryError: resized, a long strip is huge
            return item, error

    try:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) >= window:
                yield outcome()
        while waiting:
            yield outcome()
    finally:
        for _, future in waiting:
            future.cancel()


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def images_of(run: Run) -> list[tuple[str, str]]:
    """Distinct images that the run has, as (sha256, format), by sha256."""
    with run.database() as database:
        return database.execute(
            "SELECT sha256, any_value(format) FROM photos WHERE status = $ok GROUP BY sha256 ORDER BY sha256",
            {"ok": PhotoStatus.OK.value},
        ).fetchall()
