"""Rows about a million stored orders over each store: reads, lists, taking up, and starting again.

Orders are cooked in batches through the API, so that what is stored is what the service wrote. Nothing is copied behind
its back.
"""

import json
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchlib.table import Row, median, mib, ms, percentile, verdict
from benchlib.wire import Refused, no_wait

STORED = 1_000_000
GETS = 5_000
PAGES = 1_000
FILTERS = 20
CLAIMS = 1_000
BATCH = 500
FILLERS = 4
# Of every so many batches the ids are kept, to be drawn from.
KEPT_EVERY = 20
# A full house refuses; it has cooked some by then.
AGAIN_S = 0.05
STORES = ("memory", "SQLite", "Postgres")
READY_TARGET_MS = 3_000


@contextmanager
def _store(name: str) -> Iterator[list[str]]:
    """Arguments of a service over an empty store of this kind."""
    # Beside the clocks of the first orders, retention must not empty it while it is measured.
    kept = ["--max-ended-orders", str(2 * STORED)]
    if name == "memory":
        yield kept
        return
    directory = Path(tempfile.mkdtemp(prefix="bench-stored-"))
    try:
        if name == "SQLite":
            yield [*kept, "--store", f"sqlite:{directory}/orders.db"]
            return
        # Only who measures Postgres needs it.
        from clusterlib.postgres import Postgres

        directory.chmod(0o711)
        server = Postgres(directory / "postgres").create()
        try:
            yield [*kept, "--store", server.url()]
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@dataclass
class _Fill:
    """Batches by several clients, until that many orders have been accepted."""

    service: object
    left: int
    ids: list[str] = field(default_factory=list)
    failure: Exception | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> float:
        began = time.monotonic()
        fillers = [threading.Thread(target=self._fill) for _ in range(FILLERS)]
        for filler in fillers:
            filler.start()
        for filler in fillers:
            filler.join()
        if self.failure:
            raise self.failure
        return time.monotonic() - began

    def _fill(self) -> None:
        body = json.dumps({"orders": [no_wait("asyncio")] * BATCH}).encode()
        connection = self.service.client().connection
        sent = 0
        try:
            while True:
                with self.lock:
                    if self.left <= 0 or self.failure:
                        return
                    self.left -= BATCH
                while True:
                    connection.request("POST", "/orders/batch", body, {"content-type": "application/json"})
                    answer = connection.getresponse()
                    text = answer.read()
                    if answer.status == 202:
                        break
                    if answer.status not in (429, 503):
                        raise Refused(f"a batch was answered {answer.status}: {text[:400]!r}")
                    time.sleep(AGAIN_S)
                if sent % KEPT_EVERY == 0:
                    self.ids += [order["id"] for order in json.loads(text)["data"][::10]]
                sent += 1
        except Exception as failure:
            self.failure = failure


def _claims(client) -> list[float]:
    """How long orders wait until they run, in a house that has nothing else to do; as the service counts it."""
    order = no_wait("asyncio")
    return [client.cook(order)["timings"]["queue_ms"] for _ in range(CLAIMS)]


def _timed(client, path: str) -> tuple[float, object]:
    began = time.perf_counter()
    body = client.get(path)
    return (time.perf_counter() - began) * 1_000, body


def _pages(client) -> list[float]:
    took, path = [], "/orders?limit=100"
    while len(took) < PAGES:
        each, page = _timed(client, path)
        took.append(each)
        if not page["has_more"]:
            break
        path = f"/orders?limit=100&cursor={page['next_cursor']}"
    return took


def stored(bench) -> Iterator[Row]:
    if not bench.full:
        yield Row(
            f"{STORED:,} stored orders: GET and page p99", "-", target="<= 5 ms, <= 20 ms", verdict="only with --full"
        )
        return
    for store in STORES:
        yield from _over(bench, store)


def _over(bench, store: str) -> Iterator[Row]:
    with _store(store) as arguments:
        with bench.service(*arguments) as service:
            client = service.client()
            # Once around: pools and statements are there before the first is measured.
            client.cook(no_wait("asyncio"))
            empty = percentile(_claims(client), 99)
            fill = _Fill(service, STORED)
            took_s = fill.run()
            # That took longer than a connection may say nothing.
            client = service.client()
            stats = client.settled(600)
            drawn = random.Random(1)
            livez, get = [], []
            for _ in range(GETS):
                get.append(_timed(client, f"/orders/{drawn.choice(fill.ids)}")[0])
                livez.append(_timed(client, "/livez")[0])
            pages = _pages(client)
            # The worst case of a filter: nothing matches, so nothing ends the search early.
            filtered = [_timed(client, "/orders?limit=100&label.bench=none")[0] for _ in range(FILTERS)]
            claims = percentile(_claims(client), 99)
            rss = service.memory_bytes("VmRSS")
        ready = None
        if store != "memory":
            with bench.service(*arguments) as again:
                ready = again.ready_ms
    yield from _rows(store, stats, (livez, get, pages, filtered), (empty, claims))
    yield Row(
        f"{store}: filling it, in batches of {BATCH}",
        f"{STORED / took_s:,.0f}/s",
        note=f"{took_s:.0f} s; RSS of the service {mib(rss)}.",
    )
    if ready is not None:
        yield Row(
            f"{store}: start to ready over them",
            ms(ready),
            target="<= 3 s" if store == "SQLite" else "published",
            verdict=verdict(ready <= READY_TARGET_MS) if store == "SQLite" else "published",
        )


def _rows(store: str, stats: dict, reads: tuple, claims: tuple[float, float]) -> list[Row]:
    livez, get, pages, filtered = reads
    kept, base = stats.get("kept", stats["accepted"]), percentile(livez, 99)
    beside = f"GET /livez, same client {ms(base)}"
    empty, full = claims

    def row(what: str, took: float, target_ms: float, beside: str, base: float, note: str = "") -> Row:
        target = f"<= {target_ms:.0f} ms"
        return Row(what, ms(took), beside, f"{took / base:.2f}", target, verdict(took <= target_ms), note)

    at = f"{store}, {kept:,} stored orders"
    get_p99, page_p99 = percentile(get, 99), percentile(pages, 99)
    return [
        row(f"{at}: GET /orders/ID p99", get_p99, 5, beside, base, f"{GETS:,} drawn from ids over the whole run."),
        row(f"{at}: page of 100 p99", page_p99, 20, beside, base, f"{len(pages):,} pages along the cursor."),
        Row(
            f"{at}: a label filter that nothing matches, median of {FILTERS}",
            ms(median(filtered)),
            beside,
            f"{median(filtered) / base:.1f}",
            note="One request looks at a bounded number of orders and answers with a cursor.",
        ),
        row(
            f"{at}: claim p99", full, 5, f"the same, empty {ms(empty)}", empty,
            f"`queue_ms` of {CLAIMS:,} orders one after another: from their acceptance until they run.",
        ),
    ]  # fmt: skip
