"""How hosts are treated: one door for each, through which every request to it goes.

A door lets a few requests in at once and so many a second. Where a server asks to wait (429, 503, Retry-After) it stays
shut as long as asked; where one keeps failing, a single request at a time tries whether it is back, with growing pauses
between them, until patience ends. Time spent before a door costs no other host anything: the seats that all share are
taken by requests in progress alone.

It knows nothing of addresses, pictures, runs or tables.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

_PROBE_AFTER = 3  # failures in a row that make a host suspect: one may be its address's alone
_LONGEST_PAUSE = 20.0
_SLOW_SECONDS = 2.0  # a request that takes longer holds no seat from there on


@dataclass(frozen=True, kw_only=True)
class Manners:
    """How a host is treated. Times are seconds.

    connections_per_host requests at once, rate_per_host requests a second (redirects count). An address that fails for
    now is asked for `attempts` times in all, with pauses from `backoff` doubling. Where a server says how long to wait,
    that is done for max_wait in all; where it only fails, it is given up for now after `patience` without any answer.
    `contact` is put into the User-Agent, for who runs a server. Where heed_opt_outs, what a server asks machines to
    leave alone is left.
    """

    connections_per_host: int = 6  # what browsers open to a host
    rate_per_host: float = 30.0
    attempts: int = 3
    backoff: float = 0.5
    patience: float = 120.0
    max_wait: float = 3600.0
    contact: str | None = None
    heed_opt_outs: bool = True

    def __post_init__(self) -> None:
        for name in ("connections_per_host", "rate_per_host", "attempts"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0, not {getattr(self, name)}")
        for name in ("backoff", "patience", "max_wait"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be less than 0, not {getattr(self, name)}")
        if self.contact is not None and not (self.contact.isascii() and self.contact.isprintable() and self.contact):
            raise ValueError(f"contact must be an e-mail or web address in plain letters, not {self.contact!r}")

    def shared_by(self, processes: int) -> Manners:
        """Manners towards a host that several processes visit without knowing of each other."""
        return replace(
            self,
            connections_per_host=max(1, self.connections_per_host // processes),
            rate_per_host=self.rate_per_host / processes,
        )


class HostFailure(Exception):
    """What a visit raises that failed for now, maybe for the host's own sake.

    retry_after is how many seconds the host asked to wait, if it did; worked_at is when it last answered, by the
    monotonic clock.
    """

    asked_to_wait = False  # by a 429 or a 503, which are not about the address
    retry_after: float | None = None
    worked_at = 0.0


class GivenUpError(Exception):
    """The host is not asked any more in this run: `last` is how it failed."""

    def __init__(self, last: HostFailure, seconds: float) -> None:
        super().__init__(f"not asked, since its server failed for {seconds:.0f} s: {last}")
        self.last = last


class LaterError(Exception):
    """A redirect leads to a host that rests: whoever followed it had better do something else for some `seconds`, and
    then go on from `place`, its address and how many redirects led there."""

    def __init__(self, seconds: float, place: tuple[str, int]) -> None:
        super().__init__(f"{place[0]}: its host rests for {seconds:.0f} s")
        self.seconds = seconds
        self.place = place


class Door:
    """A host's door, and how the host did."""

    def __init__(self, manners: Manners) -> None:
        self._manners = manners
        self._slots = asyncio.Semaphore(manners.connections_per_host)
        self._probing = asyncio.Lock()
        self._next_at = 0.0
        self._failures = 0
        self._failing_since = 0.0
        self._counted_at = 0.0
        self.given_up: GivenUpError | None = None
        self.rests_until = 0.0
        self.worked_at = 0.0
        self.trouble = ""

    @property
    def opens_at(self) -> float:
        """When, by the monotonic clock, the next request may go."""
        return max(self._next_at, self.rests_until)

    @asynccontextmanager
    async def visit(self, seats: asyncio.Semaphore) -> AsyncIterator[None]:
        """One request: entered when it may go, with one of the `seats` that all hosts share.

        What is raised inside as a HostFailure is remembered against the host. Raises GivenUpError.
        """
        async with self._slots:
            if self._failures < _PROBE_AFTER:
                async with self._seat(seats):
                    yield
            else:
                async with self._probing, self._seat(seats):
                    yield

    @asynccontextmanager
    async def _seat(self, seats: asyncio.Semaphore) -> AsyncIterator[None]:
        await self._turn(seats)
        begun = time.monotonic()
        self._next_at = max(self._next_at, begun) + 1 / self._manners.rate_per_host
        seat = _Seat(seats)
        try:
            yield
        except HostFailure as failure:
            self._failed(failure, begun)
            failure.worked_at = self.worked_at
            raise
        except Exception:  # an answer, if not the one that was hoped for
            self._worked()
            raise
        finally:
            seat.leave()
        self._worked()

    def _worked(self) -> None:
        self._failures, self.worked_at, self.trouble = 0, time.monotonic(), ""

    async def _turn(self, seats: asyncio.Semaphore) -> None:
        while True:
            if self.given_up:
                raise self.given_up
            if (pause := self.opens_at - time.monotonic()) > 0:
                await asyncio.sleep(pause)
                continue
            await seats.acquire()
            if self.opens_at <= time.monotonic() and not self.given_up:
                return
            seats.release()  # while this waited for a seat, another request of the host went first

    def _failed(self, failure: HostFailure, begun: float) -> None:
        now, manners = time.monotonic(), self._manners
        self.trouble = str(failure)
        if begun < self._counted_at:
            return  # it went out beside one that was counted: no second sign that the host is in trouble
        self._failures, self._counted_at = self._failures + 1, now
        if self._failures == 1:
            self._failing_since = begun
        told = failure.retry_after or None  # "wait for 0 s" says nothing of when it will do better
        pauses = self._failures - (1 if failure.asked_to_wait else _PROBE_AFTER)
        if pauses >= 0:  # also where it asks for less each time, and then does no better
            told = max(
                told or 0, min(manners.backoff * 2 ** min(pauses, 60), _LONGEST_PAUSE) * random.uniform(0.75, 1.25)
            )
        if told is None:
            return
        self.rests_until = max(self.rests_until, now + told)
        waits = manners.max_wait if failure.retry_after else manners.patience
        if self.rests_until - self._failing_since > waits:
            self.given_up = GivenUpError(failure, now - self._failing_since)


