"""Rows about waiting: a million dishes on one loop, threads, processes, and the hand-over to a warm kitchen."""

import subprocess
import sys
from collections.abc import Iterator

from benchlib.table import Row, mb, median, ms, percentile, spread, verdict
from benchlib.wire import no_wait, one_step

WAIT_MS = 1_000
WAIT = {"kind": "wait", "ms": WAIT_MS}

# As measured for the design; measured again only with --full, since it takes most of a minute.
CPYTHON_STATED = "CPython 3.11 asyncio as stated: 42 s, 1.68 GB"
CPYTHON_PROGRAM = """
import asyncio, time
async def main():
    began = time.perf_counter()
    await asyncio.gather(*(asyncio.sleep(1) for _ in range(1_000_000)))
    return time.perf_counter() - began
took_s = asyncio.run(main())
peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))
print(took_s, int(peak.split()[1]) * 1024)
"""


def _served(bench, order: dict) -> tuple[float, int, int]:
    """On a fresh server: makespan (ms), peak and idle memory (bytes)."""
    with bench.service() as service:
        idle = service.memory_bytes("VmRSS")
        ended = service.client().cooked_within_wall(order)
        if ended["timings"]["makespan_ms"] < WAIT_MS:
            raise RuntimeError(f"waits of {WAIT_MS} ms were over after {ended['timings']['makespan_ms']} ms")
        return ended["timings"]["makespan_ms"], service.memory_bytes("VmHWM"), idle


def million(bench) -> Iterator[Row]:
    dishes = 1_000_000
    seen = bench.rounds(
        {
            "ours": lambda: _served(bench, one_step("asyncio", dishes, WAIT)),
            "twin": lambda: bench.twin("tokio-sleeps", dishes=dishes, wait_ms=WAIT_MS),
        }
    )
    spans = [run[0] for run in seen["ours"]]
    twin_spans = [run["makespan_ms"] for run in seen["twin"]]
    ours, twin = median(spans), median(twin_spans)
    yield Row(
        "1,000,000 dishes of wait 1000, asyncio: makespan",
        ms(ours),
        f"tokio twin {ms(twin)}",
        f"{ours / twin:.3f}",
        "<= 1,500 ms and <= 1.10 of the twin",
        verdict(ours <= 1_500 and ours <= 1.10 * twin),
        f"Makespans {spread(spans)} ms, the twin's {spread(twin_spans)} ms. {CPYTHON_STATED}.",
    )
    peak = median([run[1] for run in seen["ours"]])
    twin_peak = median([run["peak_rss_bytes"] for run in seen["twin"]])
    yield Row(
        "the same: peak RSS",
        mb(peak),
        f"tokio twin {mb(twin_peak)}",
        f"{peak / twin_peak:.2f}",
        "<= 300 MB",
        verdict(peak <= 300e6),
        "VmHWM of the whole server process.",
    )
    per_dish = median([run[1] - run[2] for run in seen["ours"]]) / dishes
    yield Row(
        "the same: bytes per dish",
        f"{per_dish:,.0f} B",
        f"tokio twin {twin_peak / dishes:,.0f} B",
        f"{per_dish * dishes / twin_peak:.2f}",
    )
    if bench.full:
        run = subprocess.run([sys.executable, "-c", CPYTHON_PROGRAM], capture_output=True, text=True, check=True)
        took_s, peer_peak = map(float, run.stdout.split())
        yield Row(
            "the same beside CPython asyncio, measured",
            f"{ms(ours)}, {mb(peak)}",
            f"{took_s:.1f} s, {mb(peer_peak)}",
            f"{took_s * 1_000 / ours:,.0f}x faster, {peer_peak / peak:.1f}x smaller",
        )


def threads(bench) -> Iterator[Row]:
    chefs = 3_000
    seen = bench.rounds(
        {
            "ours": lambda: _served(bench, one_step("multithreading", chefs, WAIT, {"chefs": chefs}))[0],
            "twin": lambda: bench.twin("std-threads", threads=chefs, dishes=chefs, wait_ms=WAIT_MS)["makespan_ms"],
        }
    )
    ours, twin = median(seen["ours"]), median(seen["twin"])
    yield Row(
        "3,000 threads of wait 1000: makespan",
        ms(ours),
        f"std threads twin {ms(twin)}",
        f"{ours / twin:.3f}",
        "<= 1,300 ms",
        verdict(ours <= 1_300),
        f"Makespans {spread(seen['ours'])} ms, the twin's {spread(seen['twin'])} ms.",
    )


def processes(bench) -> Iterator[Row]:
    kitchens = 1_000
    seen = bench.rounds(
        {
            "ours": lambda: (
                _served(bench, one_step("multiprocessing", kitchens, WAIT, {"kitchens": "per_step"}))[0] - WAIT_MS
            ),
            "twin": lambda: (
                bench.twin("processes", kitchens=kitchens, dishes=kitchens, wait_ms=WAIT_MS)["makespan_ms"] - WAIT_MS
            ),
        }
    )
    ours, twin = median(seen["ours"]), median(seen["twin"])
    yield Row(
        "1,000 processes, per_step, wait 1000: above the waits",
        ms(ours),
        f"std processes twin {ms(twin)}",
        f"{ours / twin:.2f}",
        "<= 1,000 ms",
        verdict(ours <= 1_000),
        f"Runs {spread(seen['ours'])} ms, the twin's {spread(seen['twin'])} ms. CPython multiprocessing as stated, "
        "per process: spawn 91 ms, forkserver 34 ms, fork 1.9 ms.",
    )


def _handed_over_us(bench, count: int) -> list[float]:
    with bench.service() as service:
        client = service.client()
        for _ in range(20):
            client.cook(no_wait("multiprocessing"))
        took_us = []
        for _ in range(count):
            order = client.cook(no_wait("multiprocessing"))
            step = client.get(order["links"]["steps"])["data"][0]
            took_us.append((step["started_ms"] - step["ready_ms"]) * 1_000)
    return took_us


def handover(bench) -> Iterator[Row]:
    count = 300
    seen = bench.rounds(
        {
            "ours": lambda: _handed_over_us(bench, count),
            "twin": lambda: bench.twin("handover", rounds=count)["handover_us_p50"],
        }
    )
    ours = median([percentile(took, 50) for took in seen["ours"]])
    p99 = median([percentile(took, 99) for took in seen["ours"]])
    twin = median(seen["twin"])
    yield Row(
        "step handed to a warm kitchen: p50",
        f"{ours:.1f} us",
        f"pipe twin {twin:.1f} us",
        f"{ours / twin:.2f}",
        "<= 150 us",
        verdict(ours <= 150),
        f"`started_ms` - `ready_ms` of {count} no-wait orders a run, one after another on the house pool; "
        f"p99 {p99:.0f} us. The twin: parent's clock before the write to child's clock after the read.",
    )
