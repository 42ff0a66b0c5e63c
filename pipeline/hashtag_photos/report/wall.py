"""The wall: pictures of a run in a grid, alike ones near each other, as one sharp mosaic and one that is blurred.

The places come from the vectors of the model: t-SNE (van der Maaten and Hinton 2008) of their first principal
components, then the assignment of points to the cells of a grid that moves them least. They show what the model takes
for alike, roughly: no distance on the wall is a number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hashtag_photos.report.pictures import Pictures, Shown
from hashtag_photos.report.thumbs import BLURRED, data_address, squares
from hashtag_photos.run import Run
from hashtag_photos.stages.tally import Tally
from hashtag_photos.tables import vectors_of

MOST = 1_200  # pictures
SMALLEST, LARGEST = 64, 128  # pixels of a tile: of MOST, and of so few that all need no more
_FEWEST = 5  # to be laid out
_COMPONENTS = 50
_PERPLEXITY = 30.0
_STEPS = 500  # of 1,000 as usual: the cells of a grid are coarser than what the others change
_SHAPE = 4 / 3
_GONE = "#8a8a8a"
_BATCH_ROWS = 8_192

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Wall:
    """A grid of so many `columns`, and its tiles row by row, of `pictures` that there are in all.

    `sharp` and `blurred` are mosaics of all tiles as data: addresses, in which those whose files are `gone` or damaged
    are grey. `alike` is whether the places say anything: too few pictures stand in no order.
    """

    pictures: int
    columns: int
    tiles: tuple[Shown, ...]
    sharp: str
    blurred: str
    gone: frozenset[str]
    alike: bool

    @property
    def rows(self) -> int:
        """Rows of the grid, the last of which may not be full."""
        return math.ceil(len(self.tiles) / self.columns)


def wall(run: Run, tally: Tally, known: Pictures, *, authors: bool = True) -> Wall | None:
    """The wall of a tally's pictures, all `known` or MOST of them drawn at random; None where there are none.

    Without `authors` nothing is in it that could name people beside what pictures show.
    """
    from PIL import Image

    names = known.drawn(MOST)
    if not names:
        return None
    shown = known.shown(names, authors=authors)
    files = known.formats(names)
    columns = min(len(names), math.ceil(math.sqrt(_SHAPE * len(names))))
    cells = arranged(_vectors(run, tally.model_key, names), columns)
    names = names if cells is None else [names[place] for place in np.argsort(cells)]
    side = min(LARGEST, round(SMALLEST * math.sqrt(MOST / len(names))))
    tiles = squares(run, files, side)
    mosaic = Image.new("RGB", (columns * side, math.ceil(len(names) / columns) * side), _GONE)
    for number, name in enumerate(names):
        if name in tiles:
            row, column = divmod(number, columns)
            mosaic.paste(tiles[name], (column * side, row * side))
    small = mosaic.width // side * BLURRED, mosaic.height // side * BLURRED
    return Wall(
        pictures=tally.pictures,
        columns=columns,
        tiles=tuple(shown[name] for name in names),
        sharp=data_address(mosaic),
        blurred=data_address(mosaic.resize(small, Image.Resampling.BOX)),
        gone=frozenset(names) - set(tiles),
        alike=cells is not None,
    )


def arranged(vectors: Floats, columns: int) -> npt.NDArray[np.int64] | None:
    """The cell of each vector, (n,), in a grid of so many columns, counted row by row from 0: alike ones are near.

    `vectors` are (n, dimension). None if they are too few to be laid out, or all the same. The same vectors give the
    same places, on the same machine.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    count = len(vectors)
    if count < _FEWEST or np.ptp(vectors, axis=0).max(initial=0) < 1e-6:
        return None
    with threadpool_limits(1):  # sums of several threads differ from one time to the next
        components = min(_COMPONENTS, count, vectors.shape[1])
        reduced = PCA(components, svd_solver="full").fit_transform(vectors)
        perplexity = min(_PERPLEXITY, (count - 1) / 3)
        points = TSNE(init="pca", perplexity=perplexity, max_iter=_STEPS, random_state=0).fit_transform(reduced)
    points = np.asarray(points, np.float64)
    points = (points - points.min(axis=0)) / np.maximum(np.ptp(points, axis=0), 1e-9)
    rows = math.ceil(count / columns)
    row, column = np.divmod(np.arange(count), columns)
    cells = np.stack([(column + 0.5) / columns, (row + 0.5) / rows], axis=1)
    # distances on the page, which is wider than high
    _, place = linear_sum_assignment(cdist(points * [columns, rows], cells * [columns, rows], "sqeuclidean"))
    return np.asarray(place, np.int64)


def _vectors(run: Run, model_key: str, names: Sequence[str]) -> Floats:
    """The vectors of images, (n, dimension), in the order of their names; of one that has none, zeros."""
    wanted, vectors = pa.array(names), np.zeros((len(names), 0))
    for batch in run.batches(f"embeddings/{model_key}", "sha256", "vector", rows=_BATCH_ROWS):
        place = pc.index_in(batch.column("sha256"), value_set=wanted)
        if place.null_count == len(place):
            continue
        some = vectors_of(batch.column("vector").filter(place.is_valid()))
        if not vectors.shape[1]:
            vectors = np.zeros((len(names), some.shape[1]))
        vectors[place.drop_null().to_numpy()] = some
    return vectors
