import asyncio
import hmac
import io
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from made_run import HOSTILE, LABELS, MODEL_KEY, SECRET, Page, Pages, make_run, order, stored
from PIL import Image
from starlette.responses import PlainTextResponse

from hashtag_photos.errors import UsageError
from hashtag_photos.review.server import Guard, Proof, serve
from hashtag_photos.review.session import Session
from hashtag_photos.run import Run

OPEN = ("/", "/review.css", "/review.js", "/icon.svg")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(make_run(tmp_path_factory.mktemp("made") / "run", 70).location)


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Run:
    return Run(shutil.copytree(made, tmp_path / "run"))


@pytest.fixture
def pages(run: Run) -> Iterator[Pages]:
    with Pages(run) as pages:
        yield pages


@pytest.fixture(scope="module")
def shared(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, Run]]:
    """A server that refuses everything that is asked of it, so that one is enough."""
    run = Run(shutil.copytree(made, tmp_path_factory.mktemp("shared") / "run"))
    with Pages(run) as pages:
        yield pages(), run


def said(run: Run, **changes: Any) -> dict[str, Any]:
    """An answer to the first picture, as the page sends it."""
    body = {"coder": "ann", "question": LABELS.question_key, "round": 1, "picture": order(run)[0], "rows": 0}
    return {**body, "label": "friendly", "note": "", **changes}


def every_route(run: Run) -> list[tuple[str, str, Any]]:
    return [
        ("GET", "/api/hello", None),
        ("GET", "/api/turn?coder=ann", None),
        ("GET", "/api/shares?coder=ann", None),
        ("GET", f"/api/picture/{order(run)[0]}", None),
        ("POST", "/api/answer", said(run)),
        ("POST", "/api/undo", said(run)),
        ("GET", "/api/nothing", None),
        ("GET", "/openapi.json", None),
        ("GET", "/review.js/", None),
        ("OPTIONS", "/api/answer", None),
        ("PUT", "/", said(run)),
        ("POST", "/", said(run)),
    ]


def refused(page: Page, run: Run, **headers: str | None) -> None:
    """Every route answers 403, and says nothing else."""
    for method, path, body in every_route(run):
        status, answered, content = page.ask(method, path, body, **headers)
        assert status == 403, (method, path, status)
        assert set(json.loads(content)) == {"problem"}
        assert not [name for name in answered if name.startswith("access-control-")]
    assert stored(run) == []


@pytest.mark.parametrize("key", [None, "", "x", "0" * 64, "\xe9"])
def test_without_the_key_every_route_is_refused(shared: tuple[Page, Run], key: str | None) -> None:
    refused(*shared, X_Review_Key=key)


def test_the_key_is_taken_from_its_header_alone_and_the_token_is_none(shared: tuple[Page, Run]) -> None:
    page, run = shared
    for path in (f"/api/hello?key={page.key}", f"/api/hello?x-review-key={page.key}"):
        assert page.ask("GET", path, X_Review_Key=None)[0] == 403
    refused(page, run, X_Review_Key=None, Cookie=f"key={page.key}", Authorization=f"Bearer {page.key}")
    refused(page, run, X_Review_Key=page.token)


def test_the_server_proves_to_whoever_asks_that_it_knows_the_token(shared: tuple[Page, Run]) -> None:
    page, _ = shared
    starts, proofs = set(), set()
    for nonce in ("0" * 64, "0123456789abcdef" * 4):
        status, _, content = page.ask("GET", f"/api/proof?nonce={nonce}", X_Review_Key=None)
        said = json.loads(content)
        text = f"server {page.port} {nonce} {said['start']}"
        assert (status, said["proof"]) == (200, hmac.new(page.token.encode(), text.encode(), "sha256").hexdigest())
        starts.add(said["start"])
        proofs.add(said["proof"])
    assert (len(starts), len(proofs)) == (1, 2)
    assert page.key not in proofs


