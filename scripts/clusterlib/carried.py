"""What this machine carries, by topology: nodes over one PostgreSQL, and partitions, a PostgreSQL and a node each.

No-wait orders from submission to completion, each answered when it has ended. All share the cores, the submitting clients too, so
that what is seen is what an order costs and what nodes cost each other, not what more machines would carry.
"""

import contextlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from benchlib import load
from benchlib.server import TICKS_PER_S, process_ticks
from benchlib.table import median
from benchlib.wire import no_wait
from clusterlib.house import House

# By name: for each PostgreSQL, the nodes upon it.
TOPOLOGIES = {
    "one node, one Postgres": [1],
    "two nodes, one Postgres": [2],
    "two partitions, a node and a Postgres each": [1, 1],
}
ORDER = no_wait("asyncio")


@dataclass
class Carried:
    """Orders a second, and the processor time of one, microseconds: at its node, and at its database."""

    per_s: float
    node_us: float
    database_us: float


def _tree_s(root: int) -> float:
    """Processor time of a process and of all below it, living or waited for."""
    parents, times = {}, {}
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            pid = int(entry)
            own, ended, parents[pid] = process_ticks(pid)
            times[pid] = own + ended
    below = lambda pid: times.get(pid, 0) + sum(below(child) for child in parents if parents[child] == pid)  # noqa: E731
    return below(root) / TICKS_PER_S


def _loaded(houses: list[House], connections: int, seconds: int) -> Carried:
    nodes = [node for house in houses for node in house.nodes]
    databases = [house.primary.process.pid for house in houses]
    cpu = lambda: (sum(node.cpu_s() for node in nodes), sum(_tree_s(pid) for pid in databases))  # noqa: E731
    # Nodes of one store count all its orders.
    count = lambda: sum(house.nodes[0].client().settled()["succeeded"] for house in houses)  # noqa: E731
    answered: list[load.Answered] = []
    post = lambda node: answered.append(  # noqa: E731
        load.post(node, "/orders?wait=30", ORDER, seconds, max(1, connections // len(nodes)))
    )
    before, cpu_before = count(), cpu()
    clients = [threading.Thread(target=post, args=(node,)) for node in nodes]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if len(answered) < len(nodes):
        raise RuntimeError("a client failed")
    done, cpu_after = count() - before, cpu()
    per_order_us = [(late - early) / done * 1e6 for early, late in zip(cpu_before, cpu_after, strict=True)]
    return Carried(done / max(one.duration_s for one in answered), *per_order_us)


def carried(binary: Path, topology: list[int], connections: int, seconds: int, rounds: int) -> Carried:
    """Medians of so many rounds."""
    with contextlib.ExitStack() as stack:
        houses = [stack.enter_context(House()) for _ in topology]
        for number, (house, nodes) in enumerate(zip(houses, topology, strict=True)):
            for node in range(nodes):
                house.node(binary, f"kitchen-{number}-{node}").client().cook(ORDER)
        runs = [_loaded(houses, connections, seconds) for _ in range(rounds)]
    return Carried(*(median([getattr(run, name) for run in runs]) for name in ("per_s", "node_us", "database_us")))
