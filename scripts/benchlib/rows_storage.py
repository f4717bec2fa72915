"""Rows about memory: idle, per queued and per ended order."""

import time
from collections.abc import Iterator

from benchlib import load
from benchlib.table import Row, median, mib, verdict
from benchlib.wire import no_wait, one_step

ORDERS = 100_000
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
