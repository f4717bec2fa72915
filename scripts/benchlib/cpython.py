"""What CPython runs for `scripts/fidelity`: the seed's four programs, scaled, and a thread that sleeps beside burners.

Run as a program of its own; it prints one line of JSON and imports nothing of ours. Each step says how much CPU time
its thread used and when it ended. The programs are the seed's but for that, the scale, and the missing prints.

    cpython.py NICENESS (asyncio | to_thread | threads | processes) DISHES WAIT_S ITERATIONS
    cpython.py NICENESS wake BURNERS INTERVAL_S WAKES
"""

import asyncio
import json
import multiprocessing
import os
import sys
import threading
import time


def boil(wait_s: float) -> dict:
    time.sleep(wait_s)
    return {"cpu_s": 0.0, "end_s": time.monotonic()}


def chop(iterations: int) -> dict:
    before_s = time.thread_time()
    sum(i * i for i in range(iterations))
    return {"cpu_s": time.thread_time() - before_s, "end_s": time.monotonic()}


async def dish(wait_s: float, iterations: int, helped: bool) -> list[dict]:
    await asyncio.sleep(wait_s)
    if helped:
        return [await asyncio.to_thread(chop, iterations), await asyncio.to_thread(chop, iterations)]
    return [chop(iterations), chop(iterations)]


async def one_chef(dishes: int, wait_s: float, iterations: int, helped: bool) -> tuple[float, list[dict]]:
    began_s = time.monotonic()
    steps = await asyncio.gather(*(dish(wait_s, iterations, helped) for _ in range(dishes)))
    return began_s, sum(steps, [])


def jobs(dishes: int, wait_s: float, iterations: int) -> list[tuple]:
    return [(boil, wait_s), (chop, iterations), (chop, iterations)] * dishes


def many_chefs(dishes: int, wait_s: float, iterations: int) -> tuple[float, list[dict]]:
    steps = []
    tasks = [
        threading.Thread(target=lambda step=step, what=what: steps.append(step(what)))
        for step, what in jobs(dishes, wait_s, iterations)
    ]
    began_s = time.monotonic()
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    return began_s, steps


def cook_at(shared, at: int, step, what) -> None:
    done = step(what)
    shared[2 * at], shared[2 * at + 1] = done["cpu_s"], done["end_s"]


def many_kitchens(dishes: int, wait_s: float, iterations: int) -> tuple[float, list[dict]]:
    # The seed's program has no main guard, so it runs by fork alone (the default on Linux before 3.14).
    context = multiprocessing.get_context("fork")
    todo = jobs(dishes, wait_s, iterations)
    shared = context.RawArray("d", 2 * len(todo))
    tasks = [context.Process(target=cook_at, args=(shared, at, *job)) for at, job in enumerate(todo)]
    began_s = time.monotonic()
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    return began_s, [{"cpu_s": shared[2 * at], "end_s": shared[2 * at + 1]} for at in range(len(todo))]


def program(name: str, dishes: int, wait_s: float, iterations: int) -> dict:
    if name == "threads":
        began_s, steps = many_chefs(dishes, wait_s, iterations)
    elif name == "processes":
        began_s, steps = many_kitchens(dishes, wait_s, iterations)
    else:
        began_s, steps = asyncio.run(one_chef(dishes, wait_s, iterations, name == "to_thread"))
    chops = [step["cpu_s"] for step in steps if step["cpu_s"] > 0]
    return {"makespan_s": max(step["end_s"] for step in steps) - began_s, "cpu_s": sum(chops) / len(chops)}


def wake(burners: int, interval_s: float, wakes: int) -> dict:
    """How much longer than asked for a sleep of a millisecond takes, on average, beside this many burners."""
    sys.setswitchinterval(interval_s)
    stop = False

    def burn():
        while not stop:
            sum(i * i for i in range(1_000))

    for _ in range(burners):
        threading.Thread(target=burn).start()
    sleep_s, late_s = 0.001, []
    for _ in range(wakes):
        began_s = time.monotonic()
        time.sleep(sleep_s)
        late_s.append(time.monotonic() - began_s - sleep_s)
    stop = True
    return {"delay_s": sum(late_s) / len(late_s)}


def main(niceness: str, what: str, *numbers: str) -> None:
    # As our own staff of the same kind: on a machine with neighbours niceness decides who waits.
    os.nice(int(niceness))
    first, *rest = numbers
    if what == "wake":
        answer = wake(int(first), float(rest[0]), int(rest[1]))
    else:
        answer = program(what, int(first), float(rest[0]), int(rest[1]))
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
