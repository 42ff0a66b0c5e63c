"""Tally -> the report: report.html, its figures as SVG and PNG, and methods.md; or a page of its own to hand on.

The page is one file that needs no network and no server. Nothing in any of the files depends on when or where they were
made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hashtag_photos.errors import RunError
from hashtag_photos.labels import KINDS, UNSURE, LabelSet, find_labels, label_set_from_facts
from hashtag_photos.report.page import render
from hashtag_photos.run import Run
from hashtag_photos.stages.coverage import LOCAL_FILE, NO_HOST, most_missing
from hashtag_photos.stages.numbers import BOUND, CORRECTED, DIFFERENCE, RATIO, RAW, SHARE, Number
from hashtag_photos.stages.score import ALL
from hashtag_photos.stages.summarize import report_folder
from hashtag_photos.stages.tally import Tally
from hashtag_photos.stages.units import PICTURES
from hashtag_photos.words import percent

if TYPE_CHECKING:
    from hashtag_photos.report.charts import Figure
    from hashtag_photos.report.gallery import Gallery
    from hashtag_photos.report.prose import Headline
    from hashtag_photos.report.wall import Wall

PAGE, TO_SHARE = "report.html", "report-to-share.html"
FIGURES = "figures"  # the folder of the report's figures as files
MOST_MISSING = 10  # hosts, where they are too many to be shown all

_SECTIONS = {  # of the page, with the figures that stand there
    "many": ("shares",),
    "when": ("time",),
    "where": ("sources", "languages"),
    "response": ("engagement",),
    "sure": ("reliability", "confusion"),
    "wording": ("robustness",),
    "coverage": ("coverage-reasons", "coverage-days"),
}
_NOT_COMPUTED = {
    "coders": "Agreement between people",
    "kappa": "Cohen’s kappa",
    "alpha": "Krippendorff’s alpha",
    "ac1": "Gwet’s AC1",
    "model": "The classifier against people",
}
_FILES = (
    ("methods.md", "the methods section, with how to cite"),
    (f"{FIGURES}/", "each figure as SVG and PNG"),
    ("numbers.csv", "every number to publish, with its interval, its kind and a sentence"),
    ("tally.csv", "the classes, each count with its denominator"),
    ("tally-by-source.csv", "the same for each source"),
    ("tally-by-language.csv", "the same for each language"),
    ("timeline.csv", "the same over time"),
    ("engagement.csv", "what posts of each class drew"),
    ("coverage.csv", "what could be had, by reason, host and day"),
    ("robustness.csv", "the shares if the prompts were put in other words"),
    ("photos.csv", "every attachment with its label"),
    ("tally.json", "all of it for programs; versions and settings are in run.json, in the run’s folder"),
)


def write_report(run: Run, tally: Tally, *, pictures: bool = True, authors: bool = True) -> str:
    """Write report.html, figures/ and methods.md for a tally of this run; the path of the page.

    Without `pictures` or without `authors`, report-to-share.html is written instead, and nothing else: it is to be
    handed on by itself. Without `pictures` it shows none; without `authors` it names nobody and no host of a picture,
    tells nothing by source (in exports a source can be a person), quotes no post and links to none. A file that would
    be the same is left alone. Raises RunError where the run has no such tally.
    """
    from hashtag_photos.report.figures import figures
    from hashtag_photos.report.gallery import gallery
    from hashtag_photos.report.methods import methods
    from hashtag_photos.report.pictures import counted_pictures
    from hashtag_photos.report.prose import headline
    from hashtag_photos.report.wall import wall

    facts = run.used("label_sets", tally.labels_key)
    if facts is None:
        raise RunError(
            f"{run.location}: has no tally of {tally.labels}; run the summarize stage first", subject=tally.labels
        )
    labels = label_set_from_facts(dict(facts))
    folder = report_folder(run, tally.model_key, tally.labels_key)
    drawn = figures(tally)
    told = methods(run, tally, labels)
    some = all_of_them = None
    if tally.images:
        known = counted_pictures(run, tally)
        some = gallery(run, tally, known, pictures=pictures, authors=authors)
        all_of_them = wall(run, tally, known, authors=authors) if pictures else None
        del known  # it is of the whole run
    page = page_of(
        tally,
        labels,
        headline=headline(run, tally, labels),
        figures=drawn,
        methods=told,
        gallery=some,
        wall=all_of_them,
        pictures=pictures,
        authors=authors,
    )
    with run.writing():
        if not (pictures and authors):
            run.storage.update(f"{folder}/{TO_SHARE}", page.encode())
            return f"{run.location.rstrip('/')}/{folder}/{TO_SHARE}"
        run.storage.update(f"{folder}/{PAGE}", page.encode())
        run.storage.update(f"{folder}/methods.md", told.encode())
        for each in drawn:
            run.storage.update(f"{folder}/{FIGURES}/{each.name}.svg", each.svg.encode())
            run.storage.update(f"{folder}/{FIGURES}/{each.name}.png", each.png)
        for name in {name for names in _SECTIONS.values() for name in names} - {each.name for each in drawn}:
            for ending in ("svg", "png"):  # of an earlier tally, which had more to show
                run.storage.remove(f"{folder}/{FIGURES}/{name}.{ending}")
    return f"{run.location.rstrip('/')}/{folder}/{PAGE}"


def outdated_to_share(run: Run, tally: Tally) -> str | None:
    """The page to hand on that was made of another tally of this run and question, by its path; None if none was."""
    path = f"{report_folder(run, tally.model_key, tally.labels_key)}/{TO_SHARE}"
    of_this = f'<meta name="tally" content="{_id_of(tally)}">'.encode()
    if not run.storage.exists(path) or of_this in run.storage.read(path):
        return None
    return f"{run.location.rstrip('/')}/{path}"


def page_of(
    tally: Tally,
    labels: LabelSet,
    *,
    headline: Headline,
    figures: Sequence[Figure],
    methods: str,
    gallery: Gallery | None,
    wall: Wall | None,
    pictures: bool = True,
    authors: bool = True,
) -> str:
    """The page as HTML, from its parts. Figures are numbered in the order in which they stand there."""
    named = {each.name: each for each in figures if authors or each.name != "sources"}
    hosts = [each for each in tally.coverage.hosts if each.value not in (LOCAL_FILE, NO_HOST)]
    files = _FILES if pictures and authors else ()  # a page to hand on stands alone
    sections = {section: tuple(named[name] for name in names if name in named) for section, names in _SECTIONS.items()}
    order = [each.name for section in sections.values() for each in section]
    return render(
        "report.html.j2",
        tally=tally,
        tally_id=_id_of(tally),
        labels=labels,
        headline=headline,
        answers=_answers(tally),
        corrected=_shares(tally, CORRECTED),
        quotable=_quotable(tally),
        sections=sections,
        numbered={name: number for number, name in enumerate(order, 1)},
        contents=_contents(tally, sections, gallery, wall, files),
        methods=methods,
        gallery=gallery,
        wall=wall,
        with_pictures=pictures,
        with_authors=authors,
        titles={each.label: each.title for each in tally.classes},
        kinds={each.name: each.title for each in find_labels(KINDS).classes},
        not_computed=_NOT_COMPUTED,
        compared=next((each.images_total for each in tally.robustness or () if _compares(tally, each.kind)), 0),
        hosts_missing=[
            (each.value, f"{each.not_had:,}", f"{each.attachments:,}", percent(each.not_had / each.attachments))
            for each in most_missing(hosts, MOST_MISSING)
        ],
        hosts_with_gaps=sum(each.not_had > 0 for each in hosts),
        hosts=len(hosts),
        files=files,
    )


def _id_of(tally: Tally) -> str:
    """By which a page tells of which tally.json it was made."""
    return hashlib.sha256(tally.to_json().encode()).hexdigest()[:16]


def _contents(
    tally: Tally,
    sections: Mapping[str, Sequence[Figure]],
    gallery: Gallery | None,
    wall: Wall | None,
    files: Sequence[tuple[str, str]],
) -> list[tuple[str, str]]:
    """The sections that the page has, by the id of their headings."""
    some = bool(tally.images)
    there = (
        (some, "how-many", "How many"),
        (some, "when", "When"),
        (sections["where"], "where", "Where"),
        (sections["response"], "response", "Response"),
        (some, "pictures", "Pictures"),
        (wall, "by-likeness", "All by likeness"),
        (some, "sure", "How sure"),
        (some, "wording", "What it hangs on"),
        (True, "coverage", "What could be had"),
        (True, "method", "Method"),
        (files, "files", "Files"),
    )
    return [(id, name) for has, id, name in there if has]


def _shares(tally: Tally, kind: str) -> list[Number]:
    """The shares of all classes among distinct pictures, of one kind."""
    wanted = (kind, SHARE, PICTURES)
    return [each for each in tally.numbers if (each.kind, each.measure, each.unit) == wanted]


def _answers(tally: Tally) -> list[Number]:
    """The shares that the page begins with: corrected where there are such. Nobody is unsure where nothing is."""
    shares = _shares(tally, CORRECTED) or _shares(tally, RAW)
    return [each for each in shares if each.value is not None and (each.value or each.label != UNSURE)]


def _compares(tally: Tally, kind: str) -> bool:
    return bool(tally.images) and kind != ALL


def _quotable(tally: Tally) -> list[Number]:
    """The numbers to quote first: of distinct pictures, corrected where there are such, and of the missing."""
    kind = CORRECTED if tally.number(CORRECTED, tally.classes[0].label) else RAW
    paired = [each for measure in (DIFFERENCE, RATIO) if (each := tally.compared(measure))]
    shares = [each for label in tally.classes if (each := tally.number(kind, label.label))]
    missing = [each for each in tally.numbers if each.kind == BOUND and each.label != UNSURE]
    surest = [each for each in missing if each.rests_on == "labels"]
    return [*shares, *paired, *(surest or missing)]