@pytest.mark.parametrize("nonce", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "0" * 64 + "%0a", "page%20" + "0" * 57])
def test_nothing_but_a_nonce_is_proved(shared: tuple[Page, Run], nonce: str) -> None:
    """Or it would be a key to the server: whoever asks could have anything signed."""
    page, _ = shared
    status, _, content = page.ask("GET", f"/api/proof?nonce={nonce}", X_Review_Key=None)
    assert (status, set(json.loads(content))) == (400, {"problem"})
    assert page.ask("POST", f"/api/proof?nonce={'0' * 64}", {}, X_Review_Key=None)[0] == 403


def test_a_key_is_good_until_the_server_ends(pages: Pages) -> None:
    page = pages()
    old = page.key
    page.end(signal.SIGKILL)
    again = pages()
    assert (again.url, again.ask("GET", "/api/hello", X_Review_Key=old)[0]) == (page.url, 403)
    assert again.ask("GET", "/api/hello")[0] == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1", "http://127.0.0.1:1", "null", "http://localhost:{port}"]
)
def test_another_origin_is_refused_even_with_the_token(shared: tuple[Page, Run], origin: str) -> None:
    page, run = shared
    refused(page, run, Origin=origin.format(port=page.port))


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_what_a_browser_says_another_site_asks_is_refused(shared: tuple[Page, Run], site: str) -> None:
    page, run = shared
    refused(page, run, Sec_Fetch_Site=site)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "localhost",
        "localhost:{port}",
        "[::1]:{port}",
        "127.0.0.1:1",
        "127.0.0.1.evil.example:{port}",
    ],
)
def test_another_host_name_is_refused_the_page_itself_too(shared: tuple[Page, Run], host: str | None) -> None:
    page, run = shared
    name = host and host.format(port=page.port)
    expected = 400 if host is None else 403  # without any it is no HTTP
    for path in (*OPEN, "/api/hello", f"/api/proof?nonce={'0' * 64}"):
        assert page.ask("GET", path, Host=name)[0] == expected
    assert stored(run) == []


def test_its_own_page_is_answered(shared: tuple[Page, Run]) -> None:
    page, _ = shared
    assert page.ask("GET", "/api/hello", Origin=page.base, Sec_Fetch_Site="same-origin")[0] == 200
    refused = page.ask("GET", "/", Host=f"localhost:{page.port}")[2]
    assert page.base in json.loads(refused)["problem"], "whoever took the other name is told where to go"


@pytest.mark.parametrize(("port", "status"), [(80, 200), (8080, 403)])
def test_at_port_80_the_host_is_named_without_it(port: int, status: int) -> None:
    proof = Proof("token", port)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("ours")(scope, receive, send)

    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    headers = {"host": "127.0.0.1", "origin": "http://127.0.0.1", "x-review-key": proof.key}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/api/hello", "headers": encoded}
    asyncio.run(Guard(app, proof)(scope, None, send))  # type: ignore[arg-type]
    assert said[0]["status"] == status


