"""X's API v2 search for a hashtag: the full archive where the token allows it, else the last seven days.

The client is X's own (xdk), made from the API's public description, so that it asks by the names that hold now. Its
answers are read as they come and not through its models, which refuse older and newer shapes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hashtag_photos.errors import SourceError
from hashtag_photos.records import Post, Rejected
from hashtag_photos.sources.credentials import needed, scrub
from hashtag_photos.sources.fields import dig, stated_time
from hashtag_photos.sources.formats import x_api
from hashtag_photos.sources.live import (
    TIMEOUT,
    Limited,
    Pages,
    Patience,
    Refused,
    Search,
    Trouble,
    clean_hashtag,
    period,
    seconds_to_wait,
    server_address,
    what_failed,
)
from hashtag_photos.sources.visit import Bookmark, Stopped, Visit

SERVER = "https://api.x.com"
_BEGINNING = datetime(2006, 3, 21, tzinfo=UTC)  # the first post of all; without a start the archive gives 30 days
_RECENT = timedelta(days=7)
_PAGES = {"all": 500, "recent": 100}  # the most posts that a page of each search holds
_SMALLEST_PAGE = 10
_PACE = 1.0  # seconds between two requests to the archive, which allows one a second
_LOOK_UP = 100  # posts that can be looked up at once
_NO_ARCHIVE = "{}: the token may not search the archive, and the recent search has seven days"
_FIELDS: dict[str, list[str]] = {
    "post_fields": [
        *("attachments", "created_at", "edit_controls", "entities", "id", "lang", "note_post", "possibly_sensitive"),
        *("public_metrics", "text"),
    ],
    "expansions": ["attachments.media_keys", "author_id", "referenced_posts"],
    "media_fields": ["alt_text", "height", "media_key", "preview_image_url", "type", "url", "width"],
    "user_fields": ["username"],
}


class NotAllowed(Refused):
    """The token may not do this."""


class BadRequest(Refused):
    """The request is wrong; a token that led to a page holds for some days only."""


class _Api:
    """X's client, which gives the answers as they came, and says what its failures mean."""

    def __init__(self, server: str, token: str) -> None:
        import requests
        from xdk import Client

        class Patient(requests.adapters.HTTPAdapter):
            def send(self, request: Any, *args: Any, **options: Any) -> Any:
                return super().send(request, *args, **{**options, "timeout": options.get("timeout") or TIMEOUT})

        self._client = Client(base_url=server, bearer_token=token)
        for scheme in ("https://", "http://"):
            self._client.session.mount(scheme, Patient())
        self._client.session.hooks["response"].append(self._note)
        self._response: Any = None
        self._asked = 0.0

    def close(self) -> None:
        self._client.session.close()

    def _note(self, response: Any, *_: Any, **__: Any) -> None:
        self._response = response

    def search(self, which: str, **asked: Any) -> Mapping[str, Any]:
        """A page of the search `all` or `recent`."""
        if which == "all":
            time.sleep(max(0.0, self._asked + _PACE - time.monotonic()))
            self._asked = time.monotonic()
        method = getattr(self._client.posts, f"search_{which}")
        return self._answer(lambda: next(method(**asked, **_FIELDS)))

    def look_up(self, ids: list[str]) -> Mapping[str, Any]:
        """Posts by their ids, in the shape of a page."""
        return self._answer(lambda: self._client.posts.get_by_ids(ids=ids, **_FIELDS))

    def _answer(self, call: Any) -> Mapping[str, Any]:
        import pydantic
        import requests

        self._response = None
        try:
            call()
        except pydantic.ValidationError:
            pass  # the answer came, in a shape that the library's models don't know: it is read below
        except requests.HTTPError:
            self._explain(self._response)
        except (requests.RequestException, ValueError) as error:
            raise Trouble(f"no answer: {what_failed(error)}") from None
        try:
            answer = self._response.json()
        except ValueError:
            raise Trouble("an answer that is no JSON") from None
        if not isinstance(answer, Mapping):
            raise Trouble("an answer that is no page")
        return answer

    def _explain(self, response: Any) -> None:
        """Raise what a refusal means."""
        try:
            said = response.json()
        except ValueError:
            said = {}
        detail = dig(said, "detail") or dig(said, "title") or dig(said, "errors", 0, "message") or response.reason
        detail = scrub(str(detail))[:200]
        status, kind = response.status_code, f"{dig(said, 'title')} {dig(said, 'type')}".lower()
        if "usagecap" in kind or "usage-capped" in kind or status == 402:
            raise Refused(f"what your account may read is used up ({status}: {detail})")
        if status == 429:
            raise Limited(seconds_to_wait(response.headers), "too many requests (429)")
        if status >= 500:
            raise Trouble(f"the server is in trouble ({status} {response.reason})")
        if status == 401:
            raise Refused("it refuses X_BEARER_TOKEN (401): it may have expired or been revoked; make a new one")
        if status in (408, 425):
            raise Trouble(f"no answer in time ({status})")
        if status == 400:
            raise BadRequest(f"it answered {status}: {detail}")
        if status == 403:
            raise NotAllowed(f"the token may not do this ({status}: {detail})")
        raise Refused(f"it answered {status}: {detail}")


