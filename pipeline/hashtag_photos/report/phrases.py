"""Numbers, counts, times and lists as sentences have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

from hashtag_photos.labels import UNSURE
from hashtag_photos.stages.tally import ClassTally
from hashtag_photos.stages.units import ENGAGEMENT, IMAGES, PHOTOS, PICTURES, POSTS
from hashtag_photos.words import many, percent

PERCENT = "\N{NO-BREAK SPACE}%"
INTERVAL = f"95{PERCENT} interval"
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
MINUTES = {"15 minutes": 15, "hour": 60, "3 hours": 180, "6 hours": 360, "12 hours": 720}
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NOUNS = {PICTURES: "distinct picture", IMAGES: "image", PHOTOS: "photo", POSTS: "post"}


def sentences(*each: str) -> str:
    """Sentences, one after the other; empty ones are left out."""
    return " ".join(filter(None, each))


def listed(items: Iterable[str], between: str = ", ") -> str:
    """ "a", "a and b", "a, b and c"."""
    *others, last = items
    return f"{between.join(others)} and {last}" if others else last


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in order, those that follow each other as a range: "1–3, 7, 8"."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][-1] == number - 1:
            found[-1].append(number)
        else:
            found.append([number])
    return ", ".join(f"{each[0]}–{each[-1]}" if len(each) > 2 else ", ".join(map(str, each)) for each in found)


def in_words(count: int) -> str:
    """A count up to ten as a word, above in digits; "no" for none."""
    return _WORDS[count] if count < len(_WORDS) else f"{count:,}"


def people(count: int) -> str:
    """How many people, as a word."""
    return "one person" if count == 1 else f"{in_words(count)} people"


def verb(count: int, one: str, more: str) -> str:
    """A word that hangs on a count."""
    return one if count == 1 else more


def be(count: int) -> str:
    """Was or were."""
    return verb(count, "was", "were")


def about(share: float) -> str:
    """A share in a sentence: whole per cent, but for what these would round to none or all."""
    share = round(share, 9)  # what is 1 but for the sum of weights is 1
    if 0 < share < 0.0005:
        return f"under 0.1{PERCENT}"
    if 0.9995 < share < 1:
        return f"over 99.9{PERCENT}"
    return percent(share, 1 if 0 < share < 0.0095 or 0.9905 < share < 1 else 0)


def ends(low: float, high: float) -> str:
    """The ends of an interval in per cent, such as 52.4 – 63.7."""
    return f"{100 * low:.1f} – {100 * high:.1f}"


def amount(number: float) -> str:
    """A median for people: 12, or 2.5."""
    return f"{number:,.0f}" if round(number, 1) == round(number) else f"{number:,.1f}"


def short(number: float) -> str:
    """The same where there is little room: 12, 850k, 1.2M."""
    for least, letter in ((1e9, "G"), (1e6, "M"), (1e5, "k")):
        if number >= least:
            times = number / (1000.0 if letter == "k" else least)
            return f"{times:,.{1 if times < 10 else 0}f}{letter}"
    return amount(number)


def of(unit: str, count: int) -> str:
    """So many of a unit of stages/units.py."""
    return responses(count) if unit == ENGAGEMENT else many(count, _NOUNS[unit])


def responses(count: float) -> str:
    """So much engagement, which may be a median."""
    told = amount(count)
    return f"{told} {'like, repost or reply' if told == '1' else 'likes, reposts and replies'}"


def classes_in_words(count: int) -> str:
    """So many classes."""
    return f"{count:,} {verb(count, 'class', 'classes')}"


def largest(classes: Sequence[ClassTally], most: int) -> list[ClassTally]:
    """The classes with most images, so many at most, in their own order; the unsure only where there are any."""
    there = [each for each in classes if each.label != UNSURE or each.images]
    kept = {each.label for each in sorted(there, key=lambda each: -each.images)[:most]}
    return [each for each in there if each.label in kept]


def left_out(classes: Sequence[ClassTally], shown: Sequence[ClassTally]) -> str:
    """A sentence on the classes that a figure has no room for; "" if none."""
    left = len(largest(classes, len(classes))) - len(shown)
    return f"The table has {left:,} more {verb(left, 'class', 'classes')}, of fewer images." if left > 0 else ""


def moment(text: str) -> datetime:
    """A time as tallies have it, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def day(of: date, *, month: bool = True, year: bool = True) -> str:
    """A day, such as 22 April 2014, or without its month or year."""
    return " ".join((str(of.day), *([MONTHS[of.month - 1]] if month else ()), *([str(of.year)] if year else ())))


def days(first: date, last: date) -> tuple[str, str]:
    """Two days, without what they have in common in the first one."""
    same_year = first.year == last.year
    return day(first, year=not same_year, month=not (same_year and first.month == last.month)), day(last)


def between(first: date, last: date) -> str:
    """On 22 April 2014, or between 22 and 24 April 2014."""
    return f"on {day(first)}" if first == last else "between {} and {}".format(*days(first, last))


def bin_in_words(start: str, unit: str) -> str:
    """A bin of the timeline by its start (UTC): 22 April 2014, 14:00, or May 2014."""
    at = moment(start)
    if unit in MINUTES:
        return f"{day(at)}, {at:%H:%M}"
    if unit == "year":
        return f"{at.year}"
    if unit == "quarter":
        return f"{MONTHS[at.month - 1]} to {MONTHS[(at.month + 1) % 12]} {at.year}"
    if unit == "month":
        return f"{MONTHS[at.month - 1]} {at.year}"
    return f"the week of {day(at)}" if unit == "week" else day(at)


def bin_column(unit: str) -> str:
    """What the column of bins is called in a table: Day (UTC), or From (UTC)."""
    return f"{'From' if unit[0].isdigit() or unit == 'hour' else unit.capitalize()} (UTC)"


def on_bin(start: str, unit: str) -> str:
    """In a bin of the timeline: on 22 April 2014, in the 3 hours from 22 April 2014, 12:00."""
    words = bin_in_words(start, unit)
    if unit in MINUTES:
        return f"in the {unit} from {words}"
    return f"{'on' if unit == 'day' else 'in'} {words}"


def one_bin(unit: str) -> str:
    """A unit of time as one of it: the day, or period of 3 hours."""
    return f"period of {unit}" if unit[0].isdigit() else unit


def bins_in_words(count: int, unit: str) -> str:
    """So many bins: 12 days, 1 period of 3 hours."""
    return f"{many(count, 'period')} of {unit}" if unit[0].isdigit() else many(count, unit)
