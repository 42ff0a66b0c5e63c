"""Pictures to look at: of each class the most typical, the most doubtful and the most shared, and the largest groups of
near-duplicates with some of their images side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hashtag_photos.labels import LabelSet
from hashtag_photos.report.pictures import Shown, counted_pictures
from hashtag_photos.report.thumbs import thumbnails
from hashtag_photos.run import Run
from hashtag_photos.stages.tally import Tally

if TYPE_CHECKING:
    from hashtag_photos.report.thumbs import Thumbnail

OF_EACH = 6  # pictures
MEMBERS = 5  # images of a group
_SIDE = 280  # pixels at most, either side


@dataclass(frozen=True, kw_only=True)
class GalleryOf:
    """One class: how many pictures have its label, and some of these.

    `typical` have the highest probability (none of the unsure ones has), `doubtful` the smallest margin, `shared` the
    most posts, and more than one.
    """

    label: str
    title: str
    pictures: int
    typical: tuple[Shown, ...]
    doubtful: tuple[Shown, ...]
    shared: tuple[Shown, ...]


@dataclass(frozen=True, kw_only=True)
class Group:
    """A picture with near-duplicates, its place in the tally's `largest` from 1, and some of its images, the one that
    stands for it first."""

    number: int
    whole: Shown
    members: tuple[Shown, ...]


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Classes that have pictures, and the `largest` groups in the order of the tally's; with `pictures`, or with what
    there is to say of them alone. Of `files` that were to be shown, `unreadable` are gone or damaged since they came.
    """

    pictures: bool
    classes: tuple[GalleryOf, ...]
    largest: tuple[Group, ...]
    files: int
    unreadable: int


def gallery(run: Run, tally: Tally, labels: LabelSet, *, pictures: bool = True, authors: bool = True) -> Gallery:
    """The pictures of a tally of this run to look at: small copies, unless without `pictures`.

    Without `authors` nothing is in it that could name people beside what pictures show: no names, no links to posts,
    no alternative texts.
    """
    with counted_pictures(run, tally, labels) as known:
        chosen = {
            each.label: (
                known.typical(each.label, OF_EACH),
                known.doubtful(each.label, OF_EACH),
                known.shared(each.label, OF_EACH),
            )
            for each in tally.classes
            if each.pictures
        }
        groups = known.members([each.picture for each in tally.largest], MEMBERS)
        names = list(dict.fromkeys(name for kinds in chosen.values() for kind in kinds for name in kind))
        members = list(dict.fromkeys(name for group in groups.values() for name in group))
        of_pictures = known.shown(list(dict.fromkeys([*names, *groups])), authors=authors)
        of_members = known.shown(members, alone=True, authors=authors)
        files = known.formats(list(dict.fromkeys([*names, *members]))) if pictures else {}
    small = thumbnails(run, files, _SIDE)

    def seen(names: Iterable[str], among: dict[str, Shown]) -> tuple[Shown, ...]:
        return tuple(_with(among[name], small.get(name)) for name in names)

    return Gallery(
        pictures=pictures,
        classes=tuple(
            GalleryOf(
                label=each.label,
                title=each.title,
                pictures=each.pictures,
                typical=seen(chosen[each.label][0], of_pictures),
                doubtful=seen(chosen[each.label][1], of_pictures),
                shared=seen(chosen[each.label][2], of_pictures),
            )
            for each in tally.classes
            if each.label in chosen
        ),
        largest=tuple(
            Group(number=number, whole=of_pictures[each.picture], members=seen(groups[each.picture], of_members))
            for number, each in enumerate(tally.largest, 1)
            if each.picture in groups
        ),
        files=len(files),
        unreadable=len(files) - len(small),
    )


def _with(shown: Shown, thumbnail: Thumbnail | None) -> Shown:
    if thumbnail is None:
        return shown
    return replace(shown, data=thumbnail.data, width=thumbnail.width, height=thumbnail.height)
