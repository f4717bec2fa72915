"""Rows about what is kept: memory idle, per queued and per ended order, and reading from a million stored orders."""

import random
import time
from collections.abc import Iterator

from benchlib import load
from benchlib.table import Row, median, mib, ms, percentile, verdict
from benchlib.wire import no_wait, one_step

ORDERS = 100_000
STORED = 1_000_000
IDLE_TARGET_BYTES = 20 * 1_048_576
QUEUED_TARGET_BYTES = 1_024
ENDED_TARGET_BYTES = 600

# What keeps later orders in the queue; the first that does is used.
BLOCKERS = [
    (
        "behind a lease of all 4,096 chefs",
        one_step("multithreading", 4_096, {"kind": "wait", "ms": 120_000}, {"chefs": 4_096}),
        no_wait("multithreading", setup={"chefs": 1}),
    ),
    (
        "behind a blocked house loop",
        one_step("asyncio", 1, {"kind": "blocking_wait", "ms": 120_000}),
        no_wait("asyncio"),
    ),
]


def _settle(service) -> int:
    """Resident memory once freed buffers had a moment to go."""
    time.sleep(0.5)
    return service.memory_bytes("VmRSS")


def _queued(bench) -> tuple[float, int, str]:
    told = []
    for how, blocker, order in BLOCKERS:
        # One client may hold half of the house.
        with bench.service("--max-active-orders", str(3 * ORDERS)) as service:
            client = service.client()
            status, answer = client.call("POST", "/orders", blocker)
            if status != 202:
                told.append(f"{how}: {status} {answer}")
                continue
            time.sleep(1.5)
            before = _settle(service)
            load.fill(service, order, ORDERS)
            queued = client.stats()["queued"]
            if queued >= ORDERS // 2:
                return (_settle(service) - before) / queued, queued, how
            told.append(f"{how}: only {queued} were queued")
    raise RuntimeError("no way found to keep orders queued: " + "; ".join(told))


def _ended(bench) -> tuple[float, int]:
    with bench.service() as service:
        client = service.client()
        # Once around first: pools, buffers and tables reach their working size.
        load.fill(service, no_wait("asyncio"), 1_000)
        client.settled()
        before = _settle(service)
        accepted = load.fill(service, no_wait("asyncio"), ORDERS)
        client.settled()
        return (_settle(service) - before) / accepted, accepted


def memory(bench) -> Iterator[Row]:
    idle, peak, floor = [], [], []
    for _ in range(3):
        with bench.service() as service:
            idle.append(_settle(service))
            peak.append(service.memory_bytes("VmHWM"))
        with bench.floor() as server:
            floor.append(_settle(server))
    yield Row(
        "idle RSS",
        mib(median(idle)),
        f"bare axum floor {mib(median(floor))}",
        f"{median(idle) / median(floor):.2f}",
        "<= 20 MiB",
        verdict(median(idle) <= IDLE_TARGET_BYTES),
        f"VmHWM {mib(median(peak))}.",
    )
    each, count = _ended(bench)
    yield Row(
        "memory per ended no-wait order",
        f"{each:,.0f} B",
        target=f"<= {ENDED_TARGET_BYTES} B",
        verdict=verdict(each <= ENDED_TARGET_BYTES),
        note=f"Growth of RSS over {count:,} ended asyncio orders, after a first second of them.",
    )
    each, count, how = _queued(bench)
    yield Row(
        "memory per queued no-wait order",
        f"{each:,.0f} B",
        target=f"<= {QUEUED_TARGET_BYTES:,} B",
        verdict=verdict(each <= QUEUED_TARGET_BYTES),
        note=f"Growth of RSS over {count:,} orders queued {how}.",
    )


def _timed(client, path: str) -> tuple[float, object]:
    began = time.perf_counter()
    body = client.get(path)
    return (time.perf_counter() - began) * 1_000, body


def stored(bench) -> Iterator[Row]:
    if not bench.full:
        yield Row(
            "1,000,000 stored orders: GET and page p99", "-", target="<= 5 ms, <= 20 ms", verdict="only with --full"
        )
        return
    with bench.service() as service:
        client = service.client()
        ids = []
        accepted = 0
        while accepted < STORED:
            grown = load.fill(service, no_wait("asyncio"), 1)
            if not grown:
                raise RuntimeError(f"no more orders accepted after {accepted:,}: {client.stats()}")
            accepted += grown
            ids += [client.place(no_wait("asyncio"))["id"] for _ in range(20)]
        stats = client.settled()
        drawn = random.Random(1)
        status = {key: [] for key in ("get", "page", "filter", "livez")}
        gone = 0
        for _ in range(5_000):
            began = time.perf_counter()
            code, _body = client.call("GET", f"/orders/{drawn.choice(ids)}")
            # Retention may have dropped the very first ones by now; an id it does not find is no measured read.
            if code == 200:
                status["get"].append((time.perf_counter() - began) * 1_000)
            else:
                gone += 1
            status["livez"].append(_timed(client, "/livez")[0])
        path = "/orders?limit=100"
        for _ in range(1_000):
            took, page = _timed(client, path)
            status["page"].append(took)
            if not page["has_more"]:
                break
            path = f"/orders?limit=100&cursor={page['next_cursor']}"
        # The worst case of a filter: nothing matches, so nothing ends the search early.
        status["filter"] = [_timed(client, "/orders?limit=100&label.bench=none")[0] for _ in range(20)]
        rss = service.memory_bytes("VmRSS")
    base = percentile(status["livez"], 99)
    kept = stats.get("kept", stats["accepted"])
    get, page = percentile(status["get"], 99), percentile(status["page"], 99)
    yield Row(
        f"GET /orders/ID at {kept:,} stored orders: p99",
        ms(get),
        f"GET /livez, same client {ms(base)}",
        f"{get / base:.2f}",
        "<= 5 ms",
        verdict(get <= 5),
        f"5,000 drawn from {len(ids):,} ids spread over the run, {gone} not found; stats {stats}; RSS {mib(rss)}.",
    )
    yield Row(
        f"page of 100 at {kept:,} stored orders: p99",
        ms(page),
        f"GET /livez, same client {ms(base)}",
        f"{page / base:.2f}",
        "<= 20 ms",
        verdict(page <= 20),
        f"{len(status['page']):,} pages along the cursor. A label filter that nothing matches: "
        f"median {ms(median(status['filter']))}.",
    )
