"""Rows about orders per second: one by one and batched, from the first byte to the last completed order.

An accepted order is not a completed one: the rate counts completed orders, and the time runs until none is open.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchlib import load
from benchlib.table import Row, median, spread, verdict
from benchlib.wire import Refused, no_wait, refusal

TARGETS = {"asyncio": 0.7, "multithreading": 0.6, "multiprocessing": 0.3}
BATCH_TARGET_PER_S = 100_000
BATCH_ORDERS = 500
BATCH_CONNECTIONS = 4
# How much slower than the other service ours may be before it counts as having become slower.
AGAINST_TARGET = 0.95
PEERS = (
    "Stated peers, jobs/s end to end: Celery 5.7 + Redis 515; BullMQ 6.7 + Redis 5,451; graphile-worker 0.17 + "
    "Postgres 2,121 as installed, 14,040 with local queue and batched completion."
)


@dataclass
class Completed:
    per_s: float
    accepted: int
    refused: int
    tail_ms: float
    # Of the service's own process, its children not counted: a cook's share of a busy machine changes it less than the rate.
    cpu_us: float


def _measure(
    bench, path: str, order: dict, body: object, seconds: int, connections: int, start: Callable | None = None
) -> Completed:
    with (start or bench.service)() as service:
        client = service.client()
        # The house starts its pools at first use; that is not what is measured here.
        client.cook(order)
        before, cpu_before = client.settled(), service.cpu_s()
        answered = load.post(service, path, body, seconds, connections)
        after = client.settled()
        tail_s, cpu_s = time.monotonic() - answered.ended_at, service.cpu_s() - cpu_before
    accepted = after["accepted"] - before["accepted"]
    succeeded = after["succeeded"] - before["succeeded"]
    if succeeded != accepted or accepted == 0:
        raise Refused(f"{accepted} orders accepted, {succeeded} succeeded: {after}")
    per_s = succeeded / (answered.duration_s + tail_s)
    return Completed(per_s, accepted, answered.refused, tail_s * 1_000, cpu_s / succeeded * 1e6)


def _floor(bench, seconds: int) -> float:
    with bench.floor() as floor:
        return load.post(floor, "/orders", no_wait("asyncio"), seconds).per_s


def _sizes(bench) -> str:
    """The two answers must weigh about the same, else the floor is not one."""
    sizes = []
    for server in (bench.service(), bench.floor()):
        with server:
            client = server.client()
            client.connection.request(
                "POST", "/orders", json.dumps(no_wait("asyncio")), {"content-type": "application/json"}
            )
            sizes.append(len(client.connection.getresponse().read()))
    return f"Answer bodies: ours {sizes[0]:,} B, the floor's {sizes[1]:,} B."


def orders(bench) -> Iterator[Row]:
    seconds = 2 if bench.quick else 3
    contenders = {
        model: (
            lambda model=model: _measure(bench, "/orders", no_wait(model), no_wait(model), seconds, load.CONNECTIONS)
        )
        for model in TARGETS
    }
    seen = bench.rounds({"floor": lambda: _floor(bench, seconds)} | contenders)
    floor = median(seen["floor"])
    note = (
        f" {_sizes(bench)} wrk -t1 -c{load.CONNECTIONS} shares the cores with both. "
        f"The floor's runs {spread(seen['floor'])}/s. {PEERS}"
    )
    for model, target in TARGETS.items():
        runs: list[Completed] = seen[model]
        rates = [run.per_s for run in runs]
        ours = median(rates)
        tails_ms = [run.tail_ms for run in runs]
        yield Row(
            f"no-wait orders one by one, {model}",
            f"{ours:,.0f}/s",
            f"bare axum floor {floor:,.0f}/s",
            f"{ours / floor:.3f}",
            f">= {target} of the floor",
            verdict(ours >= target * floor),
            f"Runs {spread(rates)}/s; all {sum(run.accepted for run in runs):,} accepted orders succeeded, "
            f"{sum(run.refused for run in runs):,} requests refused; tail after the last request "
            f"{median(tails_ms):.1f} ms (median), {max(tails_ms):.1f} ms (worst).{note}",
        )
        note = ""


def batch(bench) -> Iterator[Row]:
    order = no_wait("asyncio")
    body = {"orders": [order] * BATCH_ORDERS}
    seconds = 2 if bench.quick else 3
    with bench.service() as service:
        status, answer = service.client().call("POST", "/orders/batch", {"orders": [order]})
    if status >= 400:
        raise refusal("POST /orders/batch", status, answer)
    runs = [_measure(bench, "/orders/batch", order, body, seconds, BATCH_CONNECTIONS) for _ in range(bench.pairs)]
    rates = [run.per_s for run in runs]
    yield Row(
        f"no-wait orders in batches of {BATCH_ORDERS}, asyncio",
        f"{median(rates):,.0f}/s",
        target=f">= {BATCH_TARGET_PER_S:,}/s",
        verdict=verdict(median(rates) >= BATCH_TARGET_PER_S),
        note=f"Runs {spread(rates)}/s over {BATCH_CONNECTIONS} connections; all {sum(run.accepted for run in runs):,} "
        f"accepted orders succeeded, {sum(run.refused for run in runs):,} batches refused; "
        f"worst tail {max(run.tail_ms for run in runs):.0f} ms.",
    )


def against(bench) -> Iterator[Row]:
    """Ours beside another service, pair by pair, the other one first every second time."""
    if bench.against is None:
        yield Row("orders beside another service", "-", target=f">= {AGAINST_TARGET}", verdict="only with --against")
        return
    seconds = 2 if bench.quick else 3
    loads = {
        f"no-wait orders one by one, {model}": ("/orders", no_wait(model), no_wait(model), load.CONNECTIONS)
        for model in TARGETS
    }
    many = {"orders": [no_wait("asyncio")] * BATCH_ORDERS}
    loads[f"in batches of {BATCH_ORDERS}, asyncio"] = ("/orders/batch", no_wait("asyncio"), many, BATCH_CONNECTIONS)
    for what, (path, order, body, connections) in loads.items():
        run = lambda start: _measure(bench, path, order, body, seconds, connections, start)  # noqa: B023, E731
        seen = bench.rounds({"ours": lambda: run(bench.service), "other": lambda: run(bench.other_service)})  # noqa: B023
        rates = {who: [one.per_s for one in runs] for who, runs in seen.items()}
        ours, other = median(rates["ours"]), median(rates["other"])
        pairs = [mine / its for mine, its in zip(rates["ours"], rates["other"], strict=True)]
        cpu = [mine.cpu_us / its.cpu_us for mine, its in zip(seen["ours"], seen["other"], strict=True)]
        yield Row(
            what,
            f"{ours:,.0f}/s",
            f"the other service {other:,.0f}/s",
            f"{ours / other:.3f}",
            f">= {AGAINST_TARGET}",
            verdict(ours >= AGAINST_TARGET * other),
            f"The ratio is of the medians of {len(pairs)} pairs; the median of the pairs' ratios is {median(pairs):.3f}. "
            f"Runs {spread(rates['ours'])}/s, the other's {spread(rates['other'])}/s. CPU of an order in the service's process, "
            f"median of the pairs' ratios {median(cpu):.3f}: {median([one.cpu_us for one in seen['ours']]):.1f} us, the "
            f"other's {median([one.cpu_us for one in seen['other']]):.1f} us.",
        )
