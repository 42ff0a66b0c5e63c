"""The labelling page, served to this machine alone.

It listens on 127.0.0.1. The page itself (page/) holds no data and is open; all else asks for a key made of a token,
which stands in the address that `serve` gives, behind a #, so that it is in no request line, no log and no Referer. The
page's script sends the key in a header of its own: a form or a picture of another site can't, a script of another site
would have to ask leave first (CORS), and is given none. There is no cookie, which all ports of 127.0.0.1 would share.
Requests by another host name (DNS rebinding) or from another origin are refused whatever they bring.

A run keeps port and token in `.review.json`, which its user alone can read, so that a page that stood open goes on when
the server comes back. In between somebody else on this machine can have the port. So the page never sends the token,
and before each request has the server prove that it knows it, too:

    page    GET /api/proof?nonce=NONCE       64 digits 0-9 and a-f, new each time
    server  start, proof                     start: its own 64 digits, new at each start of the server
            proof = HMAC-SHA256(token, "server PORT NONCE START")
    page    X-Review-Key: key                key = HMAC-SHA256(token, "page START"), good until the server ends

The port is in it, and 127.0.0.1 the only name that is answered to, so that who has another address of this machine
can't have the true server prove it. All that is left to an impostor is to take the port in the moment between a proof
and its request; the answer in that request it would see, and a key that opens nothing any more.

In the blind round nothing of what the model said, of the strata or of the posts is sent.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import json
import logging
import os
import re
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib import resources
from threading import Thread
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hashtag_photos.errors import HashtagPhotosError, UsageError
from hashtag_photos.handlabels import BLIND, SETTLING
from hashtag_photos.images import ImageError
from hashtag_photos.review.session import Session, StaleAnswerError, Turn

HOST = "127.0.0.1"
KEY_HEADER = "x-review-key"
# what browsers open no page at: "bad port" in https://fetch.spec.whatwg.org/#port-blocking
UNSAFE_PORTS = frozenset(
    (
        *(1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109),
        *(110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530),
        *(531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045),
        *(4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    )
)
MAX_BODY = 64 << 10  # bytes of a request: an answer and its note
_KEPT = ".review.json"
_PROOF = "/api/proof"
_NONCE = re.compile(r"[0-9a-f]{64}")
_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/review.css": ("review.css", "text/css; charset=utf-8"),
    "/review.js": ("review.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


def serve(session: Session, *, coder: str | None, settle: bool, port: int, ready: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C or SIGTERM, and return then. `ready` is given its address once it listens.

    Without a coder the page asks for the name. Port 0 is the one of the last time, or any if that is taken. Raises
    UsageError for a port that can't be had or that browsers refuse, and for another spelling of a coder's name.
    """
    if coder is not None:
        coder = session.coder(coder)
    kept_port, token = _kept(session)
    listener, keep = _listening(port, kept_port)
    with listener:
        own = listener.getsockname()[1]
        if keep:
            _keep(session, own, token)
        proof = Proof(token, own)
        app = Guard(_application(session, coder, settle, proof), proof)
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        _Server(config, lambda: ready(f"http://{HOST}:{own}/#{token}")).run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that says when it listens, and on a signal ends without passing it on."""

    def __init__(self, config: uvicorn.Config, listens: Callable[[], None]) -> None:
        super().__init__(config)
        self._listens = listens

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._listens()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        def end(number: int, frame: object) -> None:
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)  # requests cut off now are no errors
            self.force_exit = self.should_exit
            self.should_exit = True

        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _listening(port: int, kept: int) -> tuple[socket.socket, bool]:
    """A socket that listens, and whether its port is to be kept: the port asked for, or the kept one, or any.

    A kept port that is merely taken stays kept: whoever is there may be this command, a second time.
    """
    if port in UNSAFE_PORTS:
        raise UsageError(
            f"browsers open no page at the port {port}: give another with --port, or leave it out for any that is free",
            subject=port,
        )
    if port:
        try:
            return _bound(port), port != kept
        except (OSError, OverflowError) as error:
            what = "is taken" if isinstance(error, OSError) and error.errno == errno.EADDRINUSE else "can't be had"
            raise UsageError(
                f"the port {port} {what}: give another with --port, or leave it out for any that is free", subject=port
            ) from None
    taken = False
    if kept:
        try:
            return _bound(kept), False
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
    while True:
        try:
            listener = _bound(0)
        except OSError as error:
            raise UsageError(
                f"no port can be had on {HOST} ({error.strerror}): try again later", subject=port
            ) from None
        if listener.getsockname()[1] not in UNSAFE_PORTS:
            return listener, not taken
        listener.close()


def _bound(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would share the port with whoever has it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def _kept(session: Session) -> tuple[int, str]:
    """Port and token of the last time, if nobody else could read or write them; else 0 and a new token.

    The port is 0, too, if no browser would open a page there.
    """
    path = session.run.storage.local and session.run.storage.local / _KEPT
    with suppress(OSError, ValueError, KeyError, TypeError):
        if path is not None:
            with path.open("rb") as file:
                facts = os.fstat(file.fileno())
                if hasattr(os, "getuid") and (facts.st_uid != os.getuid() or facts.st_mode & 0o077):
                    raise PermissionError
                kept = json.load(file)
            if type(kept["port"]) is int and re.fullmatch(r"[\w-]{43}", kept["token"], re.ASCII):
                usable = 0 < kept["port"] < 1 << 16 and kept["port"] not in UNSAFE_PORTS
                return kept["port"] if usable else 0, kept["token"]
    return 0, secrets.token_urlsafe(32)


def _keep(session: Session, port: int, token: str) -> None:
    """For the next time, in a local folder alone: in an object store others might read it."""
    if session.run.storage.local is None:
        return
    text = json.dumps({"port": port, "token": token})
    session.run.storage.write(_KEPT, lambda file: file.write(text.encode()), private=True)


# Who is let in


class Proof:
    """What server and page show each other that both know the token, which neither sends; see above."""

    def __init__(self, token: str, port: int) -> None:
        self.port = port
        self._token = token.encode()
        self._start = secrets.token_hex(32)
        self.key = self._mac(f"page {self._start}")

    def of(self, nonce: str) -> dict[str, str]:
        """The answer to a nonce that is _NONCE, and so can't be any other text that is made a MAC of."""
        return {"start": self._start, "proof": self._mac(f"server {self.port} {nonce} {self._start}")}

    def _mac(self, text: str) -> str:
        return hmac.new(self._token, text.encode(), "sha256").hexdigest()


