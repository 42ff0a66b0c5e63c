"""Posts, their attachments and what became of these, joined once: from here on they are places in arrays.

Keys of posts are long, and a join of a million of them takes longer than all counting. So they are looked up once, and
whatever is counted afterwards goes by numbers.

A piece of an Arrow column of text holds 2 GiB, which are 33 million sha256, and what looks rows up, takes or sorts them
makes one piece of a column. So the text of a whole run is `large_string` in memory, which has no such end; tables on
the disk have `string`, in pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hashtag_photos.records import PhotoStatus
from hashtag_photos.run import Run
from hashtag_photos.storage import until_answered
from hashtag_photos.tables import PHOTOS, POSTS

if TYPE_CHECKING:
    import pyarrow.dataset as pads

Places = npt.NDArray[np.int32]

_PIECE_ROWS = 1_000_000  # of text on its way to the disk


@dataclass(frozen=True, kw_only=True)
class Joined:
    """The posts of a run and their attachments, as they stood when they were joined.

    Attachments come post by post, those of the post at place i from `first[i]` to before `first[i + 1]`, (posts + 1,).
    `post`, (attachments,), is the place of each one's post, and `photo`, (attachments,), that of its last attempt among
    all rows of photos, -1 where it was not asked for yet. `had` are the places of the attachments that could be had.
    """

    run: Run
    posts: pads.Dataset
    photos: pads.Dataset
    first: npt.NDArray[np.int64]
    post: Places
    photo: Places
    had: Places

    @until_answered
    def of_posts(self, *columns: str) -> pa.Table:
        """Columns of all posts, in their order. Raises RunError if they can't be read."""
        with self.run.readable("posts"):
            return _long_table(self.posts.to_table(columns=list(columns)))

    @until_answered
    def of_photos(self, *columns: str) -> pa.Table:
        """Columns of all rows of photos, earlier attempts among them. Raises RunError if they can't be read."""
        with self.run.readable("photos"):
            return _long_table(self.photos.to_table(columns=list(columns)))

    @until_answered
    def posts_at(self, rows: npt.NDArray[np.integer], *columns: str) -> pa.Table:
        """Columns of the posts at these places. Raises RunError if they can't be read."""
        with self.run.readable("posts"):
            return self.posts.take(pa.array(rows), columns=list(columns))

    @until_answered
    def urls(self) -> pa.ChunkedArray:
        """The addresses of all attachments. Raises RunError if they can't be read."""
        with self.run.readable("posts"):
            batches = self.posts.to_batches(columns=["attachments"])
            return long(pa.chunked_array([each.column(0).flatten().field("url") for each in batches], pa.string()))


@until_answered
def join(run: Run) -> Joined:
    """The posts and photos of a run. Raises RunError if they can't be read.

    The stages write each post and each attempt once. A photo of a post that isn't there, or at a position that its post
    doesn't have, is nobody's.
    """
    posts, photos = run.dataset("posts", POSTS), run.dataset("photos", PHOTOS)
    with run.readable("posts"):
        lengths = posts.to_table(columns={"attachments": pc.list_value_length(pc.field("attachments"))}).column(0)
        keys = posts.to_table(columns=["source", "id"])
    with run.readable("photos"):
        asked = photos.to_table(columns=["source", "post_id", "position", "attempt", "status"])
    counts = lengths.fill_null(0).to_numpy()
    first = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    place = _posts_of(asked.select(["source", "post_id"]), keys)
    position = asked.column("position").to_numpy()
    in_order = np.argsort(asked.column("attempt").to_numpy(), kind="stable")
    in_order = in_order[((place >= 0) & (position >= 0))[in_order]]
    in_order = in_order[position[in_order] < counts[place[in_order]]]
    photo = np.full(first[-1], -1, np.int32)
    photo[first[place[in_order]] + position[in_order]] = in_order  # of several attempts the last one stays
    is_had = np.append(pc.equal(asked.column("status"), PhotoStatus.OK.value).to_numpy(), False)  # the last is no photo
    return Joined(
        run=run,
        posts=posts,
        photos=photos,
        first=first,
        post=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        photo=photo,
        had=np.flatnonzero(is_had[photo]).astype(np.int32),
    )


def _posts_of(of: pa.Table, among: pa.Table) -> Places:
    """Where each row, a source and an id, stands in a table that has it once; -1 where it doesn't."""
    sources = among.column(0).unique()

    def keys(table: pa.Table) -> pa.ChunkedArray:
        source = pc.index_in(table.column(0), value_set=sources).cast(pa.large_string())
        return pc.binary_join_element_wise(source, long(table.column(1)), pa.scalar(":", pa.large_string()))

    return places(keys(of), keys(among))


def places(values: pa.Array | pa.ChunkedArray, among: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int32]:
    """Where each value stands in an array, -1 where it doesn't."""
    found = pc.index_in(long(values), value_set=long(among)).fill_null(-1)
    return np.asarray(
        found.to_numpy(zero_copy_only=False) if isinstance(found, pa.Array) else found.to_numpy(), np.int32
    )


def is_in_order(values: pa.Array) -> bool:
    """Whether an array is sorted, and has each value once."""
    return bool(pc.all(pc.less(values[:-1], values[1:])).as_py())


Column = TypeVar("Column", pa.Array, pa.ChunkedArray, pa.Array | pa.ChunkedArray)


def long(column: Column) -> Column:
    """A column, as large_string if it is text."""
    return column.cast(pa.large_string()) if pa.types.is_string(column.type) else column


def whole(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece, as large_string if it is text."""
    column = long(column)
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def whole_table(table: pa.Table) -> pa.Table:
    """A table with each column in one piece, text as large_string."""
    return pa.table([whole(column) for column in table.columns], names=table.column_names)


def pieces(values: pa.Array, rows: npt.NDArray[np.integer]) -> pa.ChunkedArray:
    """Rows of a column of text as a table on the disk has them."""
    some = (rows[start : start + _PIECE_ROWS] for start in range(0, len(rows), _PIECE_ROWS))
    return pa.chunked_array([values.take(pa.array(each)).cast(pa.string()) for each in some], pa.string())


def _long_table(table: pa.Table) -> pa.Table:
    return pa.table([long(column) for column in table.columns], names=table.column_names)
