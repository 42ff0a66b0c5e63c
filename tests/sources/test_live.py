"""Searches of live servers: Mastodon, Bluesky and X, against servers of our own that speak and fail as those do."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from conftest import command
from live_servers import (
    START,
    Live,
    bluesky,
    images_embed,
    is_search,
    mastodon,
    media,
    serving,
    status,
    view,
    x,
    x_media,
    x_post,
)

import hashtag_photos as hp
from hashtag_photos.errors import SourceError, UsageError
from hashtag_photos.records import Attachment, Post
from hashtag_photos.run import Run
from hashtag_photos.sources.visit import Visit
from hashtag_photos.stages.collect import Collected, begin, collect, leave_out
from hashtag_photos.tables import POSTS

KINDS = ("mastodon", "bluesky", "x")


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BLUESKY_HANDLE", "ann.bsky.example")
    monkeypatch.setenv("BLUESKY_APP_PASSWORD", "good-app-pass")
    monkeypatch.setenv("X_BEARER_TOKEN", "good-token")
    monkeypatch.setattr("hashtag_photos.sources.x_search._PACE", 0.0)
    monkeypatch.setattr("hashtag_photos.sources.live._BACKOFF", 0.01)


def source(kind: str, live: Live, **asked: Any) -> Any:
    return hp.sources.search(f"{kind}:{live.base}", "dike", **asked)


def posts_of(found: Any) -> list[Post]:
    return [each for each in found.posts() if isinstance(each, Post)]


@contextmanager
def hundreds(kind: str, number: int = 350) -> Iterator[Live]:
    """A server with so many posts, one a minute, over several pages."""
    answers = {
        "mastodon": lambda: mastodon([status(n) for n in range(number)]),
        "bluesky": lambda: bluesky([view(n) for n in range(number)]),
        "x": lambda: x([x_post(n) for n in range(number)], page=100),
    }
    with serving(answers[kind]()) as live:
        yield live


def searches(live: Live) -> list[Any]:
    return [each for each in live.asked if is_search(each)]


def stored(run: Run) -> list[dict[str, Any]]:
    return run.dataset("posts", POSTS).to_table().to_pylist()


def now_is(moment: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """X's recent search reaches back from now."""
    monkeypatch.setattr("hashtag_photos.sources.x_search._now", lambda: moment)


# All three


