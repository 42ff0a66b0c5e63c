"""How hosts are treated, by what servers counted. Nothing here is decided by a narrow margin of time."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hashtag_photos.http import Fetched, Fetcher, FetchError, Limits, Local, fetcher, user_agent
from hashtag_photos.manners import Doors, GivenUpError, HostFailure, Manners
from hashtag_photos.records import PhotoStatus

Answer = Callable[[BaseHTTPRequestHandler, int], None]
FAST = Manners(attempts=2, backoff=0.02, patience=5, rate_per_host=10_000)
LIMITS = Limits(read_timeout=5, total_timeout=5)


@dataclass
class Visit:
    begun: float
    beside: int  # requests to the same host that were in progress when it came
    ended: float = float("inf")


@dataclass
class Host:
    answer: Answer
    visits: list[Visit] = field(default_factory=list)
    running: int = 0

    @property
    def most(self) -> int:
        """The most requests that were in progress at once."""
        return 1 + max(visit.beside for visit in self.visits)

    @property
    def seconds(self) -> float:
        """From the first request to the last."""
        return self.visits[-1].begun - self.visits[0].begun


@dataclass
class Town:
    """Many hosts on one server. A route leads from http://<name>.invalid to /<name> of it."""

    base: str = ""
    hosts: dict[str, Host] = field(default_factory=dict)
    routes: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)
    running: int = 0
    most: int = 0

    def host(self, name: str, answer: Answer, origin: str | None = None) -> Host:
        self.hosts[name] = Host(answer)
        self.routes[origin or f"http://{name}.invalid"] = f"{self.base}/{name}"
        return self.hosts[name]

    @property
    def local(self) -> Local:
        return Local(routes=self.routes)


