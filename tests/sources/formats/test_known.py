"""What is one format's is no other's, neither by recognition nor where --format says so."""

from pathlib import Path

import pytest
from captures import FIXTURES

from hashtag_photos import sources
from hashtag_photos.records import Post, Rejected
from hashtag_photos.sources.formats.known import FORMATS

NAMES = sorted(path.name for path in FIXTURES.iterdir())


def own_format(path: Path) -> str:
    (name,) = (each.name for each in FORMATS.values() if each.title == sources.exported(path).format_title)
    return name


@pytest.mark.parametrize("name", NAMES)
def test_a_record_of_another_format_is_rejected(name: str) -> None:
    own = own_format(FIXTURES / name)
    for other in FORMATS.keys() - {own}:
        found = list(sources.exported(FIXTURES / name, format=other).posts())
        assert found
        assert all(isinstance(each, Rejected) for each in found), other
    assert any(isinstance(each, Post) for each in sources.exported(FIXTURES / name, format=own).posts())


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_no_record_says_so(format: str, tmp_path: Path) -> None:
    path = tmp_path / "records.ndjson"
    path.write_text('5\nnull\n"x"\n[]\n{}\n{"id": 1, "title": "sea"}\n')
    found = list(sources.exported(path, format=format).posts())
    assert len(found) == 6
    for each in found:
        assert isinstance(each, Rejected)
        assert each.reason.startswith("not a "), each
