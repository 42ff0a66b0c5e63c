"""Pictures to look at: of each class the most typical, the most doubtful and the most shared, and those in the most
posts with some of their near-duplicates side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hashtag_photos.report.pictures import Pictures, Shown
from hashtag_photos.report.thumbs import thumbnails
from hashtag_photos.run import Run
from hashtag_photos.stages.tally import Tally

if TYPE_CHECKING:
    from hashtag_photos.report.thumbs import Thumbnail

OF_EACH = 6  # pictures
MEMBERS = 5  # images of a picture
_CLEAR = 0.5  # a margin that leaves no doubt
_SIDE = 280  # pixels at most, either side


@dataclass(frozen=True, kw_only=True)
class GalleryOf:
    """One class: how many pictures have its label, and some of these.

    `typical` have the highest probability (none of the unsure ones has), `doubtful` the smallest margin of the others,
    `shared` the most posts, and more than one.
    """

    label: str
    title: str
    pictures: int
    typical: tuple[Shown, ...]
    doubtful: tuple[Shown, ...]
    shared: tuple[Shown, ...]

    @property
    def clear(self) -> bool:
        """Whether no picture of the class is near another class."""
        # the one with the smallest margin is in either
        return all(each.margin > _CLEAR for each in (*self.typical, *self.doubtful))


@dataclass(frozen=True, kw_only=True)
class Group:
    """A picture in several posts, its place in the tally's `largest` from 1, and some of its images, first the one that
    stands for it."""

    number: int
    whole: Shown
    members: tuple[Shown, ...]


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Classes that have pictures, and the `largest` in the order of the tally's; with `pictures`, or with what
    there is to say of them alone. Of `files` that were to be shown, `unreadable` are gone or damaged since they came.
    """

    pictures: bool
    classes: tuple[GalleryOf, ...]
    largest: tuple[Group, ...]
    files: int
    unreadable: int


def gallery(run: Run, tally: Tally, known: Pictures, *, pictures: bool = True, authors: bool = True) -> Gallery:
    """The pictures of a tally of this run to look at, chosen among all `known`: small copies, unless without
    `pictures`.

    Without `authors` nothing is in it that could name people beside what pictures show: no names, no links to posts,
    no alternative texts.
    """
    chosen = {each.label: _chosen(known, each.label) for each in tally.classes if each.pictures}
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


def _chosen(known: Pictures, label: str) -> tuple[list[str], list[str], list[str]]:
    """Typical, doubtful and shared pictures of a class."""
    typical = known.typical(label, OF_EACH)
    doubtful = [name for name in known.doubtful(label, 2 * OF_EACH) if name not in typical]
    return typical, doubtful[:OF_EACH], known.shared(label, OF_EACH)


def _with(shown: Shown, thumbnail: Thumbnail | None) -> Shown:
    if thumbnail is None:
        return shown
    return replace(
        shown, data=thumbnail.data, blurred=thumbnail.blurred, width=thumbnail.width, height=thumbnail.height
    )
