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
        self._given_up: GivenUpError | None = None
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
            seats.release()
        self._worked()

    def _worked(self) -> None:
        self._failures, self.worked_at, self.trouble = 0, time.monotonic(), ""

    async def _turn(self, seats: asyncio.Semaphore) -> None:
        while True:
            if self._given_up:
                raise self._given_up
            if (pause := self.opens_at - time.monotonic()) > 0:
                await asyncio.sleep(pause)
                continue
            await seats.acquire()
            if self.opens_at <= time.monotonic() and not self._given_up:
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
        if told is None and pauses >= 0:
            told = min(manners.backoff * 2 ** min(pauses, 60), _LONGEST_PAUSE) * random.uniform(0.75, 1.25)
        if told is None:
            return
        self.rests_until = max(self.rests_until, now + told)
        waits = manners.max_wait if failure.retry_after else manners.patience
        if self.rests_until - self._failing_since > waits:
            self._given_up = GivenUpError(failure, now - self._failing_since)


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

    def resting(self) -> Iterator[tuple[str, str, float]]:
        """Hosts that are waited for: host, why, for how many seconds yet."""
        now = time.monotonic()
        for host, door in self._doors.items():
            if door.trouble and door.rests_until > now:
                yield host, door.trouble, door.rests_until - now
