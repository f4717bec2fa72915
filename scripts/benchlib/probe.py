"""An open-loop prober: requests leave when they are due, whatever became of the ones before.

Latency counts from the due time, so a stalled server cannot hide behind requests that were never sent. The prober asks
for real-time priority: it measures the server, not its own wait for a core. It is no load generator (tens of requests a
second).
"""

import gc
import os
import selectors
import socket
import time
from dataclasses import dataclass, field

ANSWER_DEADLINE_S = 10.0
SPARE_CONNECTIONS = 4


@dataclass
class Probe:
    """One kind of request and what came of it."""

    name: str
    request: bytes
    expected: int
    latencies_ms: list[float] = field(default_factory=list)
    unexpected: dict[int, int] = field(default_factory=dict)


def get(name: str, path: str) -> Probe:
    return Probe(name, f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode(), 200)


def post(name: str, path: str, body: bytes) -> Probe:
    kind = f"content-type: application/json\r\ncontent-length: {len(body)}"
    return Probe(name, f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{kind}\r\n\r\n".encode() + body, 202)


class _Line:
    """One connection and the request it is busy with."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.received = b""
        self.probe: Probe | None = None
        self.due = 0.0

    def begin(self, probe: Probe, due: float) -> None:
        self.probe, self.due, self.received = probe, due, b""
        # A few hundred bytes into an empty socket buffer: never partial.
        self.socket.send(probe.request)

    def answered(self) -> int | None:
        """Reads what is there; the status once the whole answer has come."""
        chunk = self.socket.recv(65_536)
        if not chunk:
            raise ConnectionError("the server closed a connection in the middle of an answer")
        self.received += chunk
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return None
        length = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        return int(head[9:12]) if len(body) >= length else None


def realtime(on: bool) -> bool:
    try:
        policy = os.SCHED_FIFO if on else os.SCHED_OTHER
        os.sched_setscheduler(0, policy, os.sched_param(1 if on else 0))
        return True
    except OSError:
        return False


def run(port: int, probes: list[Probe], rate_per_s: int, count: int) -> tuple[list[float], bool]:
    """Sends each probe `count` times at `rate_per_s`, the kinds evenly interleaved.

    Returns the prober's own lags (ms), and whether it had real-time priority.
    """
    selector = selectors.DefaultSelector()
    spare = [_Line(port) for _ in range(SPARE_CONNECTIONS * len(probes))]
    every_s = 1.0 / (rate_per_s * len(probes))
    lags_ms: list[float] = []
    sent = open_requests = 0
    total = count * len(probes)
    priority = realtime(True)
    gc.disable()
    try:
        start = time.monotonic() + 0.05
        while sent < total or open_requests:
            now = time.monotonic()
            due = start + sent * every_s
            if sent < total and now >= due:
                line = spare.pop() if spare else _Line(port)
                line.begin(probes[sent % len(probes)], due)
                selector.register(line.socket, selectors.EVENT_READ, line)
                lags_ms.append((now - due) * 1_000)
                sent, open_requests = sent + 1, open_requests + 1
                continue
            if sent == total and now > start + total * every_s + ANSWER_DEADLINE_S:
                raise TimeoutError(
                    f"{open_requests} requests unanswered {ANSWER_DEADLINE_S:.0f} s after the last was sent"
                )
            for key, _ in selector.select(max(0.0, due - now) if sent < total else 0.5):
                line = key.data
                status = line.answered()
                if status is None:
                    continue
                line.probe.latencies_ms.append((time.monotonic() - line.due) * 1_000)
                if status != line.probe.expected:
                    line.probe.unexpected[status] = line.probe.unexpected.get(status, 0) + 1
                selector.unregister(line.socket)
                spare.append(line)
                open_requests -= 1
    finally:
        gc.enable()
        if priority:
            realtime(False)
        for line in [*spare, *(key.data for key in list(selector.get_map().values()))]:
            line.socket.close()
        selector.close()
    return lags_ms, priority
