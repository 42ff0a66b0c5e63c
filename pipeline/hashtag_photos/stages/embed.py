"""Stage 3a: images -> embeddings. Decode threads feed a bounded window of pictures to the model, in a fixed order.

An image is done when its sha256 stands in the table of this model and preprocessing. Batches are cut from the images in
the order of their sha256, whatever takes how long: the same images give the same vectors.
"""

from __future__ import annotations

import ctypes
import io
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hashtag_photos.images import ImageError
from hashtag_photos.records import PhotoStatus
from hashtag_photos.run import Run
from hashtag_photos.stages import Progress, cores, silent
from hashtag_photos.stages.engine import Encoding, Engine
from hashtag_photos.stages.joined import places
from hashtag_photos.storage import REQUESTS_AT_ONCE, until_answered
from hashtag_photos.tables import embeddings_schema, vector_column

if TYPE_CHECKING:
    import torch

    from hashtag_photos.clip import Encoder

WINDOW = 4  # batches decoded ahead
PART_ROWS = 5_000
PART_SECONDS = 30.0  # a crash loses at most this much of what was computed

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")
Vector = npt.NDArray[np.float32]


def embed(
    run: Run, encoder: Encoding, model_key: str, todo: pa.Table, *, engine: Engine, progress: Progress = silent
) -> int:
    """Append the vectors of images, given as sha256 and format, to `embeddings/<model_key>`; how many there are.

    `encoder` is the engine's. An image whose file is gone or damaged since it was stored gets no row: the summary
    counts it as not classified.
    """
    shas: list[str] = []
    vectors: list[npt.NDArray[np.float16]] = []
    since = time.monotonic()
    embedded = done = 0

    def flush() -> None:
        nonlocal since
        if shas:
            column = vector_column(np.stack(vectors))
            rows = pa.table([pa.array(shas), column], schema=embeddings_schema(len(vectors[0])))
            shas.clear()  # before they are written: an interruption in the middle must not write them twice
            vectors.clear()
            run.append(f"embeddings/{model_key}", rows)
        since = time.monotonic()

    progress("embed", 0, todo.num_rows)
    try:
        for batch in engine.encode(run, encoder, todo):
            for (sha, _), vector in batch:
                if not isinstance(vector, Exception):
                    shas.append(sha)
                    vectors.append(vector.astype(np.float16))
                    embedded += 1
            done += len(batch)
            if len(shas) >= PART_ROWS or time.monotonic() - since > PART_SECONDS:
                flush()
            progress("embed", done, todo.num_rows, note=encoder.notes[-1] if encoder.notes else "")
    finally:
        flush()  # also when interrupted: what was computed is kept
    return embedded


def images_encoded(
    run: Run, encoder: Encoder, images: pa.Table, threads: int | None = None
) -> Iterator[list[tuple[tuple[str, str], Vector | Exception]]]:
    """Images of a run, given as sha256 and format, as `encoded` has them. From an object store as many are read at once
    as it can be asked for, or a GPU would wait for files; they are decoded by as many threads as from a disk."""

    def read(item: tuple[str, str]) -> torch.Tensor:
        with run.images.open(*item) as file:
            return encoder.prepare(file)

    if run.storage.local is not None:
        yield from encoded(encoder, _rows(images), read, threads)
        return
    with ThreadPoolExecutor(threads or cores()) as decoders:

        def read_from_afar(item: tuple[str, str]) -> torch.Tensor:
            with run.images.open(*item) as file:
                content = io.BytesIO(file.read())
            return decoders.submit(encoder.prepare, content).result()

        yield from encoded(encoder, _rows(images), read_from_afar, max(threads or cores(), REQUESTS_AT_ONCE))


def encoded(
    encoder: Encoder, items: Iterable[Item], prepare: Callable[[Item], torch.Tensor], threads: int | None = None
) -> Iterator[list[tuple[Item, Vector | Exception]]]:
    """Batches of items with their unit vectors, or why one could not be read; in order. As many threads read and decode
    as there are cores, unless it is said how many."""
    begun: deque[tuple[list[tuple[Item, torch.Tensor | Exception]], Callable[[], npt.NDArray[np.float32]]]] = deque()

    def finish() -> list[tuple[Item, Vector | Exception]]:
        batch, wait_for = begun.popleft()
        vectors = iter(wait_for())
        return [(item, value if isinstance(value, Exception) else next(vectors)) for item, value in batch]

    size = encoder.batch_size
    with ThreadPoolExecutor(threads or cores()) as pool:
        # on a CPU, pictures are decoded between batches and not beside them, when both would wait for the same cores
        read = _ahead(pool, prepare, items, WINDOW * size, apart=encoder.ahead == 0)
        while batch := list(islice(read, size)):
            good = [value for _, value in batch if not isinstance(value, Exception)]
            begun.append((batch, encoder.begin(good) if good else _nothing))
            del good
            if len(begun) > encoder.ahead:
                yield finish()
        while begun:
            yield finish()


def _nothing() -> npt.NDArray[np.float32]:
    return np.empty((0, 0), dtype=np.float32)


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[Item], Prepared], items: Iterable[Item], window: int, *, apart: bool
) -> Iterator[tuple[Item, Prepared | Exception]]:
    """Items with the outcome of `work` in threads, in order, at most `window` of them under way or waiting.

    With `apart` nothing is under way while an outcome is out: a whole window is worked on, then handed out.
    """
    left = iter(items)
    waiting: deque[tuple[Item, Future[Prepared]]] = deque()
    try:
        while True:
            if not (apart and waiting):
                for item in islice(left, window - len(waiting)):
                    waiting.append((item, pool.submit(work, item)))
                if apart:
                    wait([future for _, future in waiting])
                    _give_back()
            if not waiting:
                return
            item, future = waiting.popleft()
            try:
                outcome: Prepared | Exception = future.result()
            except (ImageError, OSError, ValueError, MemoryError) as error:
                outcome = error
            del future
            yield item, outcome
    finally:
        for _, future in waiting:
            future.cancel()


def _give_back() -> None:
    """Have glibc return what decoders freed: it keeps some for each thread, and more of it the longer they run."""
    with suppress(AttributeError, OSError, TypeError):  # other systems
        ctypes.CDLL(None).malloc_trim(0)


@until_answered
def images_left(run: Run, embedded: pa.ChunkedArray) -> tuple[int, pa.Table]:
    """How many distinct images the run has, and those without a vector: sha256, format, by sha256.

    `embedded` are the sha256 of those that have one. Raises RunError if the table of photos can't be read.
    """
    with run.database() as database:
        had = database.sql(
            f"SELECT sha256, format FROM photos WHERE status = '{PhotoStatus.OK.value}'"
        ).to_arrow_table()
        place = places(had.column("sha256"), embedded)
        database.register("missing", had.filter(pa.array(place < 0)))
        left = database.sql(
            "SELECT sha256, min(format) AS format FROM missing GROUP BY sha256 ORDER BY sha256"
        ).to_arrow_table()
    images = int(np.count_nonzero(np.bincount(place[place >= 0]))) + len(left)
    return images, left


def _rows(images: pa.Table) -> Iterator[tuple[str, str]]:
    for batch in images.to_batches(max_chunksize=1_000):
        yield from zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)
