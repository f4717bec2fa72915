"""What every row needs: the binaries, the settings of this run, twins as a function call, rounds in alternating order.

Starts nothing that outlives it.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchlib.server import Floor, Service
from benchlib.wire import NotBuilt

__all__ = ["Bench", "NotBuilt"]


class Bench:
    def __init__(self, root: Path, given, twins: Path):
        self.root = root
        self.quick, self.full = given.quick, given.full
        self.pairs = given.pairs or (3 if given.quick else 11)
        # A copy: a build that replaces the binary in the middle of a run must not mix two versions in one table.
        self.kept = tempfile.TemporaryDirectory(prefix="bench-")
        self.binary = self._kept("service", given.service)
        self.against = self._kept("against", given.against) if given.against else None
        self.twins_dir = twins
        self.cores = len(os.sched_getaffinity(0))

    def _kept(self, name: str, binary: Path) -> Path:
        return Path(shutil.copy2(binary.resolve(), Path(self.kept.name) / name))

    @classmethod
    def prepare(cls, root: Path, given) -> "Bench":
        if not given.service.exists():
            raise RuntimeError(f"{given.service} is missing: run `cargo build --release`, or name one with --service")
        if given.against and not given.against.exists():
            raise RuntimeError(f"{given.against} is missing")
        need_wrk()
        return cls(root, given, given.twins or build_twins(root))

    def service(self, *arguments: str) -> Service:
        return Service(self.binary, *arguments)

    def other_service(self, *arguments: str) -> Service:
        """The one that `--against` names."""
        return Service(self.against, *arguments)

    def floor(self) -> Floor:
        return Floor(self.twins_dir / "floor")

    def twin_command(self, name: str, **options: int) -> list[str]:
        words = [f"--{key.replace('_', '-')}={value}".split("=") for key, value in options.items()]
        return [str(self.twins_dir / "twins"), name, *(word for pair in words for word in pair)]

    def twin(self, name: str, **options: int) -> dict:
        run = subprocess.run(self.twin_command(name, **options), capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise RuntimeError(f"twin {name}: {run.stderr.strip()}")
        return json.loads(run.stdout)

    def rounds(self, contenders: dict[str, Callable[[], object]]) -> dict[str, list]:
        """Each contender once a round, a different one first each time: drift of the machine then hits all alike."""
        seen: dict[str, list] = {name: [] for name in contenders}
        names = list(contenders)
        for number in range(self.pairs):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                seen[name].append(contenders[name]())
            print(f"   round {number + 1} of {self.pairs}", end="\r", file=sys.stderr, flush=True)
        return seen


def build_twins(root: Path) -> Path:
    """Cargo decides whether there is anything to do."""
    directory = root / "benches/twins"
    built = subprocess.run(["cargo", "build", "--release", "--quiet", "--locked"], cwd=directory, check=False)
    if built.returncode != 0:
        raise RuntimeError(f"the twins in {directory} do not build")
    return directory / "target/release"


def need_wrk() -> None:
    need({"wrk": "wrk"})


def need(packages: dict[str, str]) -> None:
    """Programs, each with the Debian package it comes with; root gets those that are missing installed."""
    # Debian has the programs of a PostgreSQL server in nobody's path.
    servers = Path("/usr/lib/postgresql")
    has = lambda program: shutil.which(program) or any(servers.glob(f"*/bin/{program}"))  # noqa: E731
    missing = lambda: [program for program in packages if not has(program)]  # noqa: E731
    wanted = sorted({packages[program] for program in missing()})
    if wanted and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing {' '.join(wanted)}", file=sys.stderr)
        get = ["apt-get", "-o", "DPkg::Lock::Timeout=300"]
        for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *wanted]):
            subprocess.run([*get, *words], check=False, stdout=subprocess.DEVNULL)
    if left := missing():
        names = " ".join(sorted({packages[program] for program in left}))
        raise RuntimeError(f"{', '.join(left)} missing (Debian: apt-get install {names})")
