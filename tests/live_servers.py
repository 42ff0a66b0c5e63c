"""Servers on 127.0.0.1 that speak as Mastodon, Bluesky and X are documented to, and fail as they do.

`faults` are what goes wrong with the next searches, one each.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from conftest import web_server

#: what goes wrong with one request: (status, headers, body), or "reset" for a connection that is cut
Fault = tuple[int, dict[str, str], Any] | str

START = datetime(2026, 4, 22, 12, tzinfo=UTC)


@dataclass(kw_only=True)
class Request:
    method: str
    path: str
    values: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(kw_only=True)
class Live:
    """A server with what it was asked, and what goes wrong next."""

    answer: Callable[[Request], tuple[int, dict[str, str], Any]]
    faults: deque[Fault] = field(default_factory=deque)
    asked: list[Request] = field(default_factory=list)
    base: str = ""

    def limit(self, **headers: str) -> None:
        """The next answer is 429."""
        self.faults.append((429, headers, {"title": "Too Many Requests", "status": 429, "error": "RateLimitExceeded"}))


def is_search(request: Request) -> bool:
    """Whether a request is for posts, and not for a session, an instance or the like."""
    return request.path.endswith(("/recent", "/all", "searchPosts", "/dike"))


@contextmanager
def serving(answer: Callable[[Request], tuple[int, dict[str, str], Any]]) -> Iterator[Live]:
    """A server that answers so."""
    live = Live(answer=answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            request = Request(
                method=self.command,
                path=parts.path,
                values=dict(parse_qsl(parts.query)),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=json.loads(self.rfile.read(length)) if length else None,
            )
            live.asked.append(request)
            fault = live.faults.popleft() if live.faults and is_search(request) else None
            if fault == "reset":
                self.close_connection = True
                self.connection.close()
                return
            status, headers, body = fault if isinstance(fault, tuple) else live.answer(request)
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response_only(status)
            for name, value in {
                "Date": formatdate(usegmt=True),
                "Content-Type": "application/json",
                "Content-Length": str(len(raw)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError, ValueError):  # a connection that was cut
                super().handle()

    with web_server(Handler) as live.base:
        yield live


# Mastodon: docs.joinmastodon.org/methods/timelines/#tag, entities/Status


def status(number: int, **changes: Any) -> dict[str, Any]:
    """A status: the higher the number, the later."""
    moment = START + timedelta(minutes=number)
    return {
        "id": str(1000 + number),
        "uri": f"https://social.example/users/ann/statuses/{1000 + number}",
        "url": f"https://social.example/@ann/{1000 + number}",
        "created_at": moment.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "edited_at": None,
        "account": {"id": "7", "acct": "ann", "username": "ann", "url": "https://social.example/@ann"},
        "content": f"<p>Post {number} <a href='https://social.example/tags/dike'>#<span>dike</span></a></p>",
        "language": "en",
        "visibility": "public",
        "sensitive": False,
        "spoiler_text": "",
        "reblog": None,
        "media_attachments": [],
        "tags": [{"name": "dike", "url": "https://social.example/tags/dike"}],
        "mentions": [],
        "emojis": [],
        "favourites_count": number,
        "reblogs_count": 1,
        "replies_count": 0,
        **changes,
    }


def media(kind: str = "image", **changes: Any) -> dict[str, Any]:
    return {
        "id": "5",
        "type": kind,
        "url": "https://files.example/full.jpg",
        "preview_url": "https://files.example/small.jpg",
        "remote_url": None,
        "description": "A dike",
        "meta": {"original": {"width": 1200, "height": 900}},
        "blurhash": None,
        **changes,
    }


def mastodon(statuses: list[dict[str, Any]], *, link: bool = True, base: str = "") -> Callable[[Request], Any]:
    """Answers as a tag timeline does: the newest first, older than max_id, with a Link header or without."""

    def answer(request: Request) -> tuple[int, dict[str, str], Any]:
        if not request.path.startswith("/api/v1/timelines/tag/"):
            return 404, {}, {"error": "Record not found"}
        before = request.values.get("max_id")
        found = [each for each in statuses if before is None or int(each["id"]) < int(before)]
        found = sorted(found, key=lambda each: -int(each["id"]))[: int(request.values.get("limit", 20))]
        headers = {}
        if link and found:
            at = f"http://{request.headers['host']}{request.path}"
            headers["Link"] = f'<{at}?max_id={found[-1]["id"]}>; rel="next", <{at}?min_id={found[0]["id"]}>; rel="prev"'
        return 200, headers, found

    return answer


# Bluesky: lexicons com.atproto.server.createSession, app.bsky.feed.searchPosts

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"


def view(number: int, **changes: Any) -> dict[str, Any]:
    """A post view: the higher the number, the later."""
    moment = (START + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    record = {
        "$type": "app.bsky.feed.post",
        "createdAt": moment,
        "text": f"Post {number} #dike",
        "langs": ["en"],
        "facets": [
            {
                "index": {"byteStart": 7, "byteEnd": 12},
                "features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "dike"}],
            }
        ],
        **changes.pop("record", {}),
    }
    return {
        "uri": f"at://{DID}/app.bsky.feed.post/3k{number:04d}",
        "cid": "bafyreibjifzpqj6o6wcq3hejh7y4z4z2vmiklkvykc57tw3pcbx3kxifpm",
        "author": {"did": DID, "handle": "ann.bsky.example"},
        "record": record,
        "indexedAt": moment,
        "likeCount": number,
        "repostCount": 1,
        "replyCount": 0,
        "quoteCount": 0,
        "labels": [],
        **changes,
    }


def images_embed(*alts: str) -> dict[str, Any]:
    return {
        "$type": "app.bsky.embed.images#view",
        "images": [
            {
                "thumb": f"https://cdn.example/thumb/{n}.jpg",
                "fullsize": f"https://cdn.example/full/{n}.jpg",
                "alt": alt,
                "aspectRatio": {"width": 1600, "height": 1200},
            }
            for n, alt in enumerate(alts)
        ],
    }


def jwt(seconds: float) -> str:
    """A token that says it holds for so long."""
    now = datetime.now(UTC).timestamp()
    parts = [{"typ": "at+jwt", "alg": "ES256K"}, {"sub": DID, "iat": int(now), "exp": int(now + seconds)}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


def bluesky(
    views: list[dict[str, Any]],
    *,
    password: str = "good-app-pass",
    filters: bool = True,
    most: int = 10_000,
) -> Callable[[Request], Any]:
    """Answers as a PDS does. `filters` is whether it filters by tag and time, `most` how far its cursor goes."""

    def answer(request: Request) -> tuple[int, dict[str, str], Any]:
        if request.path == "/xrpc/com.atproto.server.createSession":
            if request.body.get("password") != password:
                return 401, {}, {"error": "AuthenticationRequired", "message": "Invalid identifier or password"}
            session = {"did": DID, "handle": "ann.bsky.example", "accessJwt": jwt(7200), "refreshJwt": jwt(90 * 86400)}
            return 200, {}, session
        if request.path != "/xrpc/app.bsky.feed.searchPosts":
            return 501, {}, {"error": "MethodNotImplemented", "message": "Method Not Implemented"}
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return 401, {}, {"error": "AuthMissing", "message": "Authentication Required"}
        found = sorted(views, key=lambda each: each["record"]["createdAt"], reverse=True)
        if filters:
            until, since = request.values.get("until"), request.values.get("since")
            found = [
                each
                for each in found
                if (not until or moment(each) < datetime.fromisoformat(until))
                and (not since or moment(each) >= datetime.fromisoformat(since))
            ]
        start, size = int(request.values.get("cursor", 0)), int(request.values["limit"])
        page = found[start : min(start + size, most)]
        more = start + size < min(len(found), most)
        return 200, {}, {"posts": page, **({"cursor": str(start + size)} if more else {})}

    return answer


def moment(view: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(view["record"]["createdAt"])


# X: api.x.com/2/openapi.json, GET /2/tweets/search/recent, /2/tweets/search/all, /2/tweets


def x_post(number: int, *, old: bool = False, **changes: Any) -> dict[str, Any]:
    """A post of the API: the higher the number, the later. `old` is the shape before 2026."""
    metrics = {"like_count": number, "reply_count": 0, "quote_count": 0, "bookmark_count": 0, "impression_count": 9}
    return {
        "id": str(10_000 + number),
        "text": f"Post {number} #dike",
        "author_id": "42",
        "created_at": (START + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "lang": "en",
        "possibly_sensitive": False,
        "edit_history_tweet_ids" if old else "edit_history_post_ids": [str(10_000 + number)],
        "entities": {"hashtags": [{"start": 7, "end": 12, "tag": "dike"}]},
        "public_metrics": {**metrics, "retweet_count" if old else "repost_count": 3},
        **changes,
    }


def x_media(key: str, kind: str = "photo", **changes: Any) -> dict[str, Any]:
    address = {"url": f"https://pics.example/{key}.jpg"}
    if kind != "photo":
        address = {"preview_image_url": f"https://pics.example/{key}.jpg"}
    return {"media_key": key, "type": kind, "width": 1200, "height": 800, "alt_text": "A dike", **address, **changes}


def x(
    posts: list[dict[str, Any]],
    *,
    token: str = "good-token",
    archive: bool = True,
    page: int = 500,
    includes: dict[str, list[dict[str, Any]]] | None = None,
    looked_up: dict[str, Any] | None = None,
) -> Callable[[Request], Any]:
    """Answers as the search of X does, to a token that may search the archive or not."""

    def answer(request: Request) -> tuple[int, dict[str, str], Any]:
        if request.headers.get("authorization") != f"Bearer {token}":
            return 401, {}, {"title": "Unauthorized", "type": "about:blank", "status": 401, "detail": "Unauthorized"}
        if request.path == "/2/tweets":
            return 200, {}, looked_up or {"errors": []}
        if request.path == "/2/tweets/search/all" and not archive:
            problem = "https://api.x.com/2/problems/client-forbidden"
            return 403, {}, {"title": "Client Forbidden", "type": problem, "detail": "not enrolled", "status": 403}
        first, end = request.values.get("start_time"), request.values.get("end_time")
        found = [
            each
            for each in sorted(posts, key=lambda each: -int(each["id"]))
            if (not first or datetime.fromisoformat(each["created_at"]) >= datetime.fromisoformat(first))
            and (not end or datetime.fromisoformat(each["created_at"]) < datetime.fromisoformat(end))
        ]
        at = int(request.values.get("pagination_token", "0").removeprefix("p"))
        size = min(page, int(request.values["max_results"]))
        shown = found[at : at + size]
        meta: dict[str, Any] = {"result_count": len(shown)}
        if at + size < len(found):
            meta["next_token"] = f"p{at + size}"
        if not shown:
            return 200, {}, {"meta": meta}
        people = {"users": [{"id": "42", "username": "ann", "name": "Ann"}]}
        return 200, {}, {"data": shown, "includes": {**people, **(includes or {})}, "meta": meta}

    return answer