def test_a_question_of_a_browser_whether_another_site_may_ask_gets_no_leave(shared: tuple[Page, Run]) -> None:
    page, _ = shared
    status, headers, _ = page.ask(
        "OPTIONS",
        "/api/answer",
        X_Review_Key=None,
        Origin="https://evil.example",
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="x-review-key, content-type",
        Access_Control_Request_Private_Network="true",
    )
    assert status == 403
    assert not [name for name in headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_what_a_form_can_send_is_refused(shared: tuple[Page, Run], content_type: str | None) -> None:
    page, run = shared
    for path in ("/api/answer", "/api/undo"):
        assert page.ask("POST", path, said(run), Content_Type=content_type)[0] == 415
    assert stored(run) == []


def test_a_body_that_is_too_large_or_of_unknown_length_is_refused(shared: tuple[Page, Run]) -> None:
    page, run = shared
    assert page.ask("POST", "/api/answer", said(run, note="x" * 70_000))[0] == 413
    chunked = {"Content_Length": None, "Transfer_Encoding": "chunked"}
    body = json.dumps(said(run)).encode()
    assert page.ask("POST", "/api/answer", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), **chunked)[0] == 413
    for length in ("99999999999999999999999", "1e3", "-1"):
        assert page.ask("POST", "/api/answer", b"", Content_Length=length)[0] in (400, 413)
    assert stored(run) == []


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"null", b"[]", b'"text"', b"[" * 30_000, b"\xff\xfe", b'{"coder": NaN}'),
    ],
)
def test_what_is_no_answer_is_refused(shared: tuple[Page, Run], body: bytes) -> None:
    page, run = shared
    assert page.ask("POST", "/api/answer", body)[0] in (400, 409)
    assert stored(run) == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"label": "unsure"}, 400),
        ({"label": ""}, 400),
        ({"label": None}, 400),
        ({"label": ["friendly"]}, 400),
        ({"coder": ""}, 400),
        ({"coder": "a\x00b"}, 400),
        ({"coder": "\ud800"}, 400),
        ({"coder": 7}, 400),
        ({"rows": "0"}, 400),
        ({"rows": True}, 400),
        ({"rows": 0.0}, 400),
        ({"rows": 1}, 409),
        ({"note": None}, 400),
        ({"note": "x" * 20_000}, 400),
        ({"picture": "0" * 64}, 409),
        ({"picture": "../../run.json"}, 409),
        ({"question": "another-12345678"}, 409),
        ({"round": 2}, 409),
        ({"round": "1"}, 409),
    ],
)
def test_an_answer_that_can_t_be_is_refused_and_not_stored(
    shared: tuple[Page, Run], changes: dict[str, Any], status: int
) -> None:
    page, run = shared
    found, _, content = page.ask("POST", "/api/answer", said(run, **changes))
    assert (found, set(json.loads(content))) == (status, {"problem"})
    assert stored(run) == []


def test_a_picture_that_is_not_drawn_is_not_labelled(shared: tuple[Page, Run]) -> None:
    page, run = shared
    table = run.read_table(f"sample/{LABELS.question_key}.parquet")
    assert table is not None
    outside = next(row["sha256"] for row in table.to_pylist() if not row["drawn"])
    assert page.ask("POST", "/api/answer", said(run, picture=outside))[0] == 409
    assert page.ask("GET", f"/api/picture/{outside}")[0] == 404
    assert stored(run) == []


@pytest.mark.parametrize(
    "path",
    [
        f"/api/picture/{'0' * 64}",
        "/api/picture/",
        "/api/picture/../../run.json",
        "/api/picture/..%2f..%2frun.json",
        "/api/picture/%2e%2e/%2e%2e/labels.csv",
        "/api/picture/%00",
        "/../review/session.py",
        "/review.js%00",
        "/page/index.html",
        "/run.json",
        "//evil.example/",
        "/api/hello/",
        "http://evil.example/api/hello",
    ],
)
def test_no_path_leads_to_another_file(shared: tuple[Page, Run], path: str) -> None:
    page, _ = shared
    assert page.ask("GET", path)[0] == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "GET"])
def test_answers_are_posted(shared: tuple[Page, Run], method: str) -> None:
    page, run = shared
    for path in ("/api/answer", "/api/undo"):
        assert page.ask(method, path, said(run))[0] == 405
    assert page.ask("POST", "/api/turn?coder=ann", said(run))[0] == 405
    assert stored(run) == []


def test_all_answers_have_the_headers_that_keep_a_page_to_itself(shared: tuple[Page, Run]) -> None:
    page, run = shared
    asked = [*((path, 200) for path in OPEN), ("/api/hello", 200), ("/api/nothing", 404), ("/api/turn?coder=", 400)]
    for path, expected in [*asked, (f"/api/picture/{order(run)[0]}", 200)]:
        status, headers, _ = page.ask("GET", path)
        assert status == expected, path
        policy = dict(each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";"))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self' blob:",
            "connect-src": "'self'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
            "base-uri": "'none'",
        }
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
        assert "set-cookie" not in headers


