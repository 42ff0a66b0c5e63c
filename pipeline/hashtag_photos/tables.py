"""How posts, photos, embeddings and scores stand in tables: their Arrow schemas, and records as tables.

Tables are append-only, so an attachment that was asked for again has a row per attempt and the last one counts.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import accumulate
from operator import attrgetter
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.json as pajson

from hashtag_photos.records import Attachment, Photo, Post, storable

_TIME = pa.timestamp("us", tz="UTC")
_ATTACHMENT = pa.struct(
    [
        ("url", pa.string()),
        ("alt", pa.string()),
        ("kind", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
    ]
)

POSTS = pa.schema(
    [
        ("source", pa.string()),
        ("id", pa.string()),
        ("url", pa.string()),
        ("author", pa.string()),
        ("created_at", _TIME),
        ("time_problem", pa.string()),
        ("edited_at", _TIME),
        ("text", pa.string()),
        ("language", pa.string()),
        ("hashtags", pa.list_(pa.string())),
        ("likes", pa.int64()),
        ("reposts", pa.int64()),
        ("replies", pa.int64()),
        ("sensitive", pa.bool_()),
        ("repost_of", pa.string()),
        ("attachments", pa.list_(_ATTACHMENT)),
        ("collected_at", _TIME),
        ("extra", pa.string()),  # JSON
    ]
)
_TEXTS = [each.name for each in POSTS if each.type == pa.string() and each.name != "extra"]

#: of a run that keeps its images in shards: see imagestore.py
IMAGE_INDEX = pa.schema([("sha256", pa.string()), ("shard", pa.string()), ("offset", pa.int64()), ("size", pa.int64())])

PHOTOS = pa.schema(
    [
        ("source", pa.string()),
        ("post_id", pa.string()),
        ("position", pa.int32()),
        ("url", pa.string()),
        ("status", pa.string()),
        ("attempt", pa.int32()),
        ("fetched_at", _TIME),
        ("reason", pa.string()),
        ("http_status", pa.int32()),
        ("final_url", pa.string()),
        ("sha256", pa.string()),
        ("size", pa.int64()),
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("animated", pa.bool_()),
        ("phash", pa.string()),
        ("window_hashes", pa.string()),
        ("one_shade", pa.float32()),
        ("thumbnail", pa.string()),  # 32x32 bytes of grey in base64
    ]
)


# The shares of a label set as a whole (kind `all`), under one template alone (`template`), and with one prompt left out
# (`without_prompt`); `variant` is that template or prompt. A row per variant and label, `unsure` among them.
ROBUSTNESS = pa.schema(
    [
        ("kind", pa.string()),
        ("variant", pa.string()),
        ("label", pa.string()),
        ("images", pa.int64()),
        ("images_total", pa.int64()),
    ]
)
# One row per image that has a vector: which picture it is, by the sha256 of the picture's representative.
GROUPS = pa.schema([("sha256", pa.string()), ("picture", pa.string())])
# A row per picture of the frame that samples are drawn from. `draw` is the one in which it came into the frame, from 1;
# `rank` its place, from 0, in the random order of its stratum, of which the first are drawn; `inclusion_probability`
# what share of its stratum is drawn; `position` its place, from 0, in the order in which the drawn ones are shown.
SAMPLE = pa.schema(
    [
        ("sha256", pa.string()),
        ("draw", pa.int32()),
        ("stratum", pa.string()),
        ("rank", pa.int64()),
        ("drawn", pa.bool_()),
        ("inclusion_probability", pa.float64()),
        ("position", pa.int64()),
    ]
)
_VECTOR_VALUE = np.dtype("<f2")


def embeddings_schema(dimension: int) -> pa.Schema:
    """One row per distinct image: sha256 and its unit vector, the bytes of `dimension` little-endian float16 values.

    Bytes, since Parquet reads those of a fixed size ten times as fast as lists.
    """
    return pa.schema([("sha256", pa.string()), ("vector", pa.binary(dimension * _VECTOR_VALUE.itemsize))])


def vector_column(vectors: npt.NDArray[np.float16]) -> pa.Array:
    """Vectors, (n, dimension), as the column of an embeddings table."""
    rows = np.ascontiguousarray(vectors, dtype=_VECTOR_VALUE)
    of_bytes = pa.binary(rows.shape[1] * _VECTOR_VALUE.itemsize)
    return pa.Array.from_buffers(of_bytes, len(rows), [None, pa.py_buffer(rows)])


def vectors_of(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float16]:
    """The vectors of such a column, (n, dimension), in place where it is in one piece."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    width = column.type.byte_width // _VECTOR_VALUE.itemsize
    values = np.frombuffer(column.buffers()[1] or b"", dtype=_VECTOR_VALUE)
    rows = values[column.offset * width : (column.offset + len(column)) * width]
    return cast(npt.NDArray[np.float16], rows.reshape(len(column), width))