class Guard:
    """Lets through what our own page asks; anything else is answered 403, 413 or 415. All answers get _HEADERS."""

    def __init__(self, app: ASGIApp, proof: Proof) -> None:
        self.app = app
        self._key = proof.key.encode()
        self._address = f"http://{HOST}:{proof.port}"
        # at port 80 browsers leave it out
        self._hosts = {f"{HOST}:{proof.port}", *([HOST] if proof.port == 80 else [])}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if scope["type"] == "http":
            refusal = self._refusal(scope)
            await (self.app if refusal is None else refusal)(scope, receive, sending)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self._hosts or len(headers.getlist("host")) > 1:
            return _problem(403, f"this server answers to {self._address} only: open the address that was printed")
        if any(origin != f"http://{host}" for origin in headers.getlist("origin")):
            return _problem(403, "another site asks")
        if scope["path"] in _PAGE and scope["method"] in ("GET", "HEAD"):
            return None  # holds no data
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return _problem(403, "another site asks")
        if scope["path"] == _PROOF and scope["method"] == "GET":
            return None
        if not secrets.compare_digest(headers.get(KEY_HEADER, "").encode(), self._key):
            return _problem(403, "the key is missing or wrong: open the whole address that the command printed")
        if scope["method"] == "POST":
            if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                return _problem(415, "not application/json")
            length = headers.get("content-length", "")
            if not length.isascii() or not length.isdigit() or int(length[:20]) > MAX_BODY:
                return _problem(413, f"more than {MAX_BODY} bytes, or nobody knows how many")
        return None


# What is asked and answered


class _BadRequest(Exception):
    """What our page would never send."""


