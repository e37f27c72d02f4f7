"""A client of the benchmarks: requests over several connections, in some order, every answer read.

Owns who sends what, and when. Does not know what is measured.
"""

import contextlib
import sys
import threading
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

import orjson

from models.record import Records
from tests.bench.server import Service


def dealt(lines: Sequence[str], records: Records, connections: int) -> list[list[str]]:
    """The lines of each connection: all lines of a session (a line's first) on the same one, in order."""
    hands: list[list[str]] = [[] for _ in range(connections)]
    session = dict(zip(records.session_record.tolist()[::-1], records.session.to_list()[::-1], strict=True))
    for record, line in enumerate(records.index.tolist()):
        hands[zlib.crc32(session[record].encode()) % connections].append(lines[line])
    return hands


def bodies(lines: Sequence[str], size: int) -> list[list[str]]:
    """Lines in requests of ``size``."""
    return [list(lines[begin : begin + size]) for begin in range(0, len(lines), size)]


def send(
    service: Service, requests: Sequence[Sequence[Sequence[str]]], order: "Order | None" = None, *, wait: bool = True
) -> tuple[float, int]:
    """Post the requests of each connection, one after the other, connections side by side in some ``order``; seconds
    and verdicts (none where it does not ``wait`` for them).

    The client is charged for making bodies and for reading every verdict.
    """
    began = time.perf_counter()
    order = order or Turns(len(requests))
    order.begin()
    if len(requests) == 1:
        verdicts = _post(service, wait, order, 0, requests[0])
    else:
        with ThreadPoolExecutor(len(requests)) as pool:
            verdicts = sum(pool.map(partial(_post, service, wait, order), range(len(requests)), requests))
    return time.perf_counter() - began, verdicts


class Order(Protocol):
    """When a connection may send its next request. Each waits for that itself, and says what it did."""

    def begin(self) -> None:
        """Nothing was sent yet."""

    def wait(self, connection: int) -> None:
        """Return once this connection's next request is due."""

    def sent(self, connection: int) -> None:
        """It is on its way."""

    def answered(self, connection: int) -> None:
        """It is back."""

    def over(self, connection: int) -> None:
        """The connection has no more."""


class Turns:
    """One log in pieces: the connections send in turn, whether the ones before are answered or not."""

    def __init__(self, connections: int) -> None:
        self._connections = connections
        self._moved = threading.Condition()
        self.begin()

    def begin(self) -> None:
        self._next, self._gone = 0, set[int]()

    def wait(self, connection: int) -> None:
        with self._moved:
            self._moved.wait_for(lambda: self._next == connection)

    def sent(self, connection: int) -> None:
        with self._moved:
            self._pass_on()

    def answered(self, connection: int) -> None:
        pass

    def over(self, connection: int) -> None:
        with self._moved:
            self._gone.add(connection)
            if self._next == connection:
                self._pass_on()

    def _pass_on(self) -> None:
        for _ in range(self._connections):
            self._next = (self._next + 1) % self._connections
            if self._next not in self._gone:
                break
        self._moved.notify_all()


class Steps:
    """Logs of their own: keeps connections within so many requests of each other, as those of one log's senders are in
    time. One that runs ahead by hours of the log would end every session of the others for silence."""

    def __init__(self, connections: int, ahead: int) -> None:
        self._ahead = ahead
        self._connections = connections
        self._moved = threading.Condition()
        self.begin()

    def begin(self) -> None:
        self._answered = [0] * self._connections

    def wait(self, connection: int) -> None:
        with self._moved:
            self._moved.wait_for(lambda: self._answered[connection] <= min(self._answered) + self._ahead)

    def sent(self, connection: int) -> None:
        pass

    def answered(self, connection: int) -> None:
        with self._moved:
            self._answered[connection] += 1
            self._moved.notify_all()

    def over(self, connection: int) -> None:
        with self._moved:
            self._answered[connection] = sys.maxsize
            self._moved.notify_all()


def _post(service: Service, wait: bool, order: Order, number: int, requests: Sequence[Sequence[str]]) -> int:
    verdicts = 0
    headers = {"Content-Type": "application/json"}
    with contextlib.closing(service.connection()) as connection, contextlib.ExitStack() as ended:
        ended.callback(order.over, number)
        for lines in requests:
            body = orjson.dumps({"source": "hdfs", "lines": lines})
            path = "/ingest?verdicts=all" if wait else "/ingest?wait=false&verdicts=anomalous"
            order.wait(number)
            connection.request("POST", path, body, headers)
            order.sent(number)
            response = connection.getresponse()
            answer = response.read()
            if response.status != (200 if wait else 202):
                raise RuntimeError(f"the service answered {response.status}: {answer[:500]!r}")
            verdicts += len(orjson.loads(answer)["verdicts"]) if wait else 0
            order.answered(number)
    return verdicts
