"""Bluesky's search for posts by hashtag (app.bsky.feed.searchPosts), asked with an app password.

The search need not filter by tag or time, and its cursor may end before the results do: so its answers are filtered
here, and where a cursor ends, the search goes on with what is older than the oldest post had.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from hashtag_photos.records import Post, Rejected
from hashtag_photos.sources.credentials import needed
from hashtag_photos.sources.fields import dig, stated_time
from hashtag_photos.sources.formats import bluesky as views
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
    same_hashtag,
    server_address,
    what_failed,
)
from hashtag_photos.sources.visit import Bookmark, Visit

SERVER = "https://bsky.social"
_PAGE = 100  # the most that the search gives
_SEARCH = "app.bsky.feed.searchPosts"


@dataclass(frozen=True, kw_only=True)
class Bluesky(Search):
    """A hashtag on Bluesky. Make one with `bluesky()`."""

    kind = "bluesky"
    extra = "bluesky"
    library = "atproto_client"

    def check(self) -> None:
        super().check()
        self._account()

    def posts(self, visit: Visit = Visit()) -> Iterator[Post | Rejected | Bookmark]:  # noqa: B008  it is frozen
        patience, pages = Patience(visit, self.name), Pages(self.name)
        with closing(self._request()) as request:
            client = patience.answer(lambda: self._client(request))
            before: set[str] = set()  # posts of the last page of the search before
            at = {"until": self.until, "cursor": None, "oldest": None, **(visit.bookmark or {})}
            while True:
                answer = patience.answer(lambda at=at: self._page(client, at))  # type: ignore[misc]
                found = answer.get("posts") or []
                for view in found:
                    if dig(view, "uri") in before:
                        continue
                    try:
                        post = views.post(view)
                    except (ValueError, TypeError, AttributeError, KeyError) as error:
                        yield Rejected(line=None, reason=f"post {dig(view, 'uri')}: {error}")
                        continue
                    if any(same_hashtag(self.hashtag, tag) for tag in post.hashtags) and self.covers(post.created_at):
                        yield post
                before = set()
                times = _times(found)
                if self.first and times and max(times) < self.first:
                    return  # a server that doesn't filter by time
                oldest = min((*times, *([datetime.fromisoformat(at["oldest"])] if at["oldest"] else [])), default=None)
                at = {**at, "cursor": answer.get("cursor"), "oldest": oldest and oldest.isoformat()}
                if not at["cursor"]:
                    # a second after the oldest, so that what was posted in the same second isn't lost
                    older = oldest and oldest.replace(microsecond=0) + timedelta(seconds=1)
                    if not older or (at["until"] and older >= datetime.fromisoformat(at["until"])):
                        return
                    at = {"until": older.isoformat(), "cursor": None, "oldest": None}
                    before = {str(dig(view, "uri")) for view in found}
                pages.turn(tuple(at.values()), (str(dig(view, "uri")) for view in found))
                yield Bookmark(at)

    def _account(self) -> tuple[str, str]:
        what = "Bluesky's search asks for an account; make an app password in its settings, under Privacy and security"
        return needed("BLUESKY_HANDLE", what), needed("BLUESKY_APP_PASSWORD", what)

    def _request(self) -> Any:
        from atproto_client.request import Request

        return Request(timeout=TIMEOUT)

    def _client(self, request: Any) -> Any:
        import atproto_client as library

        client = library.Client(self.server, request=request)
        self._said(lambda: client.login(*self._account(), fetch_bsky_profile=False))
        return client

    def _page(self, client: Any, at: Mapping[str, Any]) -> Mapping[str, Any]:
        from atproto_client.models.app.bsky.feed.search_posts import Params

        params = Params(
            q=f"#{self.hashtag}",
            tag=[self.hashtag],
            sort="latest",
            limit=_PAGE,
            since=self.since,
            until=at["until"],
            cursor=at["cursor"],
        )
        # the plain answer, not the library's model of it, which refuses what it doesn't know yet
        answer = self._said(lambda: client.invoke_query(_SEARCH, params=params).content, client)
        if not isinstance(answer, Mapping):
            raise Trouble("an answer that is no JSON")
        return answer

    def _said(self, call: Any, client: Any = None) -> Any:
        """What a call returns, or what its failure means."""
        import httpx
        from atproto_client import exceptions

        try:
            return call()
        except exceptions.RateLimitExceededError as error:
            reset = error.reset_at.timestamp() - time.time() + 1 if error.reset_at else None
            raise Limited(error.retry_after or reset or 60.0, "too many requests (429)") from None
        except (exceptions.UnauthorizedError, exceptions.BadRequestError) as error:
            if client is not None and getattr(dig_error(error), "error", "") in ("ExpiredToken", "InvalidToken"):
                self._said(lambda: client.login(*self._account(), fetch_bsky_profile=False))
                raise Trouble("the session had expired") from None
            if client is None:
                raise Refused(f"it refuses BLUESKY_HANDLE with BLUESKY_APP_PASSWORD ({error})") from None
            raise Refused(f"it answered {error}") from None
        except exceptions.NetworkError as error:
            raise Trouble(f"no answer: {what_failed(error)}") from None
        except exceptions.RequestException as error:
            status = error.response.status_code if error.response else 0
            raise (Trouble if status >= 500 else Refused)(f"it answered {error}") from None
        except (httpx.HTTPError, ValueError) as error:
            raise Trouble(f"no answer: {what_failed(error)}") from None


def dig_error(error: Any) -> Any:
    """What the server said in the body of its refusal."""
    return getattr(error.response, "content", None)


def _times(found: list[Any]) -> list[datetime]:
    """The times that the search sorts by: when a post was made, or indexed if it says to be from later."""
    times = []
    for view in found:
        stated = [stated_time(dig(view, *path))[0] for path in (("record", "createdAt"), ("indexedAt",))]
        times += [min(known)] if (known := [each for each in stated if each]) else []
    return times


def bluesky(
    hashtag: str, *, since: str | date | None = None, until: str | date | None = None, server: str = SERVER
) -> Bluesky:
    """The posts of a hashtag on Bluesky, from `since` on and until `until`: days, or times in UTC.

    `server` is where the account is at home. BLUESKY_HANDLE and BLUESKY_APP_PASSWORD are taken from the environment or
    from .env. Raises UsageError for what is no hashtag, server or time; reading raises SourceError.
    """
    return Bluesky(hashtag=clean_hashtag(hashtag), server=server_address(server), **period(since, until))
