"""Rows about answering in time: under burning kitchens, and right after the start."""

import json
import subprocess
from collections.abc import Iterator

from benchlib import probe
from benchlib.table import Row, median, ms, percentile, spread, verdict
from benchlib.wire import no_wait, one_step

RATE_PER_S = 50
BURNERS = 64
LIVEZ_TARGET_MS = 20
POST_TARGET_MS = 50
READY_TARGET_MS = 50
# The shortest load that is sure to outlast the probes: they take count / rate, and some time to begin and to drain.
MARGIN_S = 3.0


def _probes() -> list[probe.Probe]:
    return [probe.get("livez", "/livez"), probe.post("post", "/orders", json.dumps(no_wait("asyncio")).encode())]


def _told(lags_ms: list[float], priority: bool, probes: list[probe.Probe]) -> str:
    strange = "; ".join(f"{seen.name} answered {seen.unexpected}" for seen in probes if seen.unexpected)
    how = "at real-time priority" if priority else "WITHOUT real-time priority"
    lag = f"its own lag p99 {percentile(lags_ms, 99):.2f} ms"
    told = f"{len(probes[0].latencies_ms)} each at {RATE_PER_S}/s, prober {how}, {lag}"
    return f"{told}; {strange}" if strange else told


def _idle(server, count: int) -> list[probe.Probe]:
    probes = _probes()
    probe.run(server.port, probes, RATE_PER_S, count)
    return probes


def latency(bench) -> Iterator[Row]:
    count = 200 if bench.quick else 500
    burn_s = count / RATE_PER_S + MARGIN_S
    # All together the cores are busy for burn_s; the loop burns its 64 one after another on one core.
    each_ms = int(burn_s * bench.cores * 1_000 / BURNERS)
    alone_ms = int(burn_s * 1_000 / BURNERS)
    loads = [
        ("asyncio, house loop, no assistants", "asyncio", None, alone_ms),
        (f"asyncio, own chef, {BURNERS} assistants", "asyncio", {"chef": "own", "assistants": BURNERS}, each_ms),
        (f"multithreading, {BURNERS} chefs", "multithreading", {"chefs": BURNERS}, each_ms),
        (f"multiprocessing, {BURNERS} kitchens", "multiprocessing", {"kitchens": BURNERS}, each_ms),
    ]
    with bench.service() as service:
        idle = _idle(service, count)
    with bench.floor() as floor:
        # What this machine leaves to the barest server while as many foreign threads burn.
        command = bench.twin_command("std-threads", threads=BURNERS, dishes=BURNERS, iterations=10**12)
        burner = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            disturbed = _idle(floor, count)
        finally:
            burner.kill()
            burner.wait()
    for name, model, setup, burn_ms in loads:
        with bench.service() as service:
            client = service.client()
            burning = client.place(one_step(model, BURNERS, {"kind": "cpu", "ms": burn_ms}, setup))
            probes = _probes()
            lags_ms, priority = probe.run(service.port, probes, RATE_PER_S, count)
            # A new connection: the first was idle for longer than the service keeps such open.
            client = service.client()
            state = client.get(f"/orders/{burning['id']}")
            if state["status"] != "running":
                raise RuntimeError(
                    f"{name}: the burning order was {state['status']} when the probes ended: {state.get('error')}"
                )
            client.call("POST", f"/orders/{burning['id']}/cancel")
        note = _told(lags_ms, priority, probes)
        for seen, what, target, calm, rough in zip(
            probes, ("GET /livez", "POST /orders"), (LIVEZ_TARGET_MS, POST_TARGET_MS), idle, disturbed, strict=True
        ):
            ours, base, hard = (percentile(of.latencies_ms, 99) for of in (seen, calm, rough))
            yield Row(
                f"{BURNERS} CPU steps burning, {name}: {what} p99",
                ms(ours),
                f"idle {ms(base)}; floor beside {BURNERS} foreign burning threads {ms(hard)}",
                f"{ours / hard:.2f} of the floor",
                f"<= {target} ms",
                verdict(ours <= target and not seen.unexpected),
                f"{note}; p50 {percentile(seen.latencies_ms, 50):.2f} ms, worst {max(seen.latencies_ms):.1f} ms.",
            )


def _ready_ms(server) -> float:
    with server:
        return server.ready_ms


def start(bench) -> Iterator[Row]:
    seen = bench.rounds({"ours": lambda: _ready_ms(bench.service()), "floor": lambda: _ready_ms(bench.floor())})
    ours, floor = median(seen["ours"]), median(seen["floor"])
    yield Row(
        "binary start to the first 200 of /readyz",
        ms(ours),
        f"bare axum floor {ms(floor)}",
        f"{ours / floor:.2f}",
        f"<= {READY_TARGET_MS} ms",
        verdict(ours <= READY_TARGET_MS),
        f"From before the fork to the answer; runs {spread(seen['ours'], 1)} ms.",
    )