def scores_schema(classes: Iterable[str]) -> pa.Schema:
    """One row per distinct image: its label, the margin between the two best classes, a probability per class."""
    return pa.schema(
        [("sha256", pa.string()), ("label", pa.string()), ("margin", pa.float32())]
        + [(probability_column(name), pa.float32()) for name in classes]
    )


def probability_column(class_name: str) -> str:
    """The column of a scores table that holds the probability of a class."""
    return f"p_{class_name}"


def posts_table(posts: Sequence[Post], **instead: list[Any]) -> pa.Table:
    """Posts as a table of the POSTS schema, with other columns `instead` of what the posts say."""
    own = [name for name in POSTS.names if name not in instead]
    columns: dict[str, list[Any]] = {name: list(map(attrgetter(name), posts)) for name in own} | instead
    for name in _TEXTS:
        columns[name] = [text if text is None or text.isascii() else storable(text) for text in columns[name]]
    columns["hashtags"] = [list(map(storable, tags)) for tags in columns["hashtags"]]
    columns["attachments"] = _attachments(columns["attachments"])
    columns["extra"] = [_as_json(extra) if extra else None for extra in columns["extra"]]
    return pa.Table.from_pydict(columns, schema=POSTS)


def _as_json(extra: Mapping[str, Any]) -> str:
    try:
        return _JSON.encode(extra)
    except RecursionError:
        return json.dumps({"unreadable": "nested too deeply"})


def _attachments(lists: Sequence[Sequence[Attachment]]) -> pa.Array:
    """A column of lists of attachments."""
    flat = [each for attachments in lists for each in attachments]
    members = [
        pa.array([_cell(value) for value in map(attrgetter(each.name), flat)], each.type) for each in _ATTACHMENT
    ]
    ends = accumulate(map(len, lists), initial=0)
    return pa.ListArray.from_arrays(list(ends), pa.StructArray.from_arrays(members, fields=list(_ATTACHMENT)))


def photos_table(photos: Iterable[Photo | Mapping[str, Any]]) -> pa.Table:
    """Photos, or rows with their columns, as a table of the PHOTOS schema."""
    rows = [_row(photo) if isinstance(photo, Photo) else photo for photo in photos]
    if not rows:
        return pa.Table.from_batches([], PHOTOS)
    return _by_json([{name: _cell(value) for name, value in row.items()} for row in rows], PHOTOS)


def image_index_table(places: Iterable[tuple[str, tuple[str, int, int]]]) -> pa.Table:
    """Images, by sha256, with the shard of each, where in it its bytes begin, and how many they are: IMAGE_INDEX."""
    return _by_json([dict(zip(IMAGE_INDEX.names, (sha, *place), strict=True)) for sha, place in places], IMAGE_INDEX)


def _by_json(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    # by way of JSON, since whatever makes an array of Python's values loads pandas, which takes 45 MB
    text = "\n".join(map(_JSON.encode, rows)).encode()
    return pajson.read_json(
        io.BytesIO(text),
        pajson.ReadOptions(use_threads=False, block_size=len(text) + 1),
        pajson.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
    ).select(schema.names)


def _row(record: Any) -> dict[str, Any]:
    return {each.name: getattr(record, each.name) for each in fields(record)}


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_cell(item) for item in value]
    return storable(value) if isinstance(value, str) else value


_JSON = json.JSONEncoder(default=str)  # a time as "2026-11-22 10:00:00+00:00"


def spreadsheet_cell(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula: text that looks like one gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def as_csv(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> str:
    """Rows as CSV: numbers with six digits, None as nothing, text that no spreadsheet takes for a formula."""

    def cell(value: Any) -> Any:
        return f"{value:.6f}" if isinstance(value, float) else spreadsheet_cell(value)

    text = io.StringIO()
    table = csv.DictWriter(text, list(columns), lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: cell(value) for name, value in row.items()})
    return text.getvalue()
