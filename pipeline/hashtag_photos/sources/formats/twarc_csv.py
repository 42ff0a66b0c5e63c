"""The tables that `twarc2 csv` makes of X's API v2: a column per member (`public_metrics.like_count`), lists as JSON.

A row is made an object of the API again and read as one. twarc puts the text, the pictures and the counts of the
original into the row of a retweet; the oldest tables had rows of their own for posts that others refer to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from hashtag_photos.records import Post
from hashtag_photos.sources.fields import hashtags, ident, literal
from hashtag_photos.sources.formats import Format, x_api
from hashtag_photos.sources.formats.tables import stating

_DOTTED = frozenset(
    {
        *("public_metrics.like_count", "public_metrics.retweet_count", "author.username", "attachments.media"),
        *("attachments.media_keys", "entities.hashtags", "referenced_tweets.retweeted.id", "__twarc.retrieved_at"),
    }
)
_DESCRIBED = ("attachments.media", "referenced_tweets.retweeted.id")  # what the API has not beside the post
_ASKED = ("__twarc.retrieved_at", "conversation_id")
_REFERENCES = ("retweeted", "quoted", "replied_to")
_OTHERS = (  # people beside the author
    *("in_reply_to_username", "retweeted_username", "quoted_username", "retweeted_user_id", "quoted_user_id"),
    *("in_reply_to_user", "type", ""),
)


def _post(row: Any) -> Post:
    cells = _cells(stating(row))
    if cells.get("type") in _REFERENCES:
        raise ValueError(f"post {cells.get('id')} is not of the sample: another refers to it ({cells['type']})")
    values = _nested({name: cell for name, cell in cells.items() if name.partition(".")[0] not in _OTHERS})
    values["referenced_tweets"] = list(_references(cells))
    values["entities"] = {"hashtags": [{"tag": tag} for tag in hashtags(cells.get("entities.hashtags"))]}
    values["attachments"] = _attachments(cells)
    values["text"] = _lines(cells.get("text"))
    return x_api.post(values, x_api.members(None))


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """The cells that say something, without the quotes that twarc puts around texts if it is asked for JSON."""
    everything = str(row.get("created_at"))[:1] == '"'
    return {name: _unquoted(cell, everything) for name, cell in row.items() if cell is not None}


def _unquoted(cell: Any, everything: bool) -> Any:
    """A text in JSON's quotes as it is. A post may itself be in quotes: only an escape shows that they are JSON's."""
    if isinstance(cell, str) and cell[:1] == cell[-1:] == '"' and (everything or "\\" in cell):
        with suppress(ValueError):
            return json.loads(cell)
    return cell


def _nested(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Columns named a.b as the member b of a."""
    values: dict[str, Any] = {name: cell for name, cell in cells.items() if "." not in name}
    for name, cell in cells.items():
        parent, dot, member = name.partition(".")
        if dot and isinstance(values.setdefault(parent, {}), dict):
            values[parent][member] = cell
    return values


def _references(cells: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What the post refers to: a column for each kind, or in the oldest tables one list of all."""
    yield from (each for each in _list(cells, "referenced_tweets") if isinstance(each, dict))
    for kind in _REFERENCES:
        if post_id := ident(cells.get(f"referenced_tweets.{kind}.id")):
            yield {"type": kind, "id": post_id}


def _attachments(cells: Mapping[str, Any]) -> dict[str, Any]:
    """The media that the row describes, and the keys of those that it only names."""
    media = [each for each in _list(cells, "attachments.media") if isinstance(each, dict) and each.get("media_key")]
    keys = dict.fromkeys([*_list(cells, "attachments.media_keys"), *(each["media_key"] for each in media)])
    return {"media": media, "media_keys": list(keys), "poll_ids": cells.get("attachments.poll_ids")}


def _list(cells: Mapping[str, Any], name: str) -> list[Any]:
    cell = cells.get(name, [])
    with suppress(ValueError):
        cell = literal(cell) if isinstance(cell, str) else cell
    if not isinstance(cell, list):
        raise ValueError(f"{name}: not a list: {str(cell)[:60]!r}")
    return cell


def _lines(cell: Any) -> Any:
    """The text with its line breaks, which twarc writes as a backslash and an n."""
    return cell.replace("\\n", "\n") if isinstance(cell, str) else cell


def _matches(record: Any) -> bool:
    """A table that twarc made: others put the members of X's API into columns too, without what twarc looks up."""
    return (
        isinstance(record, Mapping)
        and "id" in record
        and any(name in record for name in _DESCRIBED)
        and any(name in record for name in _ASKED)
    )


def _read(record: Any) -> Iterator[Post]:
    if not isinstance(record, Mapping) or len(_DOTTED & record.keys()) < 2:
        raise ValueError("not a row of twarc2's table of X")
    yield _post(record)


FORMATS = (Format(name="twarc-csv", title="twarc2's table of X", matches=_matches, read=_read),)