@pytest.fixture
def town() -> Iterator[Town]:
    town = Town()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in one piece: in two, the second waits 40 ms for the first to be acknowledged

        def do_GET(self) -> None:
            host = town.hosts[self.path.split("/")[1]]
            with town.lock:
                visit = Visit(time.monotonic(), host.running)
                number = len(host.visits)
                host.visits.append(visit)
                host.running += 1
                town.running += 1
                town.most = max(town.most, town.running)
            self.ended = False
            self.visit = visit, host
            try:
                host.answer(self, number)
            except OSError:
                self.close_connection = True
            finally:
                self.end()

        def end(self) -> None:
            """Before the answer's last byte, so that who has it can't be here again sooner."""
            visit, host = self.visit
            if not self.ended:
                self.ended, visit.ended = True, time.monotonic()
                with town.lock:
                    host.running -= 1
                    town.running -= 1

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):
                super().handle()

    class Http(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

    http = Http(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    town.base = f"http://127.0.0.1:{http.server_address[1]}"
    yield town
    town.over.set()
    http.shutdown()
    http.server_close()
    thread.join()


def say(handler: Any, status: int = 200, body: bytes = b"abc", **headers: str) -> None:
    """An answer without a Date of its own."""
    handler.send_response_only(status)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end()
    handler.end_headers()
    handler.wfile.write(body)


def after(seconds: float, status: int = 200, **headers: str) -> Answer:
    """A host that always answers so."""

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        time.sleep(seconds)
        say(handler, status, **headers)

    return answer


def hang_up(handler: BaseHTTPRequestHandler, number: int) -> None:
    handler.close_connection = True


def urls(name: str, count: int) -> list[str]:
    return [f"http://{name}.invalid/{number}" for number in range(count)]


Outcome = Fetched | FetchError


def ask(
    town: Town,
    folder: Path,
    addresses: list[str],
    manners: Manners = FAST,
    limits: Limits = LIMITS,
    *,
    elsewhere: int = 1,
    hands: int = 1000,
    patience: float = 30,
) -> list[Outcome]:
    """Ask for so many at once, and wait no longer than `patience`."""
    free = asyncio.Semaphore(hands)

    async def one(fetching: Fetcher, url: str) -> Outcome:
        async with free:
            try:
                return await fetching.fetch(url)
            except FetchError as error:
                return error

    async def all_of_them() -> list[Outcome]:
        async with asyncio.timeout(patience), fetcher(folder, town.local, limits, manners, elsewhere=elsewhere) as get:
            return await asyncio.gather(*(one(get, url) for url in addresses))

    return asyncio.run(all_of_them())


def had(outcomes: list[Outcome]) -> int:
    return sum(isinstance(each, Fetched) for each in outcomes)


# --- limits ---


def test_each_host_has_its_connections_and_no_more(town: Town, tmp_path: Path) -> None:
    a, b = town.host("a", after(0.05)), town.host("b", after(0.05))
    assert had(ask(town, tmp_path, urls("a", 15) + urls("b", 15), replace(FAST, connections_per_host=3))) == 30
    assert (a.most, b.most) == (3, 3)


@pytest.mark.parametrize("connections", [1, 4])
def test_all_hosts_share_so_many_connections(town: Town, tmp_path: Path, connections: int) -> None:
    for number in range(5):
        town.host(f"h{number}", after(0.03))
    addresses = [url for number in range(5) for url in urls(f"h{number}", 5)]
    manners = replace(FAST, rate_per_host=50)  # who waits for a seat may find that another went first
    assert had(ask(town, tmp_path, addresses, manners, replace(LIMITS, connections=connections), patience=15)) == 25
    assert town.most == connections


def test_requests_to_a_host_start_no_faster_than_its_rate(town: Town, tmp_path: Path) -> None:
    a, b = town.host("a", after(0)), town.host("b", after(0))
    assert had(ask(town, tmp_path, urls("a", 13) + urls("b", 13), replace(FAST, rate_per_host=20))) == 26
    for host in (a, b):
        assert 0.45 < host.seconds < 10, "12 pauses of 1/20 s, side by side with another host's"


def test_a_host_that_rested_has_saved_nothing_up(town: Town, tmp_path: Path) -> None:
    a = town.host("a", after(0))

    async def later() -> None:
        async with fetcher(tmp_path, town.local, LIMITS, replace(FAST, rate_per_host=20)) as get:
            await get.fetch("http://a.invalid/first")
            await asyncio.sleep(0.6)
            await asyncio.gather(*map(get.fetch, urls("a", 10)))

    asyncio.run(later())
    assert a.visits[-1].begun - a.visits[1].begun > 0.3


def test_redirects_count_for_the_host_that_they_lead_to(town: Town, tmp_path: Path) -> None:
    def lead(handler: BaseHTTPRequestHandler, number: int) -> None:
        say(handler, 302, b"", Location=f"http://b.invalid/led/{number}")

    town.host("a", lead)
    b = town.host("b", after(0.02))
    manners = replace(FAST, rate_per_host=20, connections_per_host=2)
    assert had(ask(town, tmp_path, urls("a", 8) + urls("b", 8), manners)) == 16
    assert len(b.visits) == 16
    assert b.most <= 2
    assert b.seconds > 0.55, "15 pauses of 1/20 s: 8 would be 0.4"


def test_a_host_that_several_processes_may_be_led_to_is_shared_among_them(town: Town, tmp_path: Path) -> None:
    def lead(handler: BaseHTTPRequestHandler, number: int) -> None:
        time.sleep(0.03)
        say(handler, 302, b"", Location=f"http://b.invalid/led/{number}")

    a, b = town.host("a", lead), town.host("b", after(0.05))
    assert had(ask(town, tmp_path, urls("a", 12), replace(FAST, connections_per_host=6), elsewhere=3)) == 12
    assert (a.most, b.most) == (6, 2)


def test_a_host_is_one_however_it_is_spelt(town: Town, tmp_path: Path) -> None:
    origins = ["http://b\xfccher.invalid", "http://XN--BCHER-KVA.invalid", "http://xn--bcher-kva.invalid."]
    for origin in origins:
        shop = town.host("shop", after(0.02), origin)
    assert had(ask(town, tmp_path, [f"{each}/a" for each in origins] * 3, replace(FAST, connections_per_host=1))) == 9
    assert (len(shop.visits), shop.most) == (9, 1)


# --- servers that ask to wait ---

LONG_AGO = 631_152_000.0


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "stated",
    [
        {"Retry_After": "1"},
        {"Retry_After": formatdate(LONG_AGO + 1, usegmt=True), "Date": formatdate(LONG_AGO, usegmt=True)},
        {"Retry_After": "now + 2"},
    ],
    ids=["seconds", "a date by the server's clock", "a date"],
)
def test_a_host_is_left_alone_as_long_as_it_asks(
    town: Town, tmp_path: Path, status: int, stated: dict[str, str]
) -> None:
    """No request comes before; what was asked for is had all the same; another host's requests go on meanwhile."""

    def busy_once(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number:
            return say(handler)
        wait = stated["Retry_After"].replace("now + 2", formatdate(time.time() + 2, usegmt=True))
        say(handler, status, **{**stated, "Retry_After": wait})

    busy, other = town.host("busy", busy_once), town.host("other", after(0.005))
    manners = replace(FAST, attempts=1, connections_per_host=1)
    assert had(ask(town, tmp_path, urls("busy", 4) + urls("other", 20), manners)) == 24
    first, second, *_ = busy.visits
    assert second.begun - first.ended > 0.95
    assert other.visits[-1].begun < second.begun


def test_all_hands_of_a_host_wait_when_one_is_told_to(town: Town, tmp_path: Path) -> None:
    def busy(handler: BaseHTTPRequestHandler, number: int) -> None:
        time.sleep(0.1)  # all hands are in by then
        say(handler, 429 if number < 4 else 200, Retry_After="1")

    host = town.host("a", busy)
    assert had(ask(town, tmp_path, urls("a", 12), replace(FAST, attempts=1, connections_per_host=4))) == 12
    assert host.visits[4].begun - host.visits[0].ended > 0.9
    assert len(host.visits) == 16


def test_who_asks_for_too_long_a_wait_is_given_up_at_once(town: Town, tmp_path: Path) -> None:
    a = town.host("a", after(0, 429, Retry_After="7200"))
    outcomes = ask(town, tmp_path, urls("a", 30), replace(FAST, connections_per_host=2, max_wait=3600), patience=5)
    assert {each.status for each in outcomes if isinstance(each, FetchError)} == {PhotoStatus.RATE_LIMITED}
    assert len(a.visits) <= 2
    assert "7,200 s" in str(outcomes[0])


@pytest.mark.parametrize("stated", ["0", formatdate(LONG_AGO, usegmt=True)])
def test_to_be_asked_to_wait_for_no_time_is_no_invitation(town: Town, tmp_path: Path, stated: str) -> None:
    """Pauses grow and patience ends as if nothing had been said."""
    a = town.host("a", after(0, 503, Retry_After=stated))
    manners = replace(FAST, backoff=0.05, patience=1, connections_per_host=2)
    assert had(ask(town, tmp_path, urls("a", 200), manners, patience=10)) == 0
    assert len(a.visits) < 15


def test_a_wait_that_may_be_had_is_had_before_the_rest_is_given_up(town: Town, tmp_path: Path) -> None:
    """max_wait is what counts where a server says how long, and patience where it only fails."""
    town.host("a", lambda handler, number: say(handler, 503 if number == 0 else 200, Retry_After="1"))
    # one connection: an address whose 503 comes after others were served has used up its one attempt
    one = replace(FAST, connections_per_host=1, attempts=1, patience=0, max_wait=2)
    assert had(ask(town, tmp_path, urls("a", 3), one)) == 3


# --- hosts in trouble ---


def test_a_host_that_keeps_failing_is_tried_by_one_request_at_a_time(town: Town, tmp_path: Path) -> None:
    a = town.host("a", after(0.03, 503))
    ask(town, tmp_path, urls("a", 30), replace(FAST, connections_per_host=6, patience=2))
    assert a.most == 6, "until it is known to be in trouble"
    assert len(a.visits) >= 3 * 6
    assert [visit.beside for visit in a.visits[-3:]] == [0, 0, 0]


def test_pauses_between_trials_grow(town: Town, tmp_path: Path) -> None:
    a = town.host("a", after(0, 503))
    ask(town, tmp_path, urls("a", 1), replace(FAST, backoff=0.05, patience=2))
    pauses = [later.begun - earlier.ended for earlier, later in zip(a.visits, a.visits[1:], strict=False)]
    assert 3 <= len(pauses) <= 8
    assert pauses[-1] > 4 * pauses[0]


@pytest.mark.parametrize("trouble", [after(0, 503), after(0, 500), hang_up])
def test_a_host_that_only_fails_is_given_up_and_the_rest_is_not_asked(
    town: Town, tmp_path: Path, trouble: Answer
) -> None:
    dead, good = town.host("dead", trouble), town.host("good", after(0))
    manners = replace(FAST, patience=0.3, connections_per_host=2)
    outcomes = ask(town, tmp_path, urls("dead", 200) + urls("good", 50), manners)
    assert (had(outcomes[:200]), had(outcomes[200:])) == (0, 50)
    assert len(dead.visits) < 60
    assert len(good.visits) == 50
    assert "not asked" in str(outcomes[199])
    statuses = {each.status for each in outcomes[:200] if isinstance(each, FetchError)}
    assert len(statuses) == 1
    assert statuses.pop().temporary


def test_nobody_home_is_given_up_too(town: Town, tmp_path: Path) -> None:
    outcomes = ask(town, tmp_path, urls("nowhere", 50), replace(FAST, patience=0.2))
    assert {each.status for each in outcomes if isinstance(each, FetchError)} == {PhotoStatus.UNREACHABLE}


@pytest.mark.parametrize("status", [404, 410, 403, 400])
def test_what_is_gone_or_refused_is_no_trouble(town: Town, tmp_path: Path, status: int) -> None:
    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        say(handler, status if handler.path < "/a/8" else 200)

    a = town.host("a", answer)
    outcomes = ask(town, tmp_path, urls("a", 10), replace(FAST, patience=0, attempts=3, connections_per_host=1))
    assert had(outcomes) == 2
    assert len(a.visits) == 10, "nor is it asked for twice"


def test_a_host_that_recovers_loses_nothing(town: Town, tmp_path: Path) -> None:
    begun = time.monotonic()

    def recovering(handler: BaseHTTPRequestHandler, number: int) -> None:
        say(handler, 503 if time.monotonic() < begun + 1 else 200)

    a = town.host("a", recovering)
    assert had(ask(town, tmp_path, urls("a", 60), replace(FAST, patience=20))) == 60
    assert sum(visit.begun < begun + 1 for visit in a.visits) < 40


def test_a_host_that_answers_in_between_is_in_no_trouble(town: Town, tmp_path: Path) -> None:
    """Addresses that fail by themselves are given up, and nothing else with them."""

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        say(handler, 200 if handler.path[-1] in "0369" else 500)

    a = town.host("a", answer)
    manners = replace(FAST, attempts=1, patience=0, connections_per_host=1)
    assert had(ask(town, tmp_path, urls("a", 30), manners)) == 12
    assert len(a.visits) == 30


def test_a_single_address_that_fails_is_asked_for_so_many_times(town: Town, tmp_path: Path) -> None:
    a = town.host("a", after(0, 500))
    (outcome,) = ask(town, tmp_path, urls("a", 1), replace(FAST, attempts=3))
    assert isinstance(outcome, FetchError)
    assert (outcome.status, len(a.visits)) == (PhotoStatus.SERVER_ERROR, 3)


def test_an_address_for_which_alone_a_host_asks_to_wait_is_given_up(town: Town, tmp_path: Path) -> None:
    """As long as the host has time for others meanwhile, it counts as the address's own failure."""

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        time.sleep(0.005)
        say(handler, 503 if handler.path == "/a/0" else 200)

    town.host("a", answer)
    begun = time.monotonic()
    outcomes = ask(town, tmp_path, urls("a", 100), replace(FAST, attempts=3, patience=20), hands=3)
    assert had(outcomes) == 99
    assert time.monotonic() - begun < 18, "and not after 20 s of patience"


def test_hosts_that_are_waited_for_are_told(town: Town, tmp_path: Path) -> None:
    town.host("a", lambda handler, number: say(handler, 503 if number == 0 else 200, Retry_After="1"))

    async def watch() -> list[tuple[str, str, float]]:
        async with fetcher(tmp_path, town.local, LIMITS, FAST) as get:
            assert list(get.waiting()) == []
            task = asyncio.create_task(get.fetch("http://a.invalid/1"))
            await asyncio.sleep(0.4)
            told = list(get.waiting())
            await task
            assert list(get.waiting()) == []
            return told

    ((host, why, seconds),) = asyncio.run(watch())
    assert host == "a.invalid"
    assert "503" in why
    assert 0 < seconds < 1


def test_hosts_that_stall_drip_or_fail_keep_nobody_waiting(town: Town, tmp_path: Path) -> None:
    """Every other host is done while these are still at it, with all the connections it may have."""

    def drip(handler: Any, number: int) -> None:
        handler.send_response_only(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        while not town.over.wait(0.2):
            handler.wfile.write(b".")
            handler.wfile.flush()

    town.host("stalls", lambda handler, number: town.over.wait(30) and None)
    town.host("drips", drip)
    town.host("fails", after(0, 503))
    town.host("asks", after(0, 429, Retry_After="20"))
    good = [town.host(f"good{number}", after(0.02)) for number in range(8)]
    bad_ones = [url for name in ("stalls", "drips", "fails", "asks") for url in urls(name, 20)]
    limits, manners = Limits(read_timeout=10, total_timeout=10), replace(FAST, patience=60)

    async def visit() -> tuple[float, int]:
        async with fetcher(tmp_path, town.local, limits, manners) as get:
            stuck = [asyncio.create_task(get.fetch(url)) for url in bad_ones]
            await asyncio.sleep(0.3)
            begun = time.monotonic()
            await asyncio.gather(*(get.fetch(url) for number in range(8) for url in urls(f"good{number}", 30)))
            took, done = time.monotonic() - begun, sum(task.done() for task in stuck)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)
            return took, done

    took, done = asyncio.run(visit())
    assert done == 0
    assert took < 9, "a few tenths of a second, unless somebody waits for a timeout of 10"
    assert min(host.most for host in good) >= manners.connections_per_host - 2, "a slow machine misses some overlap"
    assert len(town.hosts["stalls"].visits) == len(town.hosts["drips"].visits) == manners.connections_per_host


# --- what servers are told, and what they ask for ---


def test_who_asks_says_who_it_is(town: Town, tmp_path: Path) -> None:
    told: list[str] = []

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        told.append(handler.headers["User-Agent"])
        say(handler)

    town.host("a", answer)
    ask(town, tmp_path, urls("a", 1))
    ask(town, tmp_path, urls("a", 1), replace(FAST, contact="mailto:lab@example.org"))
    assert told == [user_agent(None), user_agent("mailto:lab@example.org")]
    assert told[0].startswith("hashtag-photos/")
    assert told[1] == f"{told[0]} (+mailto:lab@example.org)"


@pytest.mark.parametrize("contact", ["", "a\r\nX-Other: b", "l\xe4b@example.org", "a\x00"])
def test_a_contact_is_plain(contact: str) -> None:
    with pytest.raises(ValueError, match="contact"):
        Manners(contact=contact)


ROBOTS = "X-Robots-Tag"


@pytest.mark.parametrize(
    ("headers", "opted_out"),
    [
        ([(ROBOTS, "noai")], True),
        ([(ROBOTS, "noimageai")], True),
        ([(ROBOTS, "NoIndex, NOAI ,nofollow")], True),
        ([(ROBOTS, "*: noai")], True),
        ([(ROBOTS, "hashtag-photos: noai")], True),
        ([(ROBOTS, "Hashtag-Photos : noindex, NoImageAI")], True),
        ([(ROBOTS, "otherbot: noindex, hashtag-photos: noai")], True),
        ([(ROBOTS, "noindex"), ("x-robots-tag", "noai")], True),
        ([(ROBOTS, "otherbot: noindex"), (ROBOTS, "noai")], True),
        ([(ROBOTS, "unavailable_after: 25 Jun 2030 15:00:00 PST, noai")], True),
        ([(ROBOTS, "unavailable_after: Wednesday, 25-Jun-30 15:00:00 UTC, noai")], True),
        ([(ROBOTS, "unavailable_after: 2030-06-25T15:00:00Z, noai")], True),
        ([(ROBOTS, "max-video-preview: -1, max-image-preview:large, max-snippet:5, noai")], True),
        ([(ROBOTS, "hashtag-photos: unavailable_after: 25 Jun 2030 15:00:00 PST, noai")], True),
        ([("TDM-Reservation", "1")], True),
        ([("tdm-reservation", " 1 ")], True),
        ([(ROBOTS, "otherbot: noai")], False),
        ([(ROBOTS, "otherbot: noindex, noai")], False),
        ([(ROBOTS, "otherbot: max-snippet: 5, noai")], False),
        ([(ROBOTS, "otherbot: unavailable_after: 25 Jun 2030 15:00:00 PST, noimageai")], False),
        ([(ROBOTS, "hashtag-photos: noindex, otherbot: noai")], False),
        ([(ROBOTS, "noindex, nofollow, noarchive, noimageindex")], False),
        ([(ROBOTS, "noaim, no ai, xnoai")], False),
        ([(ROBOTS, "")], False),
        ([("TDM-Reservation", "0")], False),
        ([("TDM-Reservation", "10")], False),
        ([], False),
    ],
)
def test_opt_outs_are_heeded_unless_the_user_says_otherwise(
    town: Town, tmp_path: Path, headers: list[tuple[str, str]], opted_out: bool
) -> None:
    def answer(handler: Any, number: int) -> None:
        handler.send_response_only(200)
        for name, value in [*headers, ("Content-Length", "3")]:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(b"abc")

    town.host("a", answer)
    (outcome,) = ask(town, tmp_path, urls("a", 1))
    if opted_out:
        assert isinstance(outcome, FetchError)
        assert (outcome.status, outcome.http_status) == (PhotoStatus.OPTED_OUT, 200)
    else:
        assert isinstance(outcome, Fetched)
    assert had(ask(town, tmp_path, urls("a", 1), replace(FAST, heed_opt_outs=False))) == 1


def test_an_opt_out_is_an_answer_and_no_trouble(town: Town, tmp_path: Path) -> None:
    a = town.host("a", after(0, X_Robots_Tag="noai"))
    outcomes = ask(town, tmp_path, urls("a", 20), replace(FAST, attempts=3, patience=0))
    assert {each.status for each in outcomes if isinstance(each, FetchError)} == {PhotoStatus.OPTED_OUT}
    assert len(a.visits) == 20


# --- doors by themselves ---


def test_a_host_may_fail_any_number_of_times() -> None:
    """Pauses double; they still are a number after a thousand failures."""

    class Busy(HostFailure):
        asked_to_wait = True
        retry_after: float | None = 1e-9

    async def knock() -> int:
        doors = Doors(Manners(rate_per_host=1e9, backoff=1e-300, patience=0), 1)
        door, failures = doors.to("a.invalid"), 0
        with suppress(GivenUpError):
            while True:
                failure = Busy("busy")
                failure.retry_after = 1e-9 if failures < 1100 else None
                with suppress(Busy):
                    async with door.visit(doors.seats):
                        raise failure
                failures += 1
        return failures

    assert asyncio.run(knock()) == 1101


def test_a_visitor_who_leaves_frees_the_door_and_the_seat() -> None:
    async def leave() -> None:
        doors = Doors(Manners(connections_per_host=1, rate_per_host=1000), 1)

        async def stay(host: str) -> None:
            async with doors.to(host).visit(doors.seats):
                await asyncio.sleep(60)

        inside = asyncio.create_task(stay("a"))
        await asyncio.sleep(0.02)
        waiting = [asyncio.create_task(stay("a")), asyncio.create_task(stay("b"))]
        await asyncio.sleep(0.02)
        for task in (*waiting, inside):
            task.cancel()
        await asyncio.gather(inside, *waiting, return_exceptions=True)
        for host in ("a", "b"):
            async with asyncio.timeout(5), doors.to(host).visit(doors.seats):
                pass

    asyncio.run(leave())


@pytest.mark.parametrize(
    "wrong",
    [
        {"connections_per_host": 0},
        {"rate_per_host": 0},
        {"rate_per_host": float("nan")},
        {"attempts": -1},
        {"patience": -1},
        {"max_wait": float("nan")},
        {"backoff": -0.1},
    ],
)
def test_manners_refuse_nonsense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Manners(**wrong)


def test_several_processes_share_what_one_may() -> None:
    shared = Manners(connections_per_host=6, rate_per_host=30).shared_by(4)
    assert (shared.connections_per_host, shared.rate_per_host) == (1, 7.5)
    assert Manners(connections_per_host=2).shared_by(5).connections_per_host == 1