@dataclass(frozen=True, kw_only=True)
class X(Search):
    """A hashtag on X. Make one with `x()`."""

    kind = "x"
    library = "xdk"

    def check(self) -> None:
        super().check()
        self._token()

    def posts(self, visit: Visit = Visit()) -> Iterator[Post | Rejected | Bookmark]:  # noqa: B008  it is frozen
        patience = Patience(visit, self.name)
        with closing(_Api(self.server, self._token())) as api, closing(Pages(self.name)) as pages:
            at = {**self._window("all"), "search": "all", "token": None, "oldest": None, **(visit.bookmark or {})}
            left = visit.limit
            while True:
                try:
                    page = patience.answer(lambda at=at, left=left: self._page(api, at, left), refusable=True)  # type: ignore[misc]
                except Refused as refusal:
                    at = self._otherwise(at, refusal, patience)
                    continue
                includes = x_api.members(page.get("includes"))
                found = page.get("data") or []
                self._look_up(api, patience, found, includes)
                for values in found:
                    try:
                        post = x_api.post(values, includes)
                    except (ValueError, TypeError, AttributeError, KeyError) as error:
                        yield Rejected(line=None, reason=f"post {dig(values, 'id')}: {error}")
                        continue
                    if self.covers(post.created_at):
                        yield post
                left = None if left is None else left - len(found)
                token = dig(page, "meta", "next_token")
                oldest = stated_time(dig(found, -1, "created_at"))[0]
                at = {**at, "token": token, "oldest": oldest.isoformat() if oldest else at["oldest"]}
                if not token:
                    break
                pages.turn(token, (str(dig(values, "id")) for values in found))
                yield Bookmark(at, more=True)
        if at["search"] == "recent" and (self.first is None or self.first < _now() - _RECENT):
            # who may search the archive later goes on there, with what is older
            yield Bookmark({**at, "search": "all", "token": None, **self._window("all", at["oldest"])})
            raise Stopped(_NO_ARCHIVE.format(self.name))
        yield Bookmark(None)
        self.check_over()

    def _otherwise(self, at: Mapping[str, Any], refusal: Refused, patience: Patience) -> dict[str, Any]:
        """Where to go on where a page was refused. Raises what ends the visit if there is nowhere."""
        if isinstance(refusal, NotAllowed) and at["search"] == "all" and not at["token"]:
            if at["oldest"]:
                raise Stopped(_NO_ARCHIVE.format(self.name)) from None  # as before
            self._check_recent()
            return {**at, **self._window("recent"), "search": "recent"}
        if patience.begins and at["token"] and at["oldest"] and isinstance(refusal, BadRequest):
            return {**at, **self._window(at["search"], at["oldest"]), "token": None}  # a token holds for some days only
        raise patience.end(refusal.reason) from None

    def _window(self, search: str, oldest: str | None = None) -> dict[str, str | None]:
        """From when until when to ask, the same for all pages of a search; what was had leaves what is older."""
        now = _now()
        beginning = _BEGINNING if search == "all" else now - _RECENT + timedelta(minutes=5)
        first = max(self.first or beginning, beginning)
        end = self.end if self.end and self.end < now - timedelta(minutes=1) else None
        if oldest:
            end = datetime.fromisoformat(oldest) + timedelta(seconds=1)
        asked = self.first is not None or search == "all"
        return {"first": _stamp(first) if asked else None, "end": _stamp(end) if end else None}

    def _token(self) -> str:
        return needed("X_BEARER_TOKEN", "X's search asks for the bearer token of an app, from its developer console")

    def _check_recent(self) -> None:
        if self.end and self.end < _now() - _RECENT:
            raise SourceError(
                f"{self.name}: the token may not search the archive, and {self.title} is older than the seven days of "
                "the recent search",
                subject=self.name,
            )

    def _page(self, api: _Api, at: Mapping[str, Any], left: int | None) -> Mapping[str, Any]:
        size = _PAGES[at["search"]]
        page = api.search(
            at["search"],
            query=f"#{self.hashtag}",
            max_results=size if left is None else max(_SMALLEST_PAGE, min(size, left)),
            start_time=at["first"],
            end_time=at["end"],
            pagination_token=at["token"],
        )
        if not isinstance(page.get("meta"), Mapping) or not isinstance(page.get("data") or [], list):
            raise Trouble("an answer that is no page of a search")
        return page

    def _look_up(self, api: _Api, patience: Patience, found: list[Any], includes: dict[str, dict[str, Any]]) -> None:
        """Have the pictures of originals that the page refers to and doesn't describe; if that is refused, they are
        missing, and counted so."""
        lacking = list(dict.fromkeys(each for values in found if (each := _lacking(values, includes))))
        for start in range(0, len(lacking), _LOOK_UP):
            ids = lacking[start : start + _LOOK_UP]
            try:
                page = patience.answer(lambda ids=ids: api.look_up(ids), refusable=True)  # type: ignore[misc]
            except Refused:
                return
            for kind, members in x_api.members(page.get("includes")).items():
                includes[kind].update(members)
            includes["posts"].update({str(each.get("id")): each for each in x_api.page_posts(page)})


def _lacking(values: Any, includes: dict[str, dict[str, Any]]) -> str | None:
    try:
        return x_api.lacking_media(values, includes)
    except (TypeError, AttributeError):
        return None  # what is wrong with it is said where it is read


def _now() -> datetime:
    return datetime.now(UTC)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def x(hashtag: str, *, since: str | date | None = None, until: str | date | None = None, server: str = SERVER) -> X:
    """The posts of a hashtag on X, reposts among them, from `since` on and until `until`: days, or times in UTC.

    X_BEARER_TOKEN is taken from the environment or from .env. Raises UsageError for what is no hashtag or time; reading
    raises SourceError.
    """
    return X(hashtag=clean_hashtag(hashtag), server=server_address(server), **period(since, until))
