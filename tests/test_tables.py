from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hashtag_photos.run import Run
from hashtag_photos.tables import embeddings_schema, vector_column, vectors_of

VECTORS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float16)


@pytest.mark.parametrize("vectors", [VECTORS, VECTORS[:0], VECTORS[::2], np.asfortranarray(VECTORS)])
def test_vectors_are_the_same_after_they_were_stored(tmp_path: Path, vectors: np.ndarray) -> None:
    shas = pa.array([f"{i:064x}" for i in range(len(vectors))], pa.string())
    rows = pa.table([shas, vector_column(vectors)], schema=embeddings_schema(3))
    run = Run(tmp_path)
    run.write_table("x.parquet", rows)
    again = run.read_table("x.parquet")
    assert again.equals(rows)
    np.testing.assert_array_equal(vectors_of(again.column("vector")), vectors)


def test_vectors_of_a_part_of_a_column_and_of_one_in_pieces() -> None:
    column = vector_column(VECTORS)
    np.testing.assert_array_equal(vectors_of(column[2:5]), VECTORS[2:5])
    np.testing.assert_array_equal(vectors_of(pa.chunked_array([column[4:], column[:1]])), VECTORS[[4, 5, 6, 0]])
    np.testing.assert_array_equal(vectors_of(pa.chunked_array([], column.type)), VECTORS[:0])


def test_vectors_in_one_piece_are_not_copied() -> None:
    column = vector_column(VECTORS)
    for each in (column, pa.chunked_array([column])):
        assert vectors_of(each).ctypes.data == column.buffers()[1].address
    assert column.buffers()[1].address == VECTORS.ctypes.data


def test_vectors_are_little_endian_bytes() -> None:
    assert vector_column(np.array([[1.0, -2.0]], dtype=np.float16)).to_pylist() == [b"\x00\x3c\x00\xc0"]


def test_vectors_are_stored_as_they_are_and_all_else_is_compressed(tmp_path: Path) -> None:
    rows = pa.table([pa.array([f"{i:064x}" for i in range(7)]), vector_column(VECTORS)], schema=embeddings_schema(3))
    Run(tmp_path).append("embeddings/tiny", rows)
    group = pq.read_metadata(tmp_path / "embeddings/tiny/part-000001.parquet").row_group(0)
    assert [group.column(i).compression for i in range(2)] == ["ZSTD", "UNCOMPRESSED"]
