"""Rows about computing: each model beside its hand-written twin, and what the books cost."""

from collections.abc import Iterator

from benchlib.table import Row, median, ms, spread, verdict
from benchlib.wire import one_step

SLOWER_AT_MOST = 1.02
DISHES = 8
ITERATIONS = 100_000_000


def _square_sum(iterations: int) -> str:
    """The closed formula: neither side may answer anything else."""
    last = iterations - 1
    return str(last * (last + 1) * (2 * last + 1) // 6)


def _twin(bench, name: str, key: str = "makespan_ms", **options: int) -> float:
    run = bench.twin(name, dishes=DISHES, iterations=ITERATIONS, **options)
    if run["value"] != _square_sum(ITERATIONS):
        raise RuntimeError(f"twin {name} computed {run['value']}")
    return run[key]


def _ours(client, model: str, setup: dict | None) -> float:
    ended = client.cooked_within_wall(one_step(model, DISHES, {"kind": "cpu", "iterations": ITERATIONS}, setup))
    if ended["result"]["values"]["chop"] != _square_sum(ITERATIONS):
        raise RuntimeError(f"{model} computed {ended['result']['values']}")
    return ended["timings"]["makespan_ms"]


def cpu(bench) -> Iterator[Row]:
    cores = bench.cores
    # Ours, its twins: what the twin is called, which of its figures counts, and its options.
    groups = [
        ("sequential", "sequential", None, [("plain loop", "sequential", "makespan_ms", {})]),
        ("asyncio", "asyncio", None, [("plain tokio", "asyncio", "makespan_ms", {})]),
        ("asyncio, own chef", "asyncio", {"chef": "own"}, [("plain tokio", "asyncio", "makespan_ms", {})]),
        (
            f"multithreading, {cores} chefs",
            "multithreading",
            {"chefs": cores},
            [
                ("spawn_blocking", "spawn-blocking", "makespan_ms", {"threads": cores}),
                ("std threads", "std-threads", "makespan_ms", {"threads": cores}),
                ("rayon", "rayon", "makespan_ms", {"threads": cores}),
            ],
        ),
        (
            f"multiprocessing, {cores} own kitchens",
            "multiprocessing",
            {"kitchens": cores},
            [
                ("std processes, started inside", "processes", "makespan_ms", {"kitchens": cores}),
            ],
        ),
        (
            "multiprocessing, house",
            "multiprocessing",
            None,
            [
                ("std processes, warm", "processes", "warm_makespan_ms", {"kitchens": cores}),
            ],
        ),
    ]
    with bench.service() as service:
        client = service.client()
        for name, model, setup, twins in groups:
            _ours(client, model, setup)
            contenders = {"ours": lambda model=model, setup=setup: _ours(client, model, setup)}
            for label, twin, key, options in twins:
                contenders[label] = lambda twin=twin, key=key, options=options: _twin(bench, twin, key, **options)
            seen = bench.rounds(contenders)
            ours = median(seen["ours"])
            for label, *_ in twins:
                beside = median(seen[label])
                yield Row(
                    f"{DISHES} dishes of {ITERATIONS:,} iterations, {name}",
                    ms(ours),
                    f"{label} {ms(beside)}",
                    f"{ours / beside:.3f}",
                    f"<= {SLOWER_AT_MOST}",
                    verdict(ours <= SLOWER_AT_MOST * beside),
                    f"Makespans {spread(seen['ours'])} ms, the twin's {spread(seen[label])} ms; both sums are checked.",
                )


def _cpu_per_dish_ns(bench, order: dict, dishes: int) -> float:
    """Processor time the whole server spends on an order, per dish: dispatch, recording and books together."""
    with bench.service() as service:
        client = service.client()
        before = service.cpu_s()
        client.cook(order)
        return (service.cpu_s() - before) * 1e9 / dishes


def _twin_cpu_per_dish_ns(bench, twin: str, dishes: int, **options: int) -> float:
    return bench.twin(twin, dishes=dishes, **options)["cpu_ms"] * 1e6 / dishes


def _bound_verdict(cost_ns: float, target_ns: float) -> str:
    """A bound below the target proves it; one above proves nothing, and one below zero that the measuring failed."""
    if cost_ns <= 0:
        return "not shown (less than nothing)"
    return verdict(True) if cost_ns <= target_ns else "not shown (bound above the target)"


def recording(bench) -> Iterator[Row]:
    """An upper bound, since recording has no switch: all the service spends more than a twin that records nothing."""
    dishes = 1_000_000
    wait = one_step("asyncio", dishes, {"kind": "wait", "ms": 1_000})
    step = one_step("multithreading", dishes, {"kind": "cpu", "iterations": 1}, {"chefs": 1})
    seen = bench.rounds(
        {
            "wait": lambda: _cpu_per_dish_ns(bench, wait, dishes),
            "wait twin": lambda: _twin_cpu_per_dish_ns(bench, "tokio-sleeps", dishes, wait_ms=1_000),
            "step": lambda: _cpu_per_dish_ns(bench, step, dishes),
            "step twin": lambda: _twin_cpu_per_dish_ns(bench, "std-threads", dishes, iterations=1, threads=1),
        }
    )
    note = (
        "An upper bound: processor time of the server per dish less that of a twin that records nothing, so dispatch, "
        "step order and the clock reads of the books are in it. 1,000,000 dishes of one step."
    )
    kinds = (("wait", 100, "per wait of 1,000 ms, asyncio"), ("step", 3_000, "per CPU step, multithreading, 1 chef"))
    for kind, target_ns, what in kinds:
        ours, twin = median(seen[kind]), median(seen[f"{kind} twin"])
        cost = ours - twin
        yield Row(
            f"recording and all other bookkeeping, {what}",
            f"{cost:,.0f} ns",
            f"whole dish: ours {ours:,.0f} ns, twin {twin:,.0f} ns",
            "-",
            f"<= {target_ns:,} ns",
            _bound_verdict(cost, target_ns),
            note,
        )
        note = ""
