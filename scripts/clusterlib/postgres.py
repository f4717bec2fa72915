"""A private PostgreSQL from installed binaries: own directory, own port on loopback, own user, nothing left behind.

It runs as a child and is told by the kernel to end when this process does, however that ends. It never touches a server
of the machine, takes no packages, and tunes nothing but what a test or a measurement has to say aloud in `settings`.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from benchlib.server import free_port

START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 30.0
# Between two looks at a server that is not up yet: one look costs about as much.
LOOK_S = 0.02
# Where Debian and Fedora keep what is not in PATH, the newest version last.
PLACES = ["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"]
# PostgreSQL refuses to run as root; the first of these that exists runs it then.
ORDINARY_USERS = ["postgres", "nobody"]
USER = "pasta"

STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Missing(RuntimeError):
    """This machine lacks a program."""


def binaries() -> Path:
    """Where `initdb` and its like are: in PATH, else the newest installed version."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    version = lambda path: [int(number) for number in re.findall(r"\d+", str(path))]  # noqa: E731
    places = sorted((path for place in PLACES for path in Path("/").glob(place[1:])), key=version)
    if not places:
        raise Missing("PostgreSQL is missing (Debian: apt-get install postgresql)")
    return places[-1]


def _as_whom() -> pwd.struct_passwd | None:
    """Whom root runs it as; an ordinary user runs it as himself."""
    if os.geteuid() != 0:
        return None
    for name in ORDINARY_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Missing(f"PostgreSQL does not run as root, and there is no user {' or '.join(ORDINARY_USERS)}")


class Postgres:
    """One server. `clock` is a libfaketime file it takes its time from."""

    def __init__(self, directory: Path, settings: dict[str, str] | None = None, clock: Path | None = None):
        self.bin = binaries()
        self.directory = directory
        self.data = directory / "data"
        self.port = free_port()
        self.settings = settings or {}
        self.clock = clock
        self.whom = _as_whom()
        self.process: subprocess.Popen | None = None
        directory.mkdir(parents=True, exist_ok=True)
        if self.whom:
            os.chown(directory, self.whom.pw_uid, self.whom.pw_gid)

    def create(self) -> "Postgres":
        """A new, empty cluster with a database named like its user."""
        # No sync of files that nobody will miss; what the server itself writes is synced as ever.
        self._run("initdb", "--pgdata", self.data, "--username", USER, "--auth", "trust", "--encoding", "UTF8",
                  "--locale", "C", "--no-sync")  # fmt: skip
        self.start()
        self.sql(f"create database {USER}", database="postgres")
        return self

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
            **self.settings,
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        faked = []
        if self.clock:
            # Set for the server alone: what runs before it as root would leave its own things behind.
            faked = ["env", f"LD_PRELOAD={libfaketime()}", f"FAKETIME_TIMESTAMP_FILE={self.clock}",
                     "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"]  # fmt: skip
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                # When this process dies, the kernel asks it to stop at once (and recover next time).
                [
                    "setpriv",
                    "--pdeathsig",
                    "QUIT",
                    *self._words(),
                    "--",
                    *faked,
                    self.bin / "postgres",
                    "-D",
                    self.data,
                    *words,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C in the terminal is for the script, which ends its nodes first.
                start_new_session=True,
            )
        self._await()

    def _await(self) -> None:
        until = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"PostgreSQL ended with {self.process.returncode}:\n{self.said()}")
            if self.is_up():
                return
            time.sleep(LOOK_S)
        self.stop("immediate")
        raise RuntimeError(f"PostgreSQL did not start within {START_DEADLINE_S:.0f} s:\n{self.said()}")

    def is_up(self) -> bool:
        asked = [self.bin / "pg_isready", "--quiet", "--host=127.0.0.1", f"--port={self.port}", "--dbname=postgres"]
        return subprocess.run(asked, check=False).returncode == 0

    def stop(self, how: str = "fast") -> None:
        """`immediate` is what a crash leaves: nothing is written any more, the next start recovers."""
        if not self.process:
            return
        if self.process.poll() is None:
            self.process.send_signal(STOP_SIGNALS[how])
            try:
                self.process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def restart(self, how: str = "fast") -> None:
        self.stop(how)
        self.start()

    def follow(self, directory: Path, name: str, port: int | None = None) -> "Postgres":
        """A running copy of this server that receives all it writes, on this port if one is given."""
        copy = Postgres(directory, self.settings, self.clock)
        copy.port = port or copy.port
        # pg_basebackup writes where to follow from, and under which name it is known there.
        copy._run("pg_basebackup", "--pgdata", copy.data, "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
                  f"--dbname=host=127.0.0.1 port={self.port} user={USER} application_name={name}")  # fmt: skip
        copy.start()
        return copy

    def promote(self) -> None:
        """Makes a standby a server of its own, and waits until it takes writes."""
        self.sql("select pg_promote(true, 30)", database="postgres")

    def set(self, name: str, value: str) -> None:
        """Changes a setting of the running server, for its next starts too."""
        self.sql(f"alter system set {name} = '{value}'", database="postgres")
        self.sql("select pg_reload_conf()", database="postgres")

    def sql(self, text: str, database: str = USER) -> str:
        command = [self.bin / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text, self.url(database)]
        run = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if run.returncode != 0:
            raise RuntimeError(f"{text}: {run.stderr.strip()}")
        return run.stdout.strip()

    def url(self, database: str = USER) -> str:
        return f"postgres://{USER}@127.0.0.1:{self.port}/{database}"

    def version(self) -> str:
        return self.sql("show server_version", database="postgres")

    def said(self) -> str:
        log = self.directory / "log"
        return log.read_text(errors="replace")[-2_000:] if log.exists() else ""

    def _words(self) -> list[str]:
        if not self.whom:
            return []
        return [f"--reuid={self.whom.pw_uid}", f"--regid={self.whom.pw_gid}", "--clear-groups"]

    def _run(self, program: str, *arguments: object) -> None:
        command = ["setpriv", *self._words(), "--", str(self.bin / program), *map(str, arguments)]
        if not self.whom:
            command = command[2:]
        run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.directory)
        if run.returncode != 0:
            raise RuntimeError(f"{program}: {run.stderr.strip()[-1_000:]}")


def libfaketime() -> Path:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        raise Missing("libfaketime is missing (Debian: apt-get install libfaketime)")
    return found[0]
