"""The timeline of a hashtag on a server that speaks Mastodon's API, whatever its software.

A post is known by its address in the fediverse (`uri`), so that it is one post whichever server was asked, and a boost
is the post that it boosts. A server knows the posts of its own users and those that reached it: no server knows all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from hashtag_photos.records import Attachment, Post, Rejected
from hashtag_photos.sources.credentials import scrub, secret
from hashtag_photos.sources.fields import beyond, count, dig, ident, plain, stated_time, text, truth
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

SOURCE = "mastodon"
_PAGE = 40  # the most that Mastodon gives
_READ = (
    *("id", "uri", "url", "account", "created_at", "edited_at", "content", "language", "tags", "favourites_count"),
    *("reblogs_count", "replies_count", "sensitive", "media_attachments", "reblog", "mentions"),
    *("favourited", "reblogged", "muted", "bookmarked", "filtered", "pinned"),  # of who asks, not of the post
)


@dataclass(frozen=True, kw_only=True)
class Mastodon(Search):
    """A hashtag on a Mastodon server. Make one with `mastodon()`."""

    kind = "mastodon"
    library = "mastodon"

    def posts(self, visit: Visit = Visit()) -> Iterator[Post | Rejected | Bookmark]:  # noqa: B008  it is frozen
        import requests

        patience = Patience(visit, self.name)
        max_id, old_pages = visit.bookmark, 0
        with requests.Session() as session, closing(Pages(self.name)) as pages:
            client, waits = self._client(session)
            while True:
                page = patience.answer(lambda before=max_id: self._page(client, waits, before))  # type: ignore[misc]
                for status in page:
                    try:
                        post = self._post(status)
                    except (ValueError, TypeError, AttributeError, KeyError) as error:
                        yield Rejected(line=None, reason=f"status {dig(status, 'id')}: {error}")
                        continue
                    if self.covers(post.created_at):
                        yield post
                following = getattr(page, "_pagination_next", None)
                if not page and not following:
                    break
                # two whole pages from before: one may be what arrived late
                old_pages = old_pages + 1 if self._is_from_before(page) else 0
                if old_pages == 2:
                    break
                max_id = text(following["max_id"] if following else dig(page, -1, "id"))
                if max_id is None:
                    raise Stopped(f"{self.name}: the last status of a page has no id to go on from")
                pages.turn(max_id, (str(dig(status, "id")) for status in page))
                yield Bookmark(max_id)
        yield Bookmark(None)
        self.check_over()

    def _is_from_before(self, page: Any) -> bool:
        """Whether all of a page is from before the time asked for; a boost is as old as the boost."""
        times = [stated_time(dig(status, "created_at"))[0] for status in page]
        return bool(times) and self.first is not None and all(time and time < self.first for time in times)

    def _client(self, session: Any) -> tuple[Any, list[float]]:
        from mastodon import Mastodon as Client

        waits = [60.0]

        def note(response: Any, *_: Any, **__: Any) -> None:
            """Keep how long to wait from the library, which takes headers that it can't read for a refusal."""
            waits[0] = seconds_to_wait(response.headers)
            for name in [each for each in response.headers if "ratelimit" in each.lower()]:
                del response.headers[name]

        session.hooks["response"].append(note)
        client = Client(
            api_base_url=self.server,
            access_token=secret(token_name(self.server)),
            ratelimit_method="throw",  # waiting is ours: it is shown, and can be too long
            session=session,
            request_timeout=TIMEOUT,
            version_check_mode="none",  # it may be any software
            user_agent="hashtag-photos",
        )
        # it would be asked before every page whether there is such a timeline: the page says it
        client.timeline_is_available = lambda *_, **__: True  # type: ignore[method-assign]
        return client, waits

    def _page(self, client: Any, waits: list[float], max_id: str | None) -> Any:
        import mastodon as library

        try:
            page = client.timeline_hashtag(self.hashtag, max_id=max_id, limit=_PAGE)
        except library.MastodonRatelimitError:
            raise Limited(waits[0], "too many requests (429)") from None
        except library.MastodonNetworkError as error:
            raise Trouble(f"no answer: {what_failed(error)}") from None
        except library.MastodonAPIError as error:
            status = error.args[1] if len(error.args) > 2 else None
            if status is None:
                raise Trouble("an answer that is no JSON") from None
            if status >= 500 or status in (408, 425):
                raise Trouble(f"the server is in trouble ({_words(error)})") from None
            if status in (401, 403, 422):
                raise Refused(
                    f"it shows hashtags to its users only, or refuses the token ({status}); make a token in the "
                    f"settings of an account there, under Development, and set {token_name(self.server)}"
                ) from None
            raise Refused(f"it answered {_words(error)}: perhaps it isn't a Mastodon server") from None
        if not isinstance(page, list) or any(isinstance(each, str) for each in page):
            raise Refused("its answer is no list of posts: perhaps it isn't a Mastodon server")
        return page

    def _post(self, status: Any) -> Post:
        if not isinstance(status, Mapping):
            raise ValueError("it is no post")
        status = status.get("reblog") or status
        post_id = ident(status.get("uri")) or ident(status.get("url"))
        if not post_id:
            raise ValueError("it has no uri")
        created_at, time_problem = stated_time(status.get("created_at"))
        return Post(
            source=SOURCE,
            id=post_id,
            url=text(status.get("url")) or post_id,
            author=self._author(status.get("account")),
            created_at=created_at,
            time_problem=time_problem,
            edited_at=stated_time(status.get("edited_at"))[0],
            text=plain(status.get("content")),
            language=text(status.get("language")),
            hashtags=tuple(str(each["name"]) for each in status.get("tags") or () if dig(each, "name")),
            likes=count(status.get("favourites_count")),
            reposts=count(status.get("reblogs_count")),
            replies=count(status.get("replies_count")),
            sensitive=truth(status.get("sensitive")),
            attachments=tuple(_attachments(status.get("media_attachments") or ())),
            extra=beyond(status, *_READ),
        )

    def _author(self, account: Any) -> str | None:
        """name@server as it is on every server, also of who is at home on the one that was asked."""
        name = text(dig(account, "acct"))
        if not name or "@" in name:
            return name
        home = urlsplit(text(dig(account, "uri")) or text(dig(account, "url")) or "").hostname
        return f"{name}@{home or self.name}"