def test_it_listens_on_127_0_0_1_alone(shared: tuple[Page, Run]) -> None:
    page, _ = shared
    assert page.base.startswith("http://127.0.0.1:")
    for line in Path(f"/proc/{page.process.pid}/net/tcp").read_text().splitlines()[1:]:
        address, state = line.split()[1], line.split()[3]
        if state == "0A" and int(address.partition(":")[2], 16) == page.port:
            assert address.partition(":")[0] == "0100007F"
            break
    else:
        pytest.fail("it is not listed")


def test_the_page_holds_no_data_and_nothing_from_elsewhere(shared: tuple[Page, Run]) -> None:
    page, run = shared
    for path in OPEN:
        status, _, content = page.ask("GET", path, X_Review_Key=None)
        assert status == 200
        text = content.decode()
        assert not [sha256 for sha256 in order(run) if sha256 in text]
        assert page.token not in text
        assert LABELS.question not in text
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
        for forbidden in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "onclick",
            "style=",
        ):
            assert forbidden not in text


def test_the_blind_round_sends_no_prediction_stratum_text_or_file(pages: Pages, run: Run) -> None:
    table = run.read_table(f"sample/{LABELS.question_key}.parquet")
    assert table is not None
    strata = {f'"{row["stratum"]}"' for row in table.to_pylist()}
    page = pages()
    seen = b""
    for number in range(70):
        answered = page.ask("GET", "/api/turn?coder=ann")[2]
        turn = json.loads(answered)
        assert turn["dispute"] is None
        body = said(run, picture=turn["picture"], rows=turn["rows"])
        seen += answered + page.ask("POST", "/api/answer", body)[2]
        if number % 20 == 0:
            for path in ("/api/hello", f"/api/picture/{turn['picture']}"):
                seen += page.ask("GET", path)[2]
    allowed = {"picture", "rows", "note", "again", "ahead", "done", "total", "skipped", "in_all", "last", "dispute"}
    assert set(turn) == allowed
    text = seen.decode("latin-1")
    for secret in (SECRET, "secret.example", "file-", "margin", "stratum", "draw", "p_friendly", "probab", *strata):
        assert secret not in text, secret
    assert set(json.loads(page.ask("GET", "/api/hello")[2])) == {
        *("run", "question", "key", "round", "classes", "coder", "coders"),
    }


def test_pictures_are_jpegs_made_here(pages: Pages, run: Run) -> None:
    page = pages()
    sha256 = order(run)[0]
    path = next(Path(run.location).glob(f"images/*/{sha256}.jpg"))
    status, headers, content = page.ask("GET", f"/api/picture/{sha256}")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert content != path.read_bytes()
    assert Image.open(io.BytesIO(content)).size == (64, 48)
    path.write_bytes(b"<html><script>alert(1)</script>")
    status, headers, content = page.ask("GET", f"/api/picture/{sha256}")
    assert (status, headers["content-type"]) == (422, "application/json")
    assert json.loads(content)["problem"] == "a web page, not a picture"
    path.unlink()
    status, _, content = page.ask("GET", f"/api/picture/{sha256}")
    assert (status, json.loads(content)["problem"]) == (422, "its file is gone from the run folder")


def test_an_answer_is_on_the_disk_before_it_is_answered_and_comes_again_in_vain(pages: Pages, run: Run) -> None:
    page = pages()
    for _ in range(3):
        status, _, content = page.ask("POST", "/api/answer", said(run, note=HOSTILE))
        assert (status, json.loads(content)["picture"]) == (200, order(run)[1])
        assert [(row["label"], row["note"]) for row in stored(run)] == [("friendly", HOSTILE)]
    assert page.ask("POST", "/api/answer", said(run, label="neither"))[0] == 409
    page.end(signal.SIGKILL)
    again = pages()
    assert json.loads(again.ask("GET", "/api/turn?coder=ann")[2])["picture"] == order(run)[1]
    assert json.loads(again.ask("POST", "/api/undo", said(run, rows=1))[2])["picture"] == order(run)[0]
    assert [row["label"] for row in stored(run)] == ["friendly", ""]


