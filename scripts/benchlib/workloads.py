"""Random workloads, and everyone who could cook them. The same seed gives the same workloads; runs nothing."""

import random

# Milliseconds that one chef who stares at every pot would need: long enough that costs of a millisecond do not decide,
# short enough that ten ways three times take some three seconds.
SERIAL_MS = (120, 400)
# Steps shorter than this are made of overhead.
LEAST_CPU_MS = 1
LEAST_WAIT_MS = 4

# What a workload may have beside waits and CPU, and how often.
FEATURES = {"gil": 0.35, "equipment": 0.2, "exchange": 0.2, "arrivals": 0.2, "distribution": 0.2, "chain": 0.3}


def workload(seed: int, number: int, features: set[str]) -> dict:
    """One workload: its name, its features, the `work` of a comparison, and whether there is a GIL."""
    draw = random.Random(f"{seed}.{number}")
    # Every draw is made, whatever is built: a feature that lands later changes no other workload.
    drawn = {name for name, share in FEATURES.items() if draw.random() < share}
    serial_ms = draw.uniform(*SERIAL_MS)
    cpu_share = draw.choice([0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.0])
    dishes = draw.choice([2, 3, 4, 6, 8, 12, 16, 24, 40])
    wait_ms = max(LEAST_WAIT_MS, round(serial_ms * (1 - cpu_share) / dishes)) if cpu_share < 1 else 0
    cpu_ms = max(LEAST_CPU_MS, round(serial_ms * cpu_share / dishes)) if cpu_share > 0 else 0
    capacity, kilobytes, messages = draw.randint(1, 3), draw.choice([1, 16, 256]), draw.choice([1, 8, 32])
    spread = draw.choice(["uniform", "log_normal", "exponential"])
    span_s = draw.uniform(0.2, 1.0) * serial_ms / 1_000
    has = drawn & features
    work = {"recipe": recipe(has, wait_ms, cpu_ms, capacity, kilobytes, messages, spread)}
    work |= {"dishes": dishes, "seed": draw.getrandbits(32)}
    if "arrivals" in has:
        work["arrivals"] = {"rate_per_s": max(1, round(dishes / span_s)), "process": "poisson"}
    shown = sorted(has) or ["plain"]
    return {"number": number, "features": shown, "cpu_share": cpu_share, "work": work, "gil": "gil" in has}


def recipe(
    has: set[str], wait_ms: int, cpu_ms: int, capacity: int, kilobytes: int, messages: int, spread: str
) -> dict:
    steps = []
    if wait_ms:
        steps.append({"name": "fetch", "work": wait(wait_ms, spread if "distribution" in has else "constant")})
    cuts = 2 if "chain" in has and cpu_ms >= 2 * LEAST_CPU_MS else 1
    for cut in range(cuts if cpu_ms else 0):
        steps.append({"name": f"chop-{cut}", "work": {"kind": "cpu", "ms": max(LEAST_CPU_MS, cpu_ms // cuts)}})
    if "exchange" in has:
        work = {"kind": "exchange", "bytes": 1_024 * kilobytes, "messages": messages}
        steps.append({"name": "hand-over", "work": work})
    for before, step in zip(steps, steps[1:], strict=False):
        step["after"] = [before["name"]]
    whole = {"name": "random", "steps": steps}
    if "equipment" in has:
        whole["equipment"] = {"stove": {"capacity": capacity, "shared": True}}
        steps[0]["needs"] = ["stove"]
    return whole


def wait(ms: int, spread: str) -> dict:
    kinds = {
        "constant": {"ms": ms},
        "uniform": {"distribution": {"kind": "uniform", "min_ms": ms // 2, "max_ms": ms + ms // 2}},
        "log_normal": {"distribution": {"kind": "log_normal", "median_ms": ms, "p95_ms": 2 * ms}},
        "exponential": {"distribution": {"kind": "exponential", "mean_ms": ms}},
    }
    return {"kind": "wait", **kinds[spread]}


def line_up(cores: int, gil: bool) -> list[dict]:
    """Every way of cooking that makes sense on so many cores; all of them are measured."""
    ways = [("asyncio", {})]
    ways += [("asyncio", {"assistants": n}) for n in (cores, cores + 4)]
    ways += [("multithreading", {"chefs": n}) for n in (cores, cores + 4, 16)]
    ways += [("multiprocessing", {"kitchens": n}) for n in (cores, 8)]
    ways += [("multiprocessing", {"kitchens": cores, "inside": inside}) for inside in ("asyncio", "threads")]
    more = {"gil": True} if gil else {}
    return [{"model": model, "setup": setup | more} for model, setup in ways]


# The smallest order that uses a feature: a 422 says that it is not built.
PROBES = {
    "gil": {"model": "multithreading", "setup": {"gil": True}, "io_ms": 0},
    "equipment": {
        "model": "asyncio",
        "recipe": {
            "name": "n",
            "equipment": {"stove": {"capacity": 1, "shared": True}},
            "steps": [{"name": "n", "work": {"kind": "wait", "ms": 0}, "needs": ["stove"]}],
        },
    },
    "exchange": {
        "model": "asyncio",
        "recipe": {"name": "n", "steps": [{"name": "n", "work": {"kind": "exchange", "bytes": 1, "messages": 1}}]},
    },
    "arrivals": {"model": "asyncio", "io_ms": 0, "arrivals": {"rate_per_s": 1, "process": "poisson"}},
    "distribution": {
        "model": "asyncio",
        "recipe": {"name": "n", "steps": [{"name": "n", "work": wait(4, "uniform")}]},
    },
}


def built(client) -> set[str]:
    """The features that this service has."""
    has = {name for name, order in PROBES.items() if client.call("POST", "/orders?wait=10", order)[0] in (200, 202)}
    return has | {"chain"}