def _attachments(media: Any) -> Iterator[Attachment]:
    for each in media:
        kind = {"image": "photo", "gifv": "gif"}.get(str(dig(each, "type")), text(dig(each, "type")))
        if kind == "audio":
            continue
        url, still = dig(each, "url") or dig(each, "remote_url"), dig(each, "preview_url")
        size = dig(each, "meta", "original") or {}
        yield Attachment(
            url=text(still if kind in ("gif", "video") else url) or "",
            alt=text(dig(each, "description")),
            kind=kind,
            width=count(dig(size, "width")),
            height=count(dig(size, "height")),
        )


def token_name(server: str) -> str:
    """The name of a server's token in the environment: each server has one of its own, so that none gets another's."""
    host = re.sub(r"[^A-Za-z0-9]+", "_", server.partition("://")[2] or server)
    return f"MASTODON_TOKEN_{host.upper()}"


def _words(error: Exception) -> str:
    return scrub(" ".join(str(each) for each in error.args if each))[:200]


def mastodon(
    hashtag: str, server: str, *, since: str | date | None = None, until: str | date | None = None
) -> Mastodon:
    """The posts of a hashtag that a Mastodon server knows, from `since` on and until `until`: days, or times in UTC.

    Raises UsageError for what is no hashtag, server or time; reading raises SourceError.
    """
    return Mastodon(hashtag=clean_hashtag(hashtag), server=server_address(server), **period(since, until))