def test_half_a_letter_in_a_note_breaks_nothing(pages: Pages, run: Run) -> None:
    page = pages()
    assert page.ask("POST", "/api/answer", said(run, note="\ud83d"))[0] == 200
    assert page.ask("POST", "/api/undo", said(run, rows=1))[0] == 200
    status, _, content = page.ask("GET", "/api/turn?coder=ann")
    assert (status, json.loads(content)["note"]) == (200, "\ud83d")


def test_a_given_coder_is_the_only_one(pages: Pages, run: Run) -> None:
    page = pages(coder="ann")
    assert json.loads(page.ask("GET", "/api/hello")[2])["coder"] == "ann"
    assert page.ask("GET", "/api/turn?coder=bob")[0] == 409
    assert page.ask("POST", "/api/answer", said(run, coder="bob"))[0] == 409
    assert page.ask("POST", "/api/answer", said(run))[0] == 200
    assert [row["coder"] for row in stored(run)] == ["ann"]


def test_what_can_t_be_stored_is_said_and_can_be_sent_again(pages: Pages, run: Run) -> None:
    page = pages()
    place = Path(run.location, "labels.csv")
    place.mkdir()
    status, _, content = page.ask("POST", "/api/answer", said(run))
    assert (status, set(json.loads(content))) == (503, {"problem"})
    place.rmdir()
    assert page.ask("POST", "/api/answer", said(run))[0] == 200
    assert len(stored(run)) == 1


def test_settling_takes_answers_of_the_second_round_alone(pages: Pages, run: Run) -> None:
    page = pages()
    for coder, label in (("ann", "friendly"), ("bob", "neither")):
        assert page.ask("POST", "/api/answer", said(run, coder=coder, label=label))[0] == 200
    settling = pages(settle=True)
    turn = json.loads(settling.ask("GET", "/api/turn?coder=ann")[2])
    assert [each["label"] for each in turn["dispute"]["answers"]] == ["friendly", "neither"]
    assert turn["dispute"]["texts"][0]["text"].startswith(SECRET)
    assert settling.ask("POST", "/api/answer", said(run))[0] == 409
    assert settling.ask("POST", "/api/answer", said(run, round=2))[0] == 200
    assert [(row["coder"], row["round"]) for row in stored(run)] == [("ann", "1"), ("bob", "1"), ("ann", "2")]
    assert settling.ask("GET", f"/api/picture/{order(run)[1]}")[0] == 404


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_though_a_connection_is_open(pages: Pages, run: Run, number: int) -> None:
    page = pages()
    with (
        socket.create_connection(("127.0.0.1", page.port)) as idle,
        socket.create_connection(("127.0.0.1", page.port)) as half,
    ):
        request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n"
        idle.sendall(f"{request}\r\n".encode())
        assert idle.recv(12) == b"HTTP/1.1 200"
        half.sendall(request.encode())
        assert page.end(number) == (0, "ended\n", "")


def test_a_signal_ends_it_while_an_answer_waits_and_the_answer_can_be_sent_again(pages: Pages, run: Run) -> None:
    page = pages()
    body = json.dumps(said(run))
    head = f"POST /api/answer HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nX-Review-Key: {page.key}\r\n"
    request = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    with (
        FileLock(Path(run.location, ".labels.lock")),  # another process stores labels, and takes its time
        socket.create_connection(("127.0.0.1", page.port)) as asking,
    ):
        asking.sendall(request.encode())
        assert page.ask("GET", "/review.js")[0] == 200  # so that the one before is being dealt with
        assert page.end() == (0, "ended\n", "")
        assert asking.recv(12) in (b"", b"HTTP/1.1 500"), "it is never told that it is stored"
    assert stored(run) == []
    assert pages().ask("POST", "/api/answer", said(run))[0] == 200
    assert len(stored(run)) == 1


