"""The timeline of a hashtag on a server that speaks Mastodon's API, whatever its software.

A post is known by its address in the fediverse (`uri`), so that it is one post whichever server was asked, and a boost
is the post that it boosts. A server knows the posts of its own users and those that reached it: no server knows all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from hashtag_photos.records import Attachment, Post, Rejected
from hashtag_photos.sources.credentials import secret
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
    extra = "mastodon"
    library = "mastodon"

    def posts(self, visit: Visit = Visit()) -> Iterator[Post | Rejected | Bookmark]:  # noqa: B008  it is frozen
        import requests

        patience, pages = Patience(visit, self.name), Pages(self.name)
        with requests.Session() as session:
            client = self._client(session)
            max_id = visit.bookmark
            while True:
                page = patience.answer(lambda before=max_id: self._page(client, before))  # type: ignore[misc]
                times = []
                for status in page:
                    try:
                        post = self._post(status)
                    except (ValueError, TypeError, AttributeError, KeyError) as error:
                        yield Rejected(line=None, reason=f"status {dig(status, 'id')}: {error}")
                        continue
                    times.append(post.created_at)
                    if self.covers(post.created_at):
                        yield post
                following = getattr(page, "_pagination_next", None)
                if not page and not following:
                    return
                if self.first and times and all(time is not None and time < self.first for time in times):
                    return  # a whole page from before: one post alone may have arrived late
                max_id = text(following["max_id"] if following else dig(page, -1, "id"))
                if max_id is None:
                    raise Stopped(f"{self.name}: the last status of a page has no id to go on from")
                pages.turn(max_id, (str(dig(status, "id")) for status in page))
                yield Bookmark(max_id)

    def _client(self, session: Any) -> Any:
        from mastodon import Mastodon as Client

        return Client(
            api_base_url=self.server,
            access_token=secret(token_name(self.server)),
            ratelimit_method="throw",  # waiting is ours: it is shown, and can be too long
            session=session,
            request_timeout=TIMEOUT,
            version_check_mode="none",  # it may be any software
            user_agent="hashtag-photos",
        )

    def _page(self, client: Any, max_id: str | None) -> Any:
        import mastodon as library

        try:
            page = client.timeline_hashtag(self.hashtag, max_id=max_id, limit=_PAGE)
        except library.MastodonRatelimitError:
            raise Limited(_seconds_to_wait(client), "too many requests (429)") from None
        except library.MastodonNetworkError as error:
            raise Trouble(f"no answer: {what_failed(error)}") from None
        except library.MastodonServerError as error:
            raise Trouble(f"the server is in trouble ({_words(error)})") from None
        except library.MastodonAPIError as error:
            status = error.args[1] if len(error.args) > 2 else None
            if status is None:
                raise Trouble("an answer that is no JSON") from None
            if status in (401, 403, 422):
                raise Refused(
                    f"it shows hashtags to its users only, or refuses the token ({status}); make a token in the "
                    f"settings of an account there, under Development, and set {token_name(self.server)}"
                ) from None
            raise Refused(f"it answered {_words(error)}: perhaps it isn't a Mastodon server") from None
        if not isinstance(page, list) or not all(isinstance(each, Mapping) for each in page):
            raise Refused("its answer is no list of posts: perhaps it isn't a Mastodon server")
        return page

    def _post(self, status: Mapping[str, Any]) -> Post:
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
        """name@server, also of who is at home on the server that was asked."""
        name = text(dig(account, "acct"))
        return name if not name or "@" in name else f"{name}@{self.name}"


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


def _seconds_to_wait(client: Any) -> float:
    import time

    return float(client.ratelimit_reset - time.time() + 1) if client.ratelimit_reset else 60.0


def _words(error: Exception) -> str:
    return " ".join(str(each) for each in error.args if each)[:200]


def mastodon(
    hashtag: str, server: str, *, since: str | date | None = None, until: str | date | None = None
) -> Mastodon:
    """The posts of a hashtag that a Mastodon server knows, from `since` on and until `until`: days, or times in UTC.

    Raises UsageError for what is no hashtag, server or time; reading raises SourceError.
    """
    return Mastodon(hashtag=clean_hashtag(hashtag), server=server_address(server), **period(since, until))