@pytest.mark.parametrize("kind", KINDS)
def test_every_post_once_to_the_end(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    with hundreds(kind) as live:
        done = collect(Run(tmp_path / "run"), source(kind, live, since=START))
        assert (done.new, done.repeated, done.rejected, done.incomplete) == (350, 0, 0, ())
        rows = stored(Run(tmp_path / "run"))
        assert len({row["id"] for row in rows}) == 350
        assert sorted(row["likes"] for row in rows) == list(range(350))
        asked = len(live.asked)
        again = collect(Run(tmp_path / "run"), source(kind, live, since=START))
        assert again.skipped
        assert again.had == 350
        assert len(live.asked) == asked, "a search that came to its end is not asked again"


@pytest.mark.parametrize("kind", KINDS)
def test_a_time_is_held_here_too(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    first, end = START + timedelta(minutes=100), START + timedelta(minutes=200)
    with hundreds(kind) as live:
        found = posts_of(source(kind, live, since=first, until=end))
    assert sorted(post.likes for post in found) == list(range(100, 200))
    assert len(searches(live)) < {"mastodon": 10, "bluesky": 4, "x": 2}[kind], "it ends where the time does"


@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_is_said_and_a_higher_one_goes_on(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    with hundreds(kind) as live:
        search = source(kind, live, since=START)
        done = collect(Run(tmp_path / "run"), search, limit=120)
        assert done.new == 120
        assert [each.reason for each in done.incomplete] == ["it was asked for 120 posts, and there are more"]
        assert Run(tmp_path / "run").stages["collect"]["complete"] is False
        asked = len(live.asked)
        assert collect(Run(tmp_path / "run"), search).skipped
        assert collect(Run(tmp_path / "run"), search, limit=120).skipped
        assert len(live.asked) == asked
        done = collect(Run(tmp_path / "run"), search, limit=1000)
        assert (done.new, done.had, done.incomplete) == (230, 120, ())
        assert len({row["id"] for row in stored(Run(tmp_path / "run"))}) == 350


@pytest.mark.parametrize("kind", KINDS)
def test_a_rate_limit_is_waited_for_and_shown(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    notes: list[str] = []
    with hundreds(kind, 10) as live:
        reset = time.time() + 2
        live.limit(
            **{
                "x-rate-limit-reset": str(int(reset)),
                "ratelimit-reset": str(int(reset)),
                "X-RateLimit-Reset": datetime.fromtimestamp(reset, UTC).isoformat(),
            }
            if kind != "x"
            else {"x-rate-limit-reset": str(int(reset))}
        )
        begun = time.monotonic()
        done = collect(
            Run(tmp_path / "run"),
            source(kind, live, since=START),
            progress=lambda stage, done, total, note="": notes.append(note),
        )
        assert done.new == 10
        assert done.incomplete == ()
        assert 1.0 <= time.monotonic() - begun < 30
    assert any("too many requests (429): going on in" in note for note in notes)
    assert notes[-1] == "", "and then no longer"


@pytest.mark.parametrize("kind", KINDS)
def test_a_wait_that_is_too_long_ends_with_what_is_there(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    reset = {"Retry-After": "600", "ratelimit-reset": str(int(time.time() + 600))}
    reset |= {"X-RateLimit-Reset": datetime.fromtimestamp(time.time() + 600, UTC).isoformat()} if kind != "x" else {}
    with hundreds(kind) as live:
        plain, pages = live.answer, 0

        def two_pages(request: Any) -> Any:
            nonlocal pages
            pages += is_search(request)
            return plain(request) if pages <= 2 else (429, reset, {"error": "RateLimitExceeded", "message": "later"})

        live.answer = two_pages
        search = source(kind, live, since=START)
        done = collect(Run(tmp_path / "run"), search, max_wait=30)
        assert 0 < done.new < 350
        (incomplete,) = done.incomplete
        assert "too many requests (429); it asks to wait" in incomplete.reason
        had = done.new
        record = json.loads((tmp_path / "run/run.json").read_text())["stages"]["collect"]
        assert record["complete"] is False
        assert record["sources"][0]["reason"] == incomplete.reason
        live.answer, before = plain, len(searches(live))
        done = collect(Run(tmp_path / "run"), search)
        assert (done.new, done.had, done.incomplete) == (350 - had, had, ())
        cursor = {"mastodon": "max_id", "bluesky": "cursor", "x": "pagination_token"}[kind]
        assert cursor in searches(live)[before].values, "what is had is not asked for again"
    assert len({row["id"] for row in stored(Run(tmp_path / "run"))}) == 350


@pytest.mark.parametrize("kind", KINDS)
def test_what_goes_wrong_for_a_moment_is_asked_again(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    with hundreds(kind, 10) as live:
        live.faults.extend(["reset", (503, {}, {"error": "over capacity"}), (200, {}, b'[{"id": "1", "uri"')])
        done = collect(Run(tmp_path / "run"), source(kind, live, since=START))
    assert (done.new, done.incomplete) == (10, ())


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_goes_away_leaves_an_incomplete_run(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    with hundreds(kind) as live:
        plain, pages = live.answer, 0

        def one_page(request: Any) -> Any:
            nonlocal pages
            pages += is_search(request)
            return plain(request) if pages <= 1 else (503, {}, {"error": "gone for good"})

        live.answer = one_page
        done = collect(Run(tmp_path / "run"), source(kind, live, since=START))
    assert 0 < done.new < 350
    assert "asked 6 times" in done.incomplete[0].reason


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_not_there_leaves_nothing(kind: str, tmp_path: Path) -> None:
    with serving(lambda request: (200, {}, [])) as live:
        gone = source(kind, live)
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:\d+: no answer"):
        collect(Run(tmp_path / "run"), gone)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_that_never_ends_is_ended(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    with hundreds(kind, 5) as live:
        plain, count = live.answer, 0

        def more_and_more(request: Any) -> Any:
            nonlocal count
            count += 1
            if not is_search(request):
                return plain(request)
            if kind == "mastodon":  # older servers, and those that ignore max_id
                return 200, {"Link": f'<{live.base}{request.path}?max_id={9000 - count}>; rel="next"'}, [status(3)]
            if kind == "bluesky":
                return 200, {}, {"posts": [view(3)], "cursor": f"c{count}"}
            return 200, {}, {"data": [x_post(3)], "meta": {"next_token": f"t{count}", "result_count": 1}}

        live.answer = more_and_more
        done = collect(Run(tmp_path / "run"), source(kind, live, since=START))
    assert done.new == 1
    assert done.repeated > 10
    assert "pages in a row with nothing new" in done.incomplete[0].reason


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_that_leads_in_a_circle_is_ended(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    with hundreds(kind, 5) as live:
        plain = live.answer

        def same(request: Any) -> Any:
            if not is_search(request):
                return plain(request)
            if kind == "mastodon":
                return 200, {"Link": f'<{live.base}{request.path}?max_id=777>; rel="next"'}, [status(3)]
            if kind == "bluesky":
                return 200, {}, {"posts": [view(3)], "cursor": "777"}
            return 200, {}, {"data": [x_post(3)], "meta": {"next_token": "777", "result_count": 1}}

        live.answer = same
        done = collect(Run(tmp_path / "run"), source(kind, live, since=START))
        assert len(searches(live)) == 2
    assert done.new == 1
    assert "leads back to a page that was had" in done.incomplete[0].reason


@pytest.mark.parametrize("kind", KINDS)
def test_a_repeated_page_counts_once(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    with hundreds(kind) as live:
        plain, had = live.answer, []

        def twice(request: Any) -> Any:
            if not is_search(request):
                return plain(request)
            had.append(plain(request))
            if len(had) == 2:  # the first page's posts again, with the cursor of the second
                code, headers, body = had[1]
                if kind == "mastodon":
                    return code, headers, had[0][2]
                name = {"bluesky": "posts", "x": "data"}[kind]
                return code, headers, {**body, name: had[0][2][name]}
            return had[-1]

        live.answer = twice
        done = collect(Run(tmp_path / "run"), source(kind, live, since=START))
    page = {"mastodon": 40, "bluesky": 100, "x": 100}[kind]
    assert (done.new, done.repeated) == (350 - page, page)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_search_is_complete(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    with hundreds(kind, 0) as live:
        done = collect(Run(tmp_path / "run"), source(kind, live, since=START))
    assert (done.new, done.had, done.incomplete) == (0, 0, ())


@pytest.mark.parametrize("kind", KINDS)
def test_a_post_that_can_not_be_read_is_listed_and_the_rest_goes_on(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    good = {"mastodon": status, "bluesky": view, "x": x_post}[kind]
    key = {"mastodon": "uri", "bluesky": "uri", "x": "id"}[kind]
    broken = {**good(2), key: None, "url": None}
    server = {"mastodon": mastodon, "bluesky": bluesky, "x": x}[kind]
    posts = [good(0), good(1), good(3)]
    with serving(server(posts)) as live:
        plain = live.answer

        def with_a_broken_one(request: Any) -> Any:
            code, headers, body = plain(request)
            (body if isinstance(body, list) else body.get({"bluesky": "posts", "x": "data"}.get(kind, ""), [])).insert(
                1, broken
            )
            return code, headers, body

        live.answer = with_a_broken_one
        done = collect(Run(tmp_path / "run"), source(kind, live, since=START), limit=50)
    assert done.new == 3
    assert done.rejected >= 1
    assert f"#dike on {live.base.partition('//')[2]}" in (tmp_path / "run/rejected.csv").read_text()


def test_several_searches_feed_one_run(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with hundreds("mastodon", 50) as one, hundreds("bluesky", 30) as other:
        done = collect(run, source("mastodon", one), source("bluesky", other))
        assert (done.new, done.incomplete) == (80, ())
        assert [each["kind"] for each in run.asked["sources"]] == ["mastodon", "bluesky"]
        with hundreds("mastodon", 70) as third:  # knows the same posts, and more
            done = collect(run, source("mastodon", third))
            assert (done.new, done.had) == (20, 80)
    records = run.stages["collect"]["sources"]
    assert [each["posts"] for each in records] == [50, 30, 70]
    assert {row["source"] for row in stored(run)} == {"mastodon", "bluesky"}


def test_a_source_that_was_never_asked_leaves_the_run_incomplete(tmp_path: Path) -> None:
    """Interrupted in the first of two sources; the second is away when it goes on."""
    with hundreds("mastodon", 100) as one:
        with hundreds("bluesky", 30) as other:
            plain = one.answer

            def interrupting(request: Any) -> Any:
                if len(searches(one)) == 2:
                    raise KeyboardInterrupt
                return plain(request)

            both = [source("mastodon", one), source("bluesky", other)]
            begin(Run(tmp_path / "run"), *both)  # asked, and killed before anything was written
            one.answer = lambda request: plain(request) if len(searches(one)) < 3 else (503, {}, {"error": "x"})
            done = collect(Run(tmp_path / "run"), both[0])
            assert len(done.incomplete) == 1
            Run(tmp_path / "run").ask_also(sources=[each.asked() for each in both])
            assert summarized(Run(tmp_path / "run")) == [both[0].title, both[1].title]
            one.answer = plain
        assert collect(Run(tmp_path / "run"), both[0]).incomplete == ()
    assert Run(tmp_path / "run").stages["collect"]["complete"] is False
    leave_out(Run(tmp_path / "run"), both[1], "it is away")
    assert Run(tmp_path / "run").stages["collect"]["sources"][1]["reason"] == "it is away"
    assert summarized(Run(tmp_path / "run")) == [both[1].title]


def summarized(run: Run) -> list[str]:
    """The sources that the tally calls incomplete."""
    from hashtag_photos.stages.coverage import incomplete

    return [each.source for each in incomplete(run)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_time_that_is_not_over_is_not_complete(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with hundreds(kind, 10) as live, hundreds(kind, 15) as later:
        search = source(kind, live, since=START, until=tomorrow)
        done = collect(Run(tmp_path / "run"), search)
        assert done.new == 10
        assert "the time that is asked for was not over" in done.incomplete[0].reason
        live.answer = later.answer
        assert collect(Run(tmp_path / "run"), search).new == 5


@pytest.mark.parametrize("kind", ["bluesky", "x"])
@pytest.mark.parametrize("body", [{}, {"error": "InternalServerError"}, {"data": 5, "posts": 5, "meta": 5}, []])
def test_an_answer_that_is_no_page_is_no_end(
    kind: str, body: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    with hundreds(kind) as live:
        live.faults.append((200, {}, body))
        assert collect(Run(tmp_path / "run"), source(kind, live, since=START)).new == 350
        plain = live.answer
        live.asked.clear()
        live.answer = lambda request: plain(request) if len(searches(live)) < 2 else (200, {}, body)
        done = collect(Run(tmp_path / "other"), source(kind, live, since=START))
    assert done.new == 100
    assert "asked 6 times" in done.incomplete[0].reason


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_circle_with_new_cursors_is_ended(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    with hundreds(kind, 5) as live:
        plain, count = live.answer, 0

        def circle(request: Any) -> Any:
            nonlocal count
            if not is_search(request):
                return plain(request)
            count += 1
            n = count % 30
            if kind == "mastodon":
                return 200, {"Link": f'<{live.base}{request.path}?max_id={9000 - count}>; rel="next"'}, [status(n)]
            if kind == "bluesky":
                return 200, {}, {"posts": [view(n)], "cursor": f"c{count}"}
            return 200, {}, {"data": [x_post(n)], "meta": {"next_token": f"t{count}", "result_count": 1}}

        live.answer = circle
        done = collect(Run(tmp_path / "run"), source(kind, live, since=START))
    assert done.new == 30
    assert "pages in a row with nothing new" in done.incomplete[0].reason


@pytest.mark.parametrize("kind", ["bluesky", "x"])
def test_a_cursor_that_holds_no_more_is_replaced(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    with hundreds(kind) as live:
        search = source(kind, live, since=START)
        assert collect(Run(tmp_path / "run"), search, limit=150).new == 150
        refusal = {"error": "InvalidRequest", "title": "Invalid Request", "detail": "cursor expired"}
        live.faults.append((400, {}, refusal))
        live.asked.clear()
        done = collect(Run(tmp_path / "run"), search, limit=1000)
        assert (done.new + done.had, done.incomplete) == (350, ())
        assert len(searches(live)) < 6, "what is older than what was had is asked for, and not all again"


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_last_page_is_the_end(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    cursor = {"mastodon": "max_id", "bluesky": "cursor", "x": "pagination_token"}[kind]
    with hundreds(kind, 30) as live:
        plain = live.answer

        def one_more(request: Any) -> Any:
            if not is_search(request):
                return plain(request)
            if cursor in request.values:
                return 200, {}, {"mastodon": [], "bluesky": {"posts": []}, "x": {"meta": {"result_count": 0}}}[kind]
            code, headers, body = plain(request)
            more = {"bluesky": {"cursor": "30"}, "x": {"meta": {"result_count": 30, "next_token": "p30"}}}.get(kind)
            return code, headers, {**body, **more} if more else body

        live.answer = one_more
        done = collect(Run(tmp_path / "run"), source(kind, live, since=START))
    assert (done.new, done.incomplete) == (30, ())


def test_exactly_the_limit_is_complete(tmp_path: Path) -> None:
    with hundreds("mastodon", 80) as live:
        done = collect(Run(tmp_path / "run"), source("mastodon", live), limit=80)
    assert (done.new, done.incomplete) == (80, ())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", [408, 425, 500, 502, 520, 524, 599])
def test_troubles_of_servers_and_what_stands_before_them_are_asked_again(
    kind: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    with hundreds(kind, 3) as live:
        live.faults.append((code, {"Content-Type": "text/html"}, b"<html>busy</html>"))
        assert collect(Run(tmp_path / "run"), source(kind, live, since=START)).new == 3


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_server_says_of_waiting(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    moment = time.time() + 600
    for headers, seconds in [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": formatdate(moment, usegmt=True)}, 600),
        ({"RateLimit-Reset": str(int(moment * 1000))}, 600),
        ({"X-RateLimit-Reset": datetime.fromtimestamp(moment, UTC).isoformat()}, 600),
        ({"X-RateLimit-Reset": "nan"}, 60),
        ({"X-RateLimit-Reset": "soon", "Retry-After": "later"}, 60),
        ({}, 60),
    ]:
        with hundreds(kind, 3) as live:
            live.limit(**headers)
            waits: list[float] = []
            visit = Visit(wait=lambda seconds, why, waits=waits: waits.append(seconds))
            assert len([each for each in source(kind, live, since=START).posts(visit) if isinstance(each, Post)]) == 3
        assert waits == [pytest.approx(seconds, abs=3)], headers


def test_odd_rate_headers_on_good_answers_are_no_refusal(tmp_path: Path) -> None:
    with hundreds("mastodon", 3) as live:
        plain = live.answer
        live.answer = lambda request: (
            200,
            {"X-RateLimit-Reset": "60s", "X-RateLimit-Remaining": "x"},
            plain(request)[2],
        )
        assert collect(Run(tmp_path / "run"), source("mastodon", live)).new == 3


def test_killed_and_gone_on(tmp_path: Path) -> None:
    script = """
import sys
from hashtag_photos import Run, collect, sources
from hashtag_photos.stages import collect as stage
stage = sys.modules["hashtag_photos.stages.collect"]
stage.PART_SECONDS = 0.0
collect(Run("run"), sources.search(sys.argv[1], "dike"))
"""
    with hundreds("mastodon") as live:
        plain = live.answer
        victim: list[subprocess.Popen[bytes]] = []

        def deadly(request: Any) -> Any:
            if len(searches(live)) == 5:
                victim[0].kill()
            return plain(request)

        live.answer = deadly
        victim.append(subprocess.Popen([sys.executable, "-c", script, f"mastodon:{live.base}"], cwd=tmp_path))
        assert victim[0].wait(60) == -9
        had = len(stored(Run(tmp_path / "run")))
        assert 0 < had < 350
        record = Run(tmp_path / "run").stages["collect"]
        assert record["complete"] is False
        assert record["sources"][0]["reason"].startswith("interrupted")
        before = len(searches(live))
        done = collect(Run(tmp_path / "run"), source("mastodon", live))
        assert (done.new + done.had, done.incomplete) == (350, ())
        assert len({row["id"] for row in stored(Run(tmp_path / "run"))}) == 350
        assert "max_id" in searches(live)[before].values


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("mastodon",), "give mastodon:SERVER"),
        (("threads",), "is no place to search"),
        (("mastodon:http://social.example",), "sent by https only"),
        (("mastodon:[::1",), "is not the name of a server"),
        (("mastodon:social.example/about",), "is not the name of a server"),
        (("mastodon:ann:pw@social.example",), "is not the name of a server"),
    ],
)
def test_a_place_that_there_is_not(words: tuple[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        hp.sources.search(*words, "dike")


@pytest.mark.parametrize("hashtag", ["", "#", "two words", "a/b", "a?b", "a#b", "dike-sea"])
def test_what_is_no_hashtag(hashtag: str) -> None:
    with pytest.raises(UsageError, match="is not a hashtag"):
        hp.sources.search("bluesky", hashtag)


@pytest.mark.parametrize("hashtag", ["#dike", "ＮＹＰＤ", "größe", "日本", "n_1"])
def test_what_is_one(hashtag: str) -> None:
    assert hp.sources.search("bluesky", hashtag).title == f"#{hashtag.lstrip('#')} on bsky.social"


def test_days_are_whole_days_in_utc() -> None:
    search = hp.sources.search("bluesky", "dike", since="2014-04-22", until="2014-04-25")
    assert search.title == "#dike on bsky.social, from 2014-04-22 before 2014-04-26 UTC"
    search = hp.sources.search("bluesky", "dike", since="2014-04-22T10:00:00+02:00")
    assert search.title == "#dike on bsky.social, from 2014-04-22 08:00:00 UTC"
    for compact in ("20140425", "2014-W17-5"):
        assert hp.sources.search("bluesky", "dike", until=compact).title.endswith("before 2014-04-26 UTC")
    for impossible in ("9999-12-31", "0001-01-01T00:00:00+05:00"):
        with pytest.raises(UsageError, match="is not a day like"):
            hp.sources.search("bluesky", "dike", until=impossible)
    with pytest.raises(UsageError, match="is not before"):
        hp.sources.search("bluesky", "dike", since="2014-04-26", until="2014-04-25")
    with pytest.raises(UsageError, match="is not a day like"):
        hp.sources.search("bluesky", "dike", since="22.4.2014")


@pytest.mark.parametrize(
    ("kind", "package", "name"),
    [("mastodon", "mastodon", "mastodon-py"), ("bluesky", "atproto_client", "atproto"), ("x", "xdk", "xdk")],
)
def test_a_library_that_is_not_there_gets_the_command(
    kind: str, package: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SourceError, match=rf"install it with: pip install '{name}>="):
        hp.sources.search(f"{kind}:social.example", "dike").check()


# What Mastodon says


def test_a_status_as_a_post() -> None:
    photo, video = media(), media("video", preview_url="https://files.example/still.jpg", description=None)
    shown = status(
        1,
        media_attachments=[
            photo,
            video,
            media("audio"),
            media("gifv"),
            media(url=None, remote_url="https://r.example/a"),
        ],
        edited_at="2026-04-22T13:00:00.000Z",
        sensitive=True,
        content="<p>One<br>two &amp; <a href='#'>#dike</a></p><p>three</p>",
        poll={"id": "3"},
    )
    with serving(mastodon([shown])) as live:
        (post,) = posts_of(source("mastodon", live))
    assert post == Post(
        source="mastodon",
        id="https://social.example/users/ann/statuses/1001",
        url="https://social.example/@ann/1001",
        author="ann@social.example",
        created_at=START + timedelta(minutes=1),
        edited_at=START + timedelta(hours=1),
        text="One\ntwo & #dike\n\nthree",
        language="en",
        hashtags=("dike",),
        likes=1,
        reposts=1,
        replies=0,
        sensitive=True,
        attachments=(
            Attachment(url="https://files.example/full.jpg", alt="A dike", kind="photo", width=1200, height=900),
            Attachment(url="https://files.example/still.jpg", kind="video", width=1200, height=900),
            Attachment(url="https://files.example/small.jpg", alt="A dike", kind="gif", width=1200, height=900),
            Attachment(url="https://r.example/a", alt="A dike", kind="photo", width=1200, height=900),
        ),
        extra=post.extra,
    )
    assert post.extra is not None
    assert post.extra["visibility"] == "public"
    assert "account" not in post.extra


def test_a_boost_is_the_post_that_it_boosts() -> None:
    boost = status(9, reblog=status(2), uri="https://other.example/boosts/1")
    with serving(mastodon([status(2), boost])) as live:
        found = posts_of(source("mastodon", live))
    assert {post.id for post in found} == {"https://social.example/users/ann/statuses/1002"}


def test_pages_without_a_link_header(tmp_path: Path) -> None:
    with serving(mastodon([status(n) for n in range(95)], link=False)) as live:
        assert collect(Run(tmp_path / "run"), source("mastodon", live)).new == 95
        assert [each.values.get("max_id") for each in searches(live)] == [None, "1055", "1015", "1000"]


def test_a_page_is_one_request() -> None:
    with hundreds("mastodon", 100) as live:
        assert len(posts_of(source("mastodon", live))) == 100
        assert len(live.asked) == len(searches(live)) == 4


def test_old_boosts_do_not_end_the_search() -> None:
    old = status(3, created_at="2020-01-01T00:00:00.000Z", uri="https://o.example/3")
    boosts = [status(100 + n, reblog=old, uri=f"https://b.example/{n}") for n in range(45)]
    with serving(mastodon([*(status(n) for n in range(50)), *boosts])) as live:
        assert len(posts_of(source("mastodon", live, since=START))) == 50


def test_copies_of_pictures_on_two_servers_are_one_post(tmp_path: Path) -> None:
    copies = [[status(1, media_attachments=[media(url=f"https://{host}.example/1.jpg")])] for host in "ab"]
    with serving(mastodon(copies[0])) as one, serving(mastodon(copies[1])) as other:
        done = collect(Run(tmp_path / "run"), source("mastodon", one), source("mastodon", other))
    assert (done.new, done.rejected) == (1, 0)


def test_a_null_among_statuses_is_listed(tmp_path: Path) -> None:
    with serving(lambda request: (200, {}, [] if "max_id" in request.values else [status(1), None, status(0)])) as live:
        done = collect(Run(tmp_path / "run"), source("mastodon", live))
    assert (done.new, done.rejected) == (2, 1)


def test_what_is_rejected_is_listed_once_however_often_it_is_asked_for(tmp_path: Path) -> None:
    with serving(mastodon([*(status(n) for n in range(60)), status(60, uri=None, url=None)])) as live:
        for limit in (10, 20, 30, 1000):
            done = collect(Run(tmp_path / "run"), source("mastodon", live), limit=limit)
            assert done.rejected == 1
    assert (tmp_path / "run/rejected.csv").read_text().count("it has no uri") == 1
    assert len({row["id"] for row in stored(Run(tmp_path / "run"))}) == 60


def test_one_old_post_among_new_ones_does_not_end_the_search() -> None:
    late = status(60, created_at="2020-01-01T00:00:00.000Z")
    with serving(mastodon([*(status(n) for n in range(60)), late, *(status(n) for n in range(61, 100))])) as live:
        assert len(posts_of(source("mastodon", live, since=START))) == 99


def test_a_server_that_asks_for_a_token_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: Any) -> Any:
        if request.headers.get("authorization") != "Bearer secret-token":
            return 401, {}, {"error": "This method requires an authenticated user"}
        return mastodon([status(1)])(request)

    with serving(answer) as live:
        name = f"MASTODON_TOKEN_127_0_0_1_{live.base.rpartition(':')[2]}"
        with pytest.raises(SourceError, match=name):
            collect(Run(tmp_path / "run"), source("mastodon", live))
        assert not (tmp_path / "run").exists()
        monkeypatch.setenv("MASTODON_TOKEN_OTHER_EXAMPLE", "secret-token")
        with pytest.raises(SourceError, match=name):
            collect(Run(tmp_path / "run"), source("mastodon", live))
        Path(".env").write_text(f"{name}=secret-token\n")
        assert collect(Run(tmp_path / "run"), source("mastodon", live)).new == 1


def test_what_is_no_mastodon_server(tmp_path: Path) -> None:
    with serving(lambda request: (200, {}, {"hello": "world"})) as live, pytest.raises(SourceError, match="no list"):
        collect(Run(tmp_path / "run"), source("mastodon", live))
    with serving(lambda request: (404, {}, b"<html>")) as live, pytest.raises(SourceError, match="perhaps it isn't"):
        collect(Run(tmp_path / "run"), source("mastodon", live))


# What Bluesky says


def test_a_view_as_a_post() -> None:
    shown = view(
        1,
        embed=images_embed("A dike", ""),
        labels=[{"src": "did:plc:x", "uri": "at://x", "val": "graphic-media", "cts": "2026-04-22T12:00:00Z"}],
        record={"tags": ["storm", "Dike"], "reply": {"parent": {"uri": "at://p"}, "root": {"uri": "at://r"}}},
    )
    with serving(bluesky([shown])) as live:
        (post,) = posts_of(source("bluesky", live))
    assert post == Post(
        source="bluesky",
        id="at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/app.bsky.feed.post/3k0001",
        url="https://bsky.app/profile/did:plc:ewvi7nxzyoun6zhxrhs64oiz/post/3k0001",
        author="ann.bsky.example",
        created_at=START + timedelta(minutes=1),
        text="Post 1 #dike",
        language="en",
        hashtags=("dike", "storm"),
        likes=1,
        reposts=1,
        replies=0,
        sensitive=True,
        attachments=(
            Attachment(url="https://cdn.example/full/0.jpg", alt="A dike", kind="photo", width=1600, height=1200),
            Attachment(url="https://cdn.example/full/1.jpg", kind="photo", width=1600, height=1200),
        ),
        extra=post.extra,
    )
    assert post.extra is not None
    assert post.extra["reply_to"] == "at://p"


def test_other_embeds() -> None:
    video = {"$type": "app.bsky.embed.video#view", "cid": "c", "playlist": "https://v.example/p.m3u8"}
    quote = {"$type": "app.bsky.embed.recordWithMedia#view", "record": {}, "media": images_embed("Inside")}
    gif = {"$type": "app.bsky.embed.external#view", "external": {"uri": "https://t.example/a.gif?w=1", "title": "t"}}
    link = {"$type": "app.bsky.embed.external#view", "external": {"uri": "https://n.example/", "thumb": "https://t/x"}}
    embeds = [{**video, "thumbnail": "https://v.example/t.jpg"}, video, quote, gif, link, {"$type": "new#view"}]
    with serving(bluesky([view(n, embed=embed) for n, embed in enumerate(embeds)])) as live:
        found = sorted(posts_of(source("bluesky", live)), key=lambda post: post.likes or 0)
    assert [[(each.kind, each.url) for each in post.attachments] for post in found] == [
        [("video", "https://v.example/t.jpg")],
        [("video", "")],
        [("photo", "https://cdn.example/full/0.jpg")],
        [("gif", "https://t.example/a.gif?w=1")],
        [],
        [],
    ]


def test_what_the_server_does_not_filter_is_filtered_here(tmp_path: Path) -> None:
    no_tag = view(20, record={"facets": [], "text": "dike without a tag"})
    other = view(21, record={"facets": [], "tags": ["dikes"]})
    beside = view(22, record={"facets": [], "tags": ["DIKE"]})
    with serving(bluesky([*(view(n) for n in range(20)), no_tag, other, beside], filters=False)) as live:
        run = Run(tmp_path / "run")
        done = collect(
            run, source("bluesky", live, since=START + timedelta(minutes=5), until=START + timedelta(hours=9))
        )
    assert sorted({row["likes"] for row in stored(run)}) == [*range(5, 20), 22]
    assert "whether there are older posts it doesn't say" in done.incomplete[0].reason


def test_a_cursor_that_ends_before_the_results_do(tmp_path: Path) -> None:
    with serving(bluesky([view(n) for n in range(350)], most=150)) as live:
        done = collect(Run(tmp_path / "run"), source("bluesky", live))
    assert (done.new, done.incomplete) == (350, ())


@pytest.mark.parametrize("filters", [True, False])
def test_a_search_that_can_not_be_followed_to_its_end_is_incomplete(filters: bool, tmp_path: Path) -> None:
    """The cursor ends too soon, and either all posts are of one second or the server ignores times."""
    same = START.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    views = [view(n, **({"record": {"createdAt": same}, "indexedAt": same} if filters else {})) for n in range(350)]
    with serving(bluesky(views, filters=filters, most=150)) as live:
        done = collect(Run(tmp_path / "run"), source("bluesky", live))
    assert done.new == 150
    assert len(done.incomplete) == 1


def test_a_redirect_is_not_followed_with_a_password(tmp_path: Path) -> None:
    with (
        hundreds("bluesky") as other,
        serving(lambda request: (307, {"Location": f"{other.base}{request.path}"}, {})) as live,
    ):
        with pytest.raises(SourceError):
            collect(Run(tmp_path / "run"), source("bluesky", live))
        assert other.asked == []


@pytest.mark.parametrize(
    "session", [{}, b"<html>", {"did": "x", "handle": "y", "accessJwt": "opaque", "refreshJwt": "r"}]
)
def test_a_login_that_is_answered_with_something_else(session: Any, tmp_path: Path) -> None:
    with serving(lambda request: (200, {}, session)) as live, pytest.raises(SourceError, match=r"asked 6 times"):
        collect(Run(tmp_path / "run"), source("bluesky", live))


def test_a_search_that_is_refused_after_the_login_leaves_nothing(tmp_path: Path) -> None:
    with hundreds("bluesky") as live:
        live.faults.append((403, {}, {"error": "Forbidden", "message": "not for you"}))
        with pytest.raises(SourceError, match="not for you"):
            collect(Run(tmp_path / "run"), source("bluesky", live))
    assert not (tmp_path / "run").exists()


def test_the_same_letters_in_other_bytes_are_the_same_hashtag(tmp_path: Path) -> None:
    facets = [{"index": {"byteStart": 0, "byteEnd": 5}, "features": [{"$type": "x", "tag": "cafe\u0301"}]}]
    with serving(bluesky([view(1, record={"facets": facets})])) as live:
        assert len(posts_of(hp.sources.search(f"bluesky:{live.base}", "Caf\u00e9"))) == 1


def test_a_session_that_expires_is_begun_again(tmp_path: Path) -> None:
    with hundreds("bluesky") as live:
        plain, count = live.answer, 0

        def expiring(request: Any) -> Any:
            nonlocal count
            count += is_search(request)
            if is_search(request) and count == 2:
                return 400, {}, {"error": "ExpiredToken", "message": "Token has expired"}
            return plain(request)

        live.answer = expiring
        done = collect(Run(tmp_path / "run"), source("bluesky", live))
        assert (done.new, done.incomplete) == (350, ())
        assert [each.path for each in live.asked].count("/xrpc/com.atproto.server.createSession") == 2


def test_a_wrong_app_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLUESKY_APP_PASSWORD", "wrong-one")
    with hundreds("bluesky") as live, pytest.raises(SourceError, match="refuses BLUESKY_HANDLE") as failure:
        collect(Run(tmp_path / "run"), source("bluesky", live))
    assert "wrong-one" not in str(failure.value)
    assert not (tmp_path / "run").exists()
    monkeypatch.delenv("BLUESKY_APP_PASSWORD")
    with pytest.raises(SourceError, match="BLUESKY_APP_PASSWORD is not set"):
        collect(Run(tmp_path / "run"), hp.sources.bluesky("dike"))


# What X says


@pytest.mark.parametrize("old", [False, True])
def test_a_post_of_x(old: bool) -> None:
    posts, references, fields = (
        ("tweets", "referenced_tweets", "note_tweet") if old else (*("posts", "referenced_posts", "note_post"),)
    )
    original = x_post(1, old=old, id="77", text="RT", attachments={"media_keys": ["3_1", "7_2"]})
    original[fields] = {
        "text": "A long &lt;text&gt; #dike",
        "entities": {"hashtags": [{"tag": "dike"}, {"tag": "sea"}]},
    }
    repost = x_post(2, old=old, **{references: [{"type": "retweeted", "id": "77"}]})
    own = x_post(3, old=old, attachments={"media_keys": ["16_3", "3_lost"]})
    includes = {posts: [original], "media": [x_media("3_1"), x_media("7_2", "video"), x_media("16_3", "animated_gif")]}
    with serving(x([repost, own], includes=includes)) as live:
        second, first = posts_of(source("x", live))
    assert first == Post(
        source="x",
        id="10002",
        url="https://x.com/i/web/status/10002",
        author="ann",
        created_at=START + timedelta(minutes=2),
        text="A long <text> #dike",
        language="en",
        hashtags=("dike", "sea"),
        likes=2,
        reposts=3,
        replies=0,
        sensitive=False,
        repost_of="77",
        attachments=(
            Attachment(url="https://pics.example/3_1.jpg", alt="A dike", kind="photo", width=1200, height=800),
            Attachment(url="https://pics.example/7_2.jpg", alt="A dike", kind="video", width=1200, height=800),
        ),
        extra=first.extra,
    )
    assert [(each.kind, each.url) for each in second.attachments] == [
        ("gif", "https://pics.example/16_3.jpg"),
        (None, ""),
    ]
    assert (second.repost_of, second.reposts) == (None, 3)


def test_pictures_of_an_original_that_the_page_does_not_describe_are_looked_up() -> None:
    reposts = [x_post(n, referenced_posts=[{"type": "retweeted", "id": "77"}]) for n in range(3)]
    gone = x_post(5, referenced_posts=[{"type": "retweeted", "id": "78"}])
    original = x_post(1, id="77", attachments={"media_keys": ["3_1"]})
    looked_up = {"data": [original], "includes": {"media": [x_media("3_1")]}, "errors": [{"value": "78"}]}
    with serving(x([*reposts, gone], includes={"posts": [original]}, looked_up=looked_up)) as live:
        found = posts_of(source("x", live))
        assert [each.values["ids"] for each in live.asked if each.path == "/2/tweets"] == ["78,77"]
    assert [[each.url for each in post.attachments] for post in found] == [[], *[["https://pics.example/3_1.jpg"]] * 3]
    assert {post.repost_of for post in found} == {"77", "78"}


def test_the_full_archive_is_asked_from_the_beginning_of_time() -> None:
    with serving(x([x_post(n) for n in range(12)])) as live:
        assert len(posts_of(source("x", live))) == 12
        (asked,) = searches(live)
    assert asked.path == "/2/tweets/search/all"
    assert asked.values["start_time"] == "2006-03-21T00:00:00Z"
    assert asked.values["query"] == "#dike"
    assert asked.values["max_results"] == "500"
    assert "attachments.media_keys" in asked.values["expansions"]


def test_without_the_archive_the_recent_search_is_asked_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    posts = [x_post(n) for n in range(12)]
    with serving(x(posts, archive=False)) as live:
        done = collect(Run(tmp_path / "run"), source("x", live))
        assert [each.path.rpartition("/")[2] for each in live.asked] == ["all", "recent"]
    assert done.new == 12
    assert "may not search the archive, and the recent search has seven days" in done.incomplete[0].reason
    with serving(x(posts, archive=False)) as live, pytest.raises(SourceError, match="is older than the seven days"):
        collect(Run(tmp_path / "other"), source("x", live, until="2014-04-25"))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ((401, {}, {"title": "Unauthorized", "detail": "Unauthorized"}), "refuses X_BEARER_TOKEN"),
        ((402, {}, {"title": "CreditsDepleted", "detail": "no credits"}), r"used up \(402: no credits\)"),
        ((429, {}, {"title": "UsageCapExceeded", "detail": "Monthly product cap"}), "Monthly product cap"),
        ((400, {}, {"errors": [{"message": "bad query"}], "title": "Invalid Request"}), "answered 400"),
    ],
)
def test_refusals_of_x(fault: Any, message: str, tmp_path: Path) -> None:
    with hundreds("x") as live:
        live.faults.append(fault)
        with pytest.raises(SourceError, match=message):
            collect(Run(tmp_path / "run"), source("x", live))
    assert not (tmp_path / "run").exists()


def test_a_token_that_expires_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    with hundreds("x") as live:
        plain = live.answer
        live.answer = lambda request: plain(request) if len(live.asked) < 2 else (401, {}, {"title": "Unauthorized"})
        done = collect(Run(tmp_path / "run"), source("x", live, since=START))
        assert done.new == 100
        assert "refuses X_BEARER_TOKEN (401)" in done.incomplete[0].reason
        live.answer = plain
        assert collect(Run(tmp_path / "run"), source("x", live, since=START)).new == 250


def test_a_look_up_that_is_refused_leaves_the_pictures_missing(tmp_path: Path) -> None:
    original = x_post(1, id="77", attachments={"media_keys": ["3_1"]})
    repost = x_post(2, referenced_posts=[{"type": "retweeted", "id": "77"}])
    with serving(x([repost], includes={"posts": [original]})) as live:
        plain = live.answer
        live.answer = lambda request: (403, {}, {"title": "no"}) if request.path == "/2/tweets" else plain(request)
        (post,) = posts_of(source("x", live))
    assert [each.url for each in post.attachments] == [""]


@pytest.mark.parametrize("member", ["referenced_posts", "attachments", "entities", "public_metrics"])
def test_odd_members_cost_at_most_their_post(member: str, tmp_path: Path) -> None:
    with serving(x([x_post(1), x_post(2, **{member: 5}), x_post(3)], includes={"posts": 5, "media": [None]})) as live:
        done = collect(Run(tmp_path / "run"), source("x", live))
    assert done.new + done.rejected == 3
    assert done.new >= 2


def test_who_may_search_the_archive_later_goes_on_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(START + timedelta(days=8), monkeypatch)
    posts = [x_post(n * 60) for n in range(48)]
    with serving(x(posts[20:], archive=False)) as live:
        done = collect(Run(tmp_path / "run"), source("x", live))
        assert done.new == 28
        asked = len(live.asked)
        again = collect(Run(tmp_path / "run"), source("x", live))
        assert (again.new, len(live.asked)) == (0, asked + 1), "refused once, and nothing asked again"
        live.answer = x(posts)
        assert collect(Run(tmp_path / "run"), source("x", live)).incomplete == ()
    assert len({row["id"] for row in stored(Run(tmp_path / "run"))}) == 48


def test_a_small_limit_asks_for_small_pages(tmp_path: Path) -> None:
    with serving(x([x_post(n) for n in range(60)])) as live:
        done = collect(Run(tmp_path / "run"), source("x", live), limit=25)
        assert [each.values["max_results"] for each in searches(live)] == ["25"]
    assert done.new == 25


# Our servers speak as the public descriptions say


def test_our_answers_have_the_described_shapes() -> None:
    from atproto_client.models import get_or_create
    from atproto_client.models.app.bsky.feed.search_posts import Response
    from mastodon.return_types import MediaAttachment, Status
    from xdk.posts.models import SearchAllResponse

    page = {"posts": [view(1, embed=images_embed("a")), view(2)], "cursor": "100"}
    assert get_or_create(page, Response, strict=True).cursor == "100"
    assert set(status(1)) <= set(Status.__annotations__)
    assert set(media()) <= set(MediaAttachment.__annotations__)
    found = {"data": [x_post(1)], "includes": {"media": [x_media("3_1")], "posts": [x_post(2)]}, "meta": {}}
    assert SearchAllResponse.model_validate(found).data[0].referenced_posts is None


# Secrets


def test_no_secret_is_written_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_is(START + timedelta(hours=8), monkeypatch)
    secrets = {"BLUESKY_APP_PASSWORD": "s3cret-app-pass", "X_BEARER_TOKEN": "s3cret-bearer"}
    for name in secrets:
        monkeypatch.delenv(name)
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in secrets.items()))

    def echoing(request: Any) -> Any:  # a server that says in its refusal what it was sent
        sent = str({"authorization": request.headers.get("authorization"), **request.headers})
        return 400, {}, {"error": "BadRequest", "message": sent, "title": sent}

    with (
        serving(bluesky([view(n) for n in range(150)], password="s3cret-app-pass")) as sky,
        serving(x([x_post(n) for n in range(10)], token="s3cret-bearer")) as other,
    ):
        token = f"MASTODON_TOKEN_127_0_0_1_{other.base.rpartition(':')[2]}"
        monkeypatch.setenv(token, "s3cret-mastodon")
        done = command("collect", "run", "--hashtag", "dike", "--source", f"bluesky:{sky.base},x:{other.base}")
        assert done.returncode == 0, done.stderr
        sky.answer = other.answer = echoing
        failed = command("collect", "run2", "--hashtag", "dike", "--source", f"x:{other.base}")
        refused = command("collect", "run3", "--hashtag", "dike", "--source", f"bluesky:{sky.base}")
        third = command("collect", "run4", "--hashtag", "dike", "--source", f"mastodon:{other.base}")
        assert [failed.returncode, refused.returncode, third.returncode] == [2, 2, 2]
        sky.answer = bluesky([view(n) for n in range(350)], password="s3cret-app-pass")
        good = sky.answer
        sky.answer = lambda request: good(request) if "cursor" not in request.values else echoing(request)
        assert command("collect", "run5", "--hashtag", "dike", "--source", f"bluesky:{sky.base}").returncode == 0
        assert "it answered 400 BadRequest {'" in (tmp_path / "run5/run.json").read_text()
        assert "eyJ" not in (tmp_path / "run5/run.json").read_text()
    said = "".join(each.stdout + each.stderr for each in (done, failed, refused, third))
    assert "s3cret" not in said
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(written) > 3
    for path in written:
        assert b"s3cret" not in path.read_bytes(), path
    for row in stored(Run(tmp_path / "run")):
        assert "s3cret" not in json.dumps(row, default=str)


def test_a_file_of_secrets_in_a_run_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("X_BEARER_TOKEN")
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / ".env").write_text("X_BEARER_TOKEN=t\n")
    with pytest.raises(SourceError, match="stands in a run folder"):
        hp.sources.x("dike").check()


def test_collected_says_what_it_counts() -> None:
    assert Collected(new=1, had=2, repeated=3, rejected=4).incomplete == ()
