"""What the figures were measured on: without it they mean nothing. Reads, changes nothing."""

import hashlib
import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path


def first(path: str, key: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(key):
            return line.split(":", 1)[1].strip()
    return "unknown"


def says(*command: str) -> str:
    """The first line a program prints to stdout; wrk prints its version there and exits with 1."""
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return (answer.stdout.splitlines() or ["unknown"])[0].strip()


def busy_percent(over_s: float = 0.5) -> float:
    """How much of the machine is in use right now: asked while the benchmark itself rests, it is what others take."""
    first = _processor_ticks()
    time.sleep(over_s)
    second = _processor_ticks()
    spent = [after - before for before, after in zip(first, second, strict=True)]
    idle = spent[3] + spent[4]
    return 100.0 * (1 - idle / max(1, sum(spent)))


def _processor_ticks() -> list[int]:
    """user, nice, system, idle, iowait, irq, softirq, steal; guest time is in user already."""
    return [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]


def _binary(path: Path) -> str:
    built = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    text = path.read_bytes()
    size_mb, digest = len(text) / 1e6, hashlib.sha256(text).hexdigest()[:12]
    return f"binary of {built:%Y-%m-%d %H:%M:%S} UTC, {size_mb:.1f} MB, sha256 {digest}"


def lines(bench) -> list[str]:
    commit = says("git", "-C", str(bench.root), "describe", "--always", "--dirty")
    mode = "full" if bench.full else "quick" if bench.quick else "default"
    memory_gib = int(first("/proc/meminfo", "MemTotal").split()[0]) / 1_048_576
    return [
        f"# Benchmark of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "",
        f"- Machine: {os.cpu_count()} x {first('/proc/cpuinfo', 'model name')}, {memory_gib:.1f} GiB, "
        f"kernel {platform.release()}; load before {' '.join(f'{load:.2f}' for load in os.getloadavg())}; "
        f"nice {os.nice(0)} for everything.",
        f"- Service: {_binary(bench.binary)}; a copy of it runs throughout. "
        + (f"The other one: {_binary(bench.against)}. " if bench.against else "")
        + f"The working tree is at {commit}, which need not be what it was built from.",
        f"- Tools: {says('wrk', '--version')}; Python {platform.python_version()}; {says('rustc', '--version')}.",
        f"- Run: {mode}, {bench.pairs} alternating pairs, medians; a fresh server for each HTTP and memory figure.",
    ]