def test_it_comes_back_at_the_same_address_so_that_a_page_that_is_open_goes_on(pages: Pages, run: Run) -> None:
    page = pages()
    page.end(signal.SIGKILL)
    assert pages().url == page.url
    kept = Path(run.location, ".review.json")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_two_at_once_have_ports_of_their_own(pages: Pages) -> None:
    one, other = pages(), pages()
    assert one.port != other.port
    other.end()
    one.end(signal.SIGKILL)
    assert pages().port == one.port


def test_an_address_that_others_could_read_is_not_used_again(pages: Pages, run: Run) -> None:
    page = pages()
    page.end()
    Path(run.location, ".review.json").chmod(0o644)
    assert pages().token != page.token
    for text in ("", "{}", '{"port": "x", "token": 1}', '{"port": 1, "token": "short"}', "[1]", "\x00"):
        Path(run.location, ".review.json").write_text(text)
        Path(run.location, ".review.json").chmod(0o600)
        again = pages()
        assert len(again.token) == 43
        again.end()


def test_tokens_of_runs_differ(pages: Pages, made: Path, tmp_path: Path) -> None:
    with Pages(Run(shutil.copytree(made, tmp_path / "other"))) as others:
        assert others().token != pages().token


def test_a_port_that_is_taken_or_none_is_said(run: Run) -> None:
    session = Session(run, MODEL_KEY, LABELS)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"the port {port} is taken: give another with --port"):
            serve(session, coder=None, settle=False, port=port, ready=lambda url: None)
    for port in (-1, 70_000):
        with pytest.raises(UsageError, match="can't be had"):
            serve(session, coder=None, settle=False, port=port, ready=lambda url: None)


@pytest.mark.parametrize("port", [1, 22, 6000, 6667, 10080])
def test_a_port_that_browsers_refuse_is_said(run: Run, port: int) -> None:
    session = Session(run, MODEL_KEY, LABELS)
    with pytest.raises(UsageError, match=f"browsers open no page at the port {port}: give another with --port"):
        serve(session, coder=None, settle=False, port=port, ready=lambda url: None)
    assert not Path(run.location, ".review.json").exists()


@pytest.mark.parametrize("port", [6000, 0, -1, 70_000])
def test_a_kept_port_that_can_t_be_used_is_not_used_again(pages: Pages, run: Run, port: object) -> None:
    kept = Path(run.location, ".review.json")
    storage = run.storage
    storage.write(
        kept.name, lambda file: file.write(json.dumps({"port": port, "token": "t" * 43}).encode()), private=True
    )
    page = pages()
    assert page.port > 1023
    assert (page.token, json.loads(kept.read_text())["port"]) == ("t" * 43, page.port)


def test_a_coder_who_is_known_by_another_spelling_is_told(run: Run) -> None:
    session = Session(run, MODEL_KEY, LABELS)
    session.answer("Ann", order(run)[0], "friendly", rows=0)
    with pytest.raises(UsageError, match="'ANN' is written 'Ann' in this run"):
        serve(session, coder="ANN", settle=False, port=0, ready=lambda url: None)


def test_a_port_can_be_asked_for(pages: Pages) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert pages(port=port).port == port


@pytest.mark.parametrize(("required", "outcome"), [("", "1 skipped"), ("required", "1 error")])
def test_where_the_browser_is_required_its_tests_are_not_skipped(required: str, outcome: str) -> None:
    test = f"{Path(__file__).with_name('test_page.py')}::test_a_given_name_is_not_asked"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        env={**os.environ, "CHROMIUM": "/nowhere/chromium", "HASHTAG_PHOTOS_BROWSER": required},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert outcome in ran.stdout.splitlines()[-1], ran.stdout
    assert "/nowhere/chromium" in ran.stdout or not required
