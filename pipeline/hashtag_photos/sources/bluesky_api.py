"""Bluesky's search for posts by hashtag (app.bsky.feed.searchPosts), asked with an app password.

The search need not filter by tag or time, and its cursor may end before the results do: so its answers are filtered
here, and where a cursor ends, the search goes on with what is older than the oldest post had.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from hashtag_photos.errors import UsageError
from hashtag_photos.records import Post, Rejected
from hashtag_photos.sources.credentials import keep_secret, needed, scrub
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
    seconds_to_wait,
    server_address,
    what_failed,
)
from hashtag_photos.sources.visit import Bookmark, Stopped, Visit

SERVER = "https://bsky.social"
_PAGE = 100  # the most that the search gives
_SEARCH = "app.bsky.feed.searchPosts"


@dataclass(frozen=True, kw_only=True)
class Bluesky(Search):
    """A hashtag on Bluesky. Make one with `bluesky()`."""

    kind = "bluesky"
    library = "atproto_client"

    def check(self) -> None:
        super().check()
        self._account()

    def posts(self, visit: Visit = Visit()) -> Iterator[Post | Rejected | Bookmark]:  # noqa: B008  it is frozen
        patience = Patience(visit, self.name)
        with closing(self._request()) as request, closing(Pages(self.name)) as pages:
            client = patience.answer(lambda: self._client(request), preparing=True)
            before: set[str] = set()  # posts of the last page of the search before
            had = 0  # posts of this search
            at = {"until": self.until, "cursor": None, "oldest": None, "follows": False, **(visit.bookmark or {})}
            while True:
                try:
                    answer = patience.answer(lambda at=at: self._page(client, at), refusable=True)  # type: ignore[misc]
                except Refused as refusal:
                    if not (patience.begins and at["cursor"] and at["oldest"]):
                        raise patience.end(refusal.reason) from None
                    at = _older(at)  # the cursor of the bookmark holds no more
                    continue
                found = answer["posts"]
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
                before, had = set(), had + len(found)
                times = _times(found)
                if self.first and times and max(times) < self.first:
                    break  # a server that doesn't filter by time
                if at["follows"] and times and max(times) >= datetime.fromisoformat(at["until"]):
                    raise Stopped(f"{self.name}: its search ended, and whether there are older posts it doesn't say")
                # the search has the newest first, so the last is the oldest, whatever single posts say of themselves
                at = {**at, "cursor": answer.get("cursor"), "oldest": times[-1].isoformat() if times else at["oldest"]}
                if not at["cursor"]:
                    older = _older(at)
                    if older["until"] is None or older["until"] == at["until"]:
                        if had >= _PAGE:
                            raise Stopped(f"{self.name}: its search ended in the middle of a second with many posts")
                        break
                    had = 0
                    before, at = {str(dig(view, "uri")) for view in found}, older
                pages.turn(tuple(at.values()), (str(dig(view, "uri")) for view in found))
                yield Bookmark(at)
        yield Bookmark(None)
        self.check_over()

    def _account(self) -> tuple[str, str]:
        what = "Bluesky's search asks for an account; make an app password in its settings, under Privacy and security"
        return needed("BLUESKY_HANDLE", what), needed("BLUESKY_APP_PASSWORD", what)

    def _request(self) -> Any:
        from atproto_client.request import Request

        request = Request(timeout=TIMEOUT)
        request._client.follow_redirects = False  # a password goes to the server that was named, and to no other
        return request

    def _client(self, request: Any) -> Any:
        import atproto_client as library

        client = library.Client(self.server, request=request)
        client.on_session_change(_keep_secret)
        self._said(lambda: client.login(*self._account(), fetch_bsky_profile=False))
        server_address(client._base_url.removesuffix("/xrpc"))  # where the account is at home, as the server says
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
            cursor=None if at["cursor"] is None else str(at["cursor"]),
        )
        # the plain answer, not the library's model of it, which refuses what it doesn't know yet
        answer = self._said(lambda: client.invoke_query(_SEARCH, params=params).content, client)
        if not isinstance(answer, Mapping) or not isinstance(answer.get("posts"), list):
            raise Trouble("an answer without posts")
        return answer

    def _said(self, call: Any, client: Any = None) -> Any:
        """What a call returns, or what its failure means."""
        import httpx
        from atproto_client import exceptions

        try:
            return call()
        except exceptions.RateLimitExceededError as error:
            headers = error.response.headers if error.response else {}
            raise Limited(seconds_to_wait(headers), "too many requests (429)") from None
        except (exceptions.UnauthorizedError, exceptions.BadRequestError) as error:
            said = getattr(error.response, "content", None)
            if client is not None and getattr(said, "error", "") in ("ExpiredToken", "InvalidToken"):
                self._said(lambda: client.login(*self._account(), fetch_bsky_profile=False))
                raise Trouble("the session had expired") from None
            if client is None:
                raise Refused(f"it refuses BLUESKY_HANDLE with BLUESKY_APP_PASSWORD ({_said_why(error)})") from None
            raise Refused(f"it answered {_said_why(error)}") from None
        except exceptions.NetworkError as error:
            raise Trouble(f"no answer: {what_failed(error)}") from None
        except exceptions.RequestException as error:
            status = error.response.status_code if error.response else 0
            raise (Trouble if status >= 500 or status in (408, 425) else Refused)(
                f"it answered {_said_why(error)}"
            ) from None
        except UsageError as error:
            raise Refused(str(error)) from None
        except exceptions.AtProtocolError as error:
            raise Trouble(f"an answer that can't be used ({type(error).__name__})") from None
        except (httpx.HTTPError, ValueError, TypeError) as error:
            raise Trouble(f"no answer: {what_failed(error)}") from None


def _keep_secret(event: Any, session: Any) -> None:
    keep_secret(session.access_jwt)
    keep_secret(session.refresh_jwt)


def _said_why(error: Any) -> str:
    """Status, kind and message of a refusal, scrubbed before it is cut."""
    content = error.response.content if error.response else None
    if isinstance(content, Mapping):
        kind, message = content.get("error"), content.get("message")
    else:
        kind, message = getattr(content, "error", None), getattr(content, "message", None)
    said = " ".join(str(each) for each in (kind, message) if each)
    return f"{error.response.status_code if error.response else 'nothing'} {scrub(said)[:200]}".strip()


def _older(at: Mapping[str, Any]) -> dict[str, Any]:
    """A search for what is older than the oldest post had, and for what was posted in the same second."""
    oldest = at["oldest"] and datetime.fromisoformat(at["oldest"]).replace(microsecond=0) + timedelta(seconds=1)
    return {"until": oldest.isoformat() if oldest else None, "cursor": None, "oldest": None, "follows": True}


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
