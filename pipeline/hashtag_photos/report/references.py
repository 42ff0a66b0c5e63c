"""CITATION.cff -> what to cite, as text: the program itself, and the works that its report rests on.

That file is the one place where they stand. It is at the root of a checkout, and inside the installed package.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast


class Citations:
    """Collects what a text cites. Call it with the name of a work, such as "Zou and Donner 2008"."""

    def __init__(self) -> None:
        self._cited: set[str] = set()

    def __call__(self, *names: str) -> str:
        """The works as they are cited in brackets, such as "(Wilson 1927; Kish 1965)". KeyError if there is none."""
        for name in names:
            _works()[name]
        self._cited.update(names)
        return f"({'; '.join(names)})"

    @property
    def references(self) -> tuple[str, ...]:
        """The works cited so far, in Markdown, sorted by authors and year."""
        return tuple(reference(name) for name in sorted(self._cited, key=_sorted_as))


def names() -> tuple[str, ...]:
    """The names of all works that can be cited."""
    return tuple(_works())


def reference(name: str) -> str:
    """A work in full, in Markdown. KeyError if there is none of that name."""
    return _formatted(_works()[name])


def software() -> str:
    """The program itself in full, in Markdown, in the version that is stated there."""
    return _formatted({**_citation(), "year": None})


def _path() -> Path:
    package = Path(__file__).parent.parent
    inside = package / "CITATION.cff"
    return inside if inside.is_file() else package.parent.parent / "CITATION.cff"


@cache
def _citation() -> dict[str, Any]:
    import yaml

    return cast("dict[str, Any]", yaml.safe_load(_path().read_text(encoding="utf-8")))


@cache
def _works() -> dict[str, dict[str, Any]]:
    return {_name(work): work for work in _citation()["references"]}


def _name(work: Mapping[str, Any]) -> str:
    """A work as it is called in a text: up to three authors, or the first one, and the year."""
    families = [each["family-names"] for each in work["authors"]]
    if len(families) > 3:
        return f"{families[0]} et al. {work['year']}"
    return f"{_listed(families)} {work['year']}"


def _sorted_as(name: str) -> str:
    """Letters without their marks, as lists of references are sorted."""
    return "".join(each for each in unicodedata.normalize("NFD", name.casefold()) if not unicodedata.combining(each))


def _formatted(work: Mapping[str, Any]) -> str:
    year = f" ({work['year']})" if work["year"] else ""
    authors = _listed([_author(each) for each in work["authors"]])
    return f"{authors.rstrip('.') if not year else authors}{year}. {_titled(work)}{_where(work)}"


def _author(author: Mapping[str, str]) -> str:
    if "name" in author:
        return author["name"]
    initials = " ".join("-".join(f"{part[0]}." for part in given.split("-")) for given in author["given-names"].split())
    return f"{author['family-names']}, {initials}"


def _titled(work: Mapping[str, Any]) -> str:
    """The title; what stands by itself is in italics, as are journals and collections of what doesn't."""
    if work["type"] == "software":
        version = f" (version {work['version']})" if "version" in work else ""
        return f"*{work['title']}*{version} [software]."
    if work["type"] in ("book", "report"):
        return f"*{work['title']}*."
    return f"{work['title']}."


def _where(work: Mapping[str, Any]) -> str:
    pages = "–".join(str(work[end]) for end in ("start", "end") if end in work)
    where = ""
    if "journal" in work:
        issue = f"({work['issue']})" if "issue" in work else ""
        numbers = ", ".join(each for each in (f"{work.get('volume', '')}{issue}", pages) if each)
        where = f" *{work['journal']}*{', ' if numbers else ''}{numbers}."
    elif "collection-title" in work:
        where = f" In *{work['collection-title']}*, {pages}."
    for publisher in ("publisher", "institution"):
        if publisher in work:
            where += f" {work[publisher]['name']}."
    address = f"https://doi.org/{work['doi']}" if "doi" in work else work.get("url")
    return where + (f" <{address}>" if address else "")


def _listed(items: Sequence[str]) -> str:
    return " and ".join(each for each in (", ".join(items[:-1]), items[-1]) if each)