class _Seat:
    """A seat that is taken, and given back when the request is over, or turns out slow: it then waits for its server,
    and takes no more than a connection."""

    def __init__(self, seats: asyncio.Semaphore) -> None:
        self._seats: asyncio.Semaphore | None = seats
        self._timer = asyncio.get_running_loop().call_later(_SLOW_SECONDS, self._give_back)

    def leave(self) -> None:
        """The request is over."""
        self._timer.cancel()
        self._give_back()

    def _give_back(self) -> None:
        seats, self._seats = self._seats, None
        if seats:
            seats.release()


class Doors:
    """The doors of all hosts, and the seats that they share."""

    def __init__(self, manners: Manners, connections: int) -> None:
        self._manners = manners
        self._doors: dict[str, Door] = {}
        self.seats = asyncio.Semaphore(connections)

    def to(self, host: str, *, processes: int = 1) -> Door:
        """The door of a host; `processes` is how many of them visit it."""
        door = self._doors.get(host)
        if door is None:
            manners = self._manners if processes == 1 else self._manners.shared_by(processes)
            door = self._doors[host] = Door(manners)
        return door

    def rests(self, host: str) -> float:
        """For how many seconds yet a host is waited for; not more than 0 if it isn't."""
        door = self._doors.get(host)
        return door.rests_until - time.monotonic() if door and not door.given_up else 0.0

    def resting(self) -> Iterator[tuple[str, str, float]]:
        """Hosts that are waited for: host, why, for how many seconds yet."""
        now = time.monotonic()
        for host, door in self._doors.items():
            if door.trouble and door.rests_until > now:
                yield host, door.trouble, door.rests_until - now
