"""Servers under test, each on a free loopback port, ended by their own pid; and what /proc says about a process."""

import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from benchlib.wire import Client

READY_DEADLINE_S = 20.0
STOP_DEADLINE_S = 15.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Server:
    name = "server"

    def __init__(self, *command: str):
        self.command = [str(word) for word in command]
        self.port = free_port()
        self.log = tempfile.TemporaryFile()
        began = time.monotonic()
        self.process = subprocess.Popen(
            [*self.command, "--bind", f"127.0.0.1:{self.port}"],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env=clean_environment(),
        )
        self.pid = self.process.pid
        try:
            self._await_ready(began + READY_DEADLINE_S)
        except BaseException:
            self.stop()
            raise
        self.ready_ms = (time.monotonic() - began) * 1_000

    def _await_ready(self, until: float) -> None:
        request = b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(
                    f"{self.command[0]} ended with {self.process.returncode} before it was ready:\n{self.said()}"
                )
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                    probe.sendall(request)
                    if b" 200 " in probe.recv(64):
                        return
            except OSError:
                pass
            time.sleep(0.000_2)
        raise RuntimeError(f"{self.command[0]} was not ready within {READY_DEADLINE_S:.0f} s:\n{self.said()}")

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()[-2_000:].decode(errors="replace")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def client(self) -> Client:
        return Client("127.0.0.1", self.port)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def memory_bytes(self, key: str) -> int:
        """`VmRSS` (now) or `VmHWM` (peak) of the server's own process."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1_024
        raise RuntimeError(f"/proc/{self.pid}/status has no {key}")

    def cpu_s(self) -> float:
        """Processor time of all its threads, the ended ones too; to 10 ms."""
        own, _, _ = process_ticks(self.pid)
        return own / TICKS_PER_S


class Service(Server):
    name = "service"

    def __init__(self, binary: Path, *arguments: str):
        super().__init__(binary, "serve", *arguments)


class Floor(Server):
    name = "floor"

    def __init__(self, binary: Path):
        super().__init__(binary)


def process_ticks(pid: int) -> tuple[int, int, int]:
    """Processor time of a process and of its children that were waited for, in ticks, and its parent: proc(5), `stat`."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    parent, (user, system, below_user, below_system) = int(fields[1]), map(int, fields[11:15])
    return user + system, below_user + below_system, parent


def clean_environment() -> dict[str, str]:
    """Without the settings of whoever runs this: they must not change what is measured or tested."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PASTA_FASTA_") and key != "RUST_LOG"}


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]
