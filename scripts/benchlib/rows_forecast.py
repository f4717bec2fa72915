"""The row about forecasts: a million dishes foreseen under every model, plain and with everything an order may have."""

import time
from collections.abc import Iterator

from benchlib.table import Row, median, ms, verdict
from benchlib.wire import refusal

DISHES = 1_000_000
TARGET_MS = 1_000
CORES = 8
# A run of the simulator is the same each time; only the machine differs.
RUNS = 3

FETCH = {"name": "fetch", "work": {"kind": "wait", "ms": 20}}
CHOP = {"name": "chop", "work": {"kind": "cpu", "ms": 1}, "after": ["fetch"]}
HAND_OVER = {"name": "hand-over", "work": {"kind": "exchange", "bytes": 1_024, "messages": 1}, "after": ["fetch"]}
STOVE = {"stove": {"capacity": 4, "shared": True}}

WORK = {
    "plain": {"recipe": {"name": "plain", "steps": [FETCH, CHOP]}},
    "equipment": {"recipe": {"name": "e", "equipment": STOVE, "steps": [FETCH, CHOP | {"needs": ["stove"]}]}},
    "exchange": {"recipe": {"name": "x", "steps": [FETCH, HAND_OVER]}},
    "arrivals": {
        "recipe": {"name": "plain", "steps": [FETCH, CHOP]},
        "arrivals": {"rate_per_s": 2_000, "process": "poisson"},
    },
}
GIL = {"gil": True}
INSIDE = [("multiprocessing", {"kitchens": 8, "inside": inside}) for inside in ("asyncio", "threads")]
MODELS = [
    ("sequential", {}),
    ("asyncio", {}),
    ("asyncio", {"assistants": 8}),
    ("multithreading", {"chefs": 64}),
    ("multiprocessing", {"kitchens": 8}),
]
# What is foreseen, of whom.
CASES = {
    "plain": ("plain", MODELS),
    "gil": ("plain", [(model, setup | GIL) for model, setup in MODELS[1:] + INSIDE]),
    "inside": ("plain", INSIDE),
    "equipment": ("equipment", MODELS + INSIDE),
    "exchange": ("exchange", MODELS + INSIDE),
    "arrivals": ("arrivals", MODELS + INSIDE),
}


def _foreseen_ms(client, work: dict, model: str, setup: dict) -> float:
    entry = {"model": model} | ({"setup": setup} if setup else {})
    ask = {"work": {"dishes": DISHES, "seed": 1, **work}, "line_up": [entry], "cores": CORES}
    began = time.perf_counter()
    status, answer = client.call("POST", "/forecasts", ask)
    took = (time.perf_counter() - began) * 1_000
    if status != 200:
        raise refusal(f"POST /forecasts, {model} {setup}", status, answer)
    return took


def forecast(bench) -> Iterator[Row]:
    with bench.service() as service:
        client = service.client()
        for name, (work, line_up) in CASES.items():
            for model, setup in line_up:
                took = [_foreseen_ms(client, WORK[work], model, setup) for _ in range(1 if bench.quick else RUNS)]
                told = " ".join(f"{key} {value}" for key, value in setup.items() if key != "gil")
                yield Row(
                    f"forecast of {DISHES:,} dishes, {name}: {model}{' ' + told if told else ''}",
                    ms(median(took)),
                    target=f"<= {TARGET_MS:,} ms",
                    verdict=verdict(median(took) <= TARGET_MS),
                )
