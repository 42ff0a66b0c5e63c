"""Files of any size as records, one after the other: JSON, JSON Lines, CSV, Parquet, each also packed with gzip.

A record is (line, value); what can't be read is a Rejected with its line. Where a file breaks off, so that what
follows can't be told, reading raises Stopped: an export that was cut short is never taken for the whole.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from hashtag_photos.errors import SourceError
from hashtag_photos.records import Rejected
from hashtag_photos.sources.visit import Stopped

Record = tuple[int, Any] | Rejected

_LONGEST_CELL = 8 << 20  # letters
REPEATED = " (repeated"  # in the name of a column that has the name of a later one
_LOOK = 1 << 20  # bytes looked at to tell how a JSON file is laid out
_BROKEN = (EOFError, gzip.BadGzipFile, zlib.error)  # a packed file that ends too soon, or is none
_BLANK = b" \t\r\n\xef\xbb\xbf"


def records(path: str) -> Iterator[Record]:
    """The records of a file, or of every .json file below a folder; those carry their own path as `__file__`.

    Raises SourceError if there is no such file or its name doesn't say what it is.
    """
    if Path(path).is_dir():
        return _folder(path)
    kind = _suffix(path)
    if kind not in _READERS:
        raise SourceError(
            f"{path}: the format can't be told from its name; it must end in {', '.join(_READERS)}, or those with .gz",
            subject=path,
        )
    return _READERS[kind](path)


def lines_of(path: str) -> int | None:
    """About how many records there are, where that can be told without reading them."""
    kind = _suffix(path)
    if Path(path).is_dir():
        return sum(1 for _ in Path(path).rglob("*.json"))
    if kind == ".parquet":
        import pyarrow.parquet as pq

        with _opened(path) as file:
            return int(pq.ParquetFile(file).metadata.num_rows)
    if kind == ".json" or path.endswith(".gz"):
        return None
    with _opened(path) as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def fingerprint(path: str) -> str:
    """Changes with the bytes of the file, or with the names, sizes and times of a folder's files."""
    digest = hashlib.sha256()
    if Path(path).is_dir():
        for each in sorted(Path(path).rglob("*.json")):
            if not each.exists():
                continue  # a link to nothing: it is listed when it is read
            stat = each.stat()
            digest.update(f"{each}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode(errors="surrogateescape"))
    else:
        with _opened(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _suffix(path: str) -> str:
    return Path(path.lower().removesuffix(".gz")).suffix


def _opened(path: str) -> IO[bytes]:
    try:
        if Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir():
            raise SourceError(f"{path}: is no file that can be read twice; save it as a file first", subject=path)
        return Path(path).open("rb")
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file; give the export's path with --posts", subject=path) from None
    except IsADirectoryError:
        raise SourceError(f"{path}: is a folder; for a folder of pictures use --images", subject=path) from None
    except OSError as error:
        raise SourceError(f"{path}: can't be read ({error.strerror})", subject=path) from error


def _unpacked(path: str) -> IO[bytes]:
    if not path.lower().endswith(".gz"):
        return _opened(path)
    with _opened(path) as file:
        if file.read(2) != b"\x1f\x8b":
            raise SourceError(f"{path}: is no gzip file, as its name says; unpack or rename it", subject=path)
    return cast(IO[bytes], gzip.open(path))


def _start(path: str) -> bytes:
    """The first bytes of a file, as far as it goes."""
    start = b""
    with _unpacked(path) as file, suppress(*_BROKEN):
        while len(start) < _LOOK and (block := file.read(1 << 16)):
            start += block
    return start.strip(_BLANK)


# JSON


def _json(path: str) -> Iterator[Record]:
    """JSON in whatever way it stands there: a value per line, one list of values, or values after each other."""
    first, newline, others = _start(path).partition(b"\n")
    if newline and others.strip() and _is_json(first):
        return _json_lines(path)
    return _json_values(path, "item" if first.startswith(b"[") else "")


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _lines_or_list(path: str) -> Iterator[Record]:
    """JSON Lines, or the one list of posts that somebody saved under that name."""
    first, newline, _ = _start(path).partition(b"\n")
    if not first.startswith(b"["):
        return _json_lines(path)
    whole = _is_json(first)
    of_posts = whole and not newline and all(isinstance(each, dict) for each in json.loads(first))
    return _json_values(path, "item") if of_posts or not whole else _json_lines(path)


def _json_lines(path: str) -> Iterator[Record]:
    with _unpacked(path) as file:
        line = 0
        try:
            for line, raw in enumerate(file, start=1):
                if not raw.strip(_BLANK):
                    continue
                try:
                    values = json.loads(raw.decode("utf-8-sig" if line == 1 else "utf-8"))
                except UnicodeDecodeError:
                    _refuse_utf_16(path, raw)
                    yield Rejected(line=line, reason="not UTF-8 text")
                except (ValueError, RecursionError) as error:
                    yield Rejected(line=line, reason=f"not JSON: {error}")
                    if not raw.endswith(b"\n") and line > 1:
                        raise Stopped(f"the file breaks off in its last line, {line}") from error
                else:
                    yield line, values
        except _BROKEN as error:
            raise Stopped(f"the file breaks off after line {line} ({error})") from error


def _json_values(path: str, prefix: str) -> Iterator[Record]:
    import ijson

    number = 0
    with _unpacked(path) as file:
        if file.read(3) != b"\xef\xbb\xbf":
            file.seek(0)
        try:
            for number, values in enumerate(ijson.items(file, prefix, multiple_values=True, use_float=True), start=1):
                yield number, values
        except (ijson.JSONError, ValueError, *_BROKEN) as error:
            reason = " ".join(str(error).split())[:120]
            if not number:
                yield Rejected(line=1, reason=f"not JSON: {reason}")
                return
            raise Stopped(f"the file breaks off, or is no JSON, after its {number}. record ({reason})") from error


def _folder(path: str) -> Iterator[Record]:
    """Every .json file below a folder, as one record each: the files that gallery-dl writes beside pictures."""
    for number, each in enumerate(sorted(Path(path).rglob("*.json")), start=1):
        try:
            values = json.loads(each.read_bytes())
        except (ValueError, OSError, RecursionError) as error:
            yield Rejected(line=number, reason=f"{each.relative_to(path)}: {error}")
            continue
        if isinstance(values, dict):
            values["__file__"] = str(each)
        yield number, values


# Tables


def _refuse_utf_16(path: str, start: bytes) -> None:
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise SourceError(f"{path}: is UTF-16 text; save it as UTF-8", subject=path)


def _csv_rows(path: str) -> Iterator[Record]:
    import io

    csv.field_size_limit(_LONGEST_CELL)
    _refuse_utf_16(path, _start(path)[:2])
    lost = 0
    with io.TextIOWrapper(_unpacked(path), encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        before, start, header_line = 0, 0, ""
        with suppress(*_BROKEN):
            while (header_line := file.readline()) and re.fullmatch(r"\s*|sep=.\s*", header_line):
                before, start = before + 1, file.tell()  # blank lines, and Excel's own first line
        file.seek(start)
        delimiter = max(",;\t|", key=header_line.count)
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        header = _header(rows, path)
        for name, times in Counter(header).items():
            for number in range(1, times):  # the last keeps the name, as who adds columns to a table adds them there
                header[header.index(name)] = f"{name}{REPEATED} {number})"
        while True:
            line = before + rows.line_num + 1
            try:
                row = next(rows, None)
            except csv.Error as error:
                until = before + rows.line_num
                swallowed = f" (lines {line} to {until} are lost by it)" if until > line else ""
                yield Rejected(line=line, reason=f"not CSV: {error}{swallowed}")
                lost += until - line
                if "unexpected end" in str(error):
                    raise Stopped(
                        f"the file breaks off in a quoted cell, or a quote is missing after line {line}"
                    ) from error
                continue
            except _BROKEN as error:
                raise Stopped(f"the file breaks off after line {line - 1} ({error})") from error
            if row is None:
                if lost:
                    raise Stopped(f"{lost} lines are lost by missing quotes (see rejected.csv)")
                return
            if not any(row):
                continue
            if len(row) != len(header):
                yield Rejected(line=line, reason=f"{len(row)} cells under {len(header)} columns")
            elif not _is_text(row):
                yield Rejected(line=line, reason="not UTF-8 text (save it as UTF-8)")
            else:
                yield line, dict(zip(header, row, strict=True))


def _header(rows: Any, path: str) -> list[str]:
    try:
        return next(rows, [])
    except (csv.Error, *_BROKEN) as error:
        raise SourceError(f"{path}: its first line can't be read ({error})", subject=path) from error


def _is_text(row: list[str]) -> bool:
    """Whether no byte of a row was other than UTF-8."""
    try:
        "".join(row).encode()
    except UnicodeEncodeError:
        return False
    return True


def _parquet_rows(path: str) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _opened(path) as file:
        try:
            line = 0
            names = pq.ParquetFile(file).schema_arrow.names
            if len(set(names)) < len(names):
                raise SourceError(f"{path}: two columns have the same name; rename one", subject=path)
            for batch in pq.ParquetFile(file).iter_batches(batch_size=4096):
                for values in batch.to_pylist():
                    line += 1
                    yield line, values
        except (pa.ArrowException, OSError) as error:
            raise SourceError(
                f"{path}: is not a readable Parquet file ({str(error).splitlines()[0]})", subject=path
            ) from error


_READERS = {
    ".jsonl": _lines_or_list,
    ".ndjson": _lines_or_list,
    ".json": _json,
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".parquet": _parquet_rows,
}
