"""Stage 3a: images -> embeddings. Decode threads feed a bounded window of pictures to the model, in a fixed order.

An image is done when its sha256 stands in the table of this model and preprocessing. Batches are cut from the images in
the order of their sha256, whatever takes how long: the same images give the same vectors.
"""

from __future__ import annotations

import ctypes
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
from hashtag_photos.tables import embeddings_schema, vector_column

if TYPE_CHECKING:
    import torch

    from hashtag_photos.clip import Encoder

WINDOW = 4  # batches decoded ahead
PART_ROWS = 5_000
PART_SECONDS = 30.0  # a crash loses at most this much of what was computed

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")
StoredVectors = npt.NDArray[np.float16]


def embed(run: Run, encoder: Encoder, model_key: str, todo: pa.Table, *, progress: Progress = silent) -> int:
    """Append the vectors of images, given as sha256 and format, to `embeddings/<model_key>`; how many there are.

    An image whose file is gone or damaged since it was stored gets no row: the summary counts it as not classified.
    """
    shas: list[str] = []
    vectors: list[StoredVectors] = []
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

    def read(item: tuple[str, str]) -> torch.Tensor:
        with run.open_image(*item) as file:
            return encoder.prepare(file)

    progress("embed", 0, todo.num_rows)
    try:
        for batch in encoded(encoder, _rows(todo), read):
            for (sha, _), vector in batch:
                if not isinstance(vector, Exception):
                    shas.append(sha)
                    vectors.append(vector)
                    embedded += 1
            done += len(batch)
            if len(shas) >= PART_ROWS or time.monotonic() - since > PART_SECONDS:
                flush()
            progress("embed", done, todo.num_rows, note=encoder.notes[-1] if encoder.notes else "")
    finally:
        flush()  # also when interrupted: what was computed is kept
    return embedded


def encoded(
    encoder: Encoder, items: Iterable[Item], prepare: Callable[[Item], torch.Tensor]
) -> Iterator[list[tuple[Item, StoredVectors | Exception]]]:
    """Batches of items with their vectors as stored (float16, unit length), or why one could not be read; in order."""
    begun: deque[tuple[list[tuple[Item, torch.Tensor | Exception]], Callable[[], npt.NDArray[np.float32]]]] = deque()

    def finish() -> list[tuple[Item, StoredVectors | Exception]]:
        batch, wait_for = begun.popleft()
        vectors = iter(wait_for().astype(np.float16))
        return [(item, value if isinstance(value, Exception) else next(vectors)) for item, value in batch]

    size = encoder.batch_size
    with ThreadPoolExecutor(cores()) as pool:
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


def vectors_in_fp32(
    run: Run, reference: Encoder, images: Iterable[tuple[str, str]]
) -> dict[str, npt.NDArray[np.float32]]:
    """Vectors of a few images as this encoder gives them, by sha256; none for those that can't be read."""
    prepared = {}
    for sha, image_format in images:
        with suppress(ImageError, OSError, ValueError), run.open_image(sha, image_format) as file:
            prepared[sha] = reference.prepare(file)
    return dict(zip(prepared, reference.encode_images(list(prepared.values())) if prepared else (), strict=True))


def images_left(run: Run, table: str) -> tuple[int, pa.Table]:
    """How many distinct images the run has, and those without a vector in `table`: sha256, format, by sha256."""
    with run.database(embedded=run.dataset(table, pa.schema([("sha256", pa.string())]))) as database:
        database.execute(
            f"""CREATE VIEW images AS SELECT sha256, any_value(format) AS format
            FROM photos WHERE status = '{PhotoStatus.OK.value}' GROUP BY sha256"""
        )
        ((images,),) = database.execute("SELECT count(*) FROM images").fetchall()
        left = database.sql(
            "SELECT * FROM images WHERE sha256 NOT IN (SELECT sha256 FROM embedded) ORDER BY sha256"
        ).to_arrow_table()
    return images, left


def _rows(images: pa.Table) -> Iterator[tuple[str, str]]:
    for batch in images.to_batches(max_chunksize=1_000):
        yield from zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)