def _application(session: Session, coder: str | None, settle: bool, proof: Proof) -> Starlette:
    """The routes. A coder who is given is the only one whose answers are taken."""

    def who(name: str) -> str:
        if coder is not None and name != coder:
            raise StaleAnswerError(f"this server takes answers of {coder} only: load the page again")
        return name

    def hello() -> Response:
        names = session.labels.classes
        return _json(
            {
                "run": session.run.name,
                "question": session.labels.question,
                "key": session.labels.question_key,
                "round": SETTLING if settle else BLIND,
                "classes": [{"name": each.name, "title": each.title} for each in names],
                "coder": coder,
                "coders": session.coders(),
            }
        )

    def turn(name: str) -> Response:
        return _turn(session.next(who(name), settle=settle))

    def store(said: dict[str, Any]) -> Response:
        return _turn(
            session.answer(
                who(_field(said, "coder", str)),
                _field(said, "picture", str),
                _field(said, "label", str),
                _field(said, "note", str),
                rows=_field(said, "rows", int),
                settle=settle,
            )
        )

    def take_back(said: dict[str, Any]) -> Response:
        return _turn(
            session.undo(
                who(_field(said, "coder", str)),
                _field(said, "picture", str),
                rows=_field(said, "rows", int),
                settle=settle,
            )
        )

    def shares(name: str) -> Response:
        found = session.shares(who(name), settle=settle)
        if found is None:
            return _json({"n": 0, "refused": "There is nothing to compute them from.", "classes": []})
        classes = zip(session.labels.class_names, found.shares, strict=False)
        return _json(
            {
                "n": found.n,
                "refused": found.refused,
                "classes": [
                    {"name": name, "value": each.value, "low": each.low, "high": each.high} for name, each in classes
                ],
            }
        )

    def picture(sha256: str) -> Response:
        try:
            return Response(session.jpeg(sha256, settle=settle), media_type="image/jpeg")
        except UsageError as error:
            return _problem(404, str(error))
        except ImageError as error:
            return _problem(422, error.reason)
        except FileNotFoundError:
            return _problem(422, "its file is gone from the run folder")
        except OSError:
            return _problem(422, "its file in the run folder can't be read")

    async def post(request: Request, answer: Callable[[dict[str, Any]], Response]) -> Response:
        try:
            said = json.loads(await request.body())
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            return _problem(400, "not an object in JSON")

        def checked() -> Response:
            if (said.get("question"), said.get("round")) != (
                session.labels.question_key,
                SETTLING if settle else BLIND,
            ):
                raise StaleAnswerError("the server asks something else now: load the page again")
            return answer(said)

        return await _in_thread(checked)

    def page(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
        content = resources.files("hashtag_photos.review").joinpath("page", name).read_bytes()

        async def answer(request: Request) -> Response:
            return Response(content, media_type=media_type)

        return answer

    async def get_proof(request: Request) -> Response:
        nonce = request.query_params.get("nonce", "")
        return (
            _json(proof.of(nonce)) if _NONCE.fullmatch(nonce) else _problem(400, "no nonce, of 64 digits 0-9 and a-f")
        )

    async def get_hello(request: Request) -> Response:
        return await _in_thread(hello)

    async def get_turn(request: Request) -> Response:
        return await _in_thread(turn, request.query_params.get("coder", ""))

    async def get_shares(request: Request) -> Response:
        return await _in_thread(shares, request.query_params.get("coder", ""))

    async def get_picture(request: Request) -> Response:
        return await _in_thread(picture, request.path_params["sha256"])

    async def post_answer(request: Request) -> Response:
        return await post(request, store)

    async def post_undo(request: Request) -> Response:
        return await post(request, take_back)

    app = Starlette(
        routes=[
            *(Route(path, page(*what)) for path, what in _PAGE.items()),
            Route(_PROOF, get_proof),
            Route("/api/hello", get_hello),
            Route("/api/turn", get_turn),
            Route("/api/shares", get_shares),
            Route("/api/picture/{sha256}", get_picture),
            Route("/api/answer", post_answer, methods=["POST"]),
            Route("/api/undo", post_undo, methods=["POST"]),
        ]
    )
    app.router.redirect_slashes = False
    return app


async def _in_thread(answer: Callable[..., Response], *values: str) -> Response:
    """An answer from a thread that nobody waits for who stops the server: neither the loop nor the interpreter.

    What it stores then is stored whole or not at all.
    """
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Response] = loop.create_future()

    def pass_on(response: Response | None, error: BaseException | None) -> None:
        if response is not None and not answered.done():
            answered.set_result(response)
        elif error is not None and not answered.done():
            answered.set_exception(error)

    def work() -> None:
        response, failure = None, None
        try:
            response = _answered(answer, *values)
        except BaseException as error:  # noqa: BLE001  it is raised there, where it is waited for
            failure = error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(pass_on, response, failure)

    Thread(target=work, daemon=True).start()
    return await answered


def _answered(answer: Callable[..., Response], *values: Any) -> Response:
    """An answer, or what went wrong: 400 and 409 are the page's matter, on 503 it asks again later."""
    try:
        return answer(*values)
    except StaleAnswerError as error:
        return _problem(409, str(error))
    except (UsageError, _BadRequest) as error:
        return _problem(400, str(error))
    except HashtagPhotosError as error:
        return _problem(503, str(error))


def _field(said: dict[str, Any], name: str, kind: type) -> Any:
    value = said.get(name)
    if type(value) is not kind:
        raise _BadRequest(f"{name} is missing, or no {kind.__name__}")
    return value


def _turn(turn: Turn) -> Response:
    return _json(asdict(turn))


def _problem(status: int, problem: str) -> Response:
    return _json({"problem": problem}, status)


def _json(value: Any, status: int = 200) -> Response:
    # ASCII: a note can hold half a letter, which no UTF-8 can
    return Response(json.dumps(value), status, media_type="application/json")
