"""Opens the house that compose.yaml describes, without containers: a private PostgreSQL and each node with the environment, the
health check and the time to stop that the file gives it. Then an order at one node is asked for at the other.

Replaced are only the addresses a container network would give. It deliberately tests neither Docker nor the image: scripts/container
builds that. PyYAML comes with scripts/test's environment; the rest is Python's standard library and scripts/clusterlib.

    BINARY=target/release/pasta-fasta python tests/compose/check.py
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import yaml

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from benchlib.server import clean_environment, free_port  # noqa: E402
from benchlib.wire import Client, no_wait  # noqa: E402
from clusterlib.house import House  # noqa: E402

BINARY = os.environ.get("BINARY", str(ROOT / "target/release/pasta-fasta"))
READY_DEADLINE_S = 20.0
# What the image is called with (ENTRYPOINT and CMD of the Dockerfile).
COMMAND = ["serve"]


def filled_in(text: str) -> str:
    """`${NAME:-default}`, as Compose fills it in where nobody says NAME."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()
    return float(number) * {"s": 1, "m": 60}[unit]


class Node:
    """A service of the file. When this process dies, the kernel asks it to end."""

    def __init__(self, name: str, service: dict, database: str):
        self.service, self.port = service, free_port()
        told = service["environment"]
        here = {
            "PASTA_FASTA_STORE": database,
            # A test lets nobody else in.
            "PASTA_FASTA_BIND": f"127.0.0.1:{self.port}",
        }
        self.environment = clean_environment() | told | here
        assert told["PASTA_FASTA_NODE"] == name, f"{name} is called {told['PASTA_FASTA_NODE']}"
        command = ["setpriv", "--pdeathsig", "TERM", "--", BINARY, *COMMAND]
        self.process = subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL)

    def is_healthy(self) -> bool:
        kind, program, *words = self.service["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "pasta-fasta")
        limit_s = seconds(self.service["healthcheck"]["timeout"])
        return subprocess.run([BINARY, *words], env=self.environment, timeout=limit_s, check=False).returncode == 0

    def await_health(self) -> None:
        until = time.monotonic() + READY_DEADLINE_S
        while not self.is_healthy():
            assert self.process.poll() is None, f"ended with {self.process.returncode}"
            assert time.monotonic() < until, "was not healthy in time"
            time.sleep(0.02)

    def client(self) -> Client:
        return Client("127.0.0.1", self.port)

    def stop(self) -> None:
        """As Compose does: asked to end, and killed when its grace is over."""
        self.process.terminate()
        code = self.process.wait(seconds(self.service["stop_grace_period"]))
        assert code == 0, f"ended with {code} when asked to"


def checked(file: dict) -> dict[str, dict]:
    """The services that are ours; what they lean on exists, and nobody outside this machine can reach them."""
    ours = {name: service for name, service in file["services"].items() if service.get("image") == "pasta-fasta"}
    assert len(ours) >= 2, "a house of one kitchen needs no file"
    for name, service in ours.items():
        assert set(service["depends_on"]) <= set(file["services"]), name
        told = service["environment"]
        assert told["PASTA_FASTA_INSECURE"] == "true", f"{name} would not listen to the other containers"
        store = urlsplit(told["PASTA_FASTA_STORE"])
        database = file["services"][store.hostname]
        expected = (database["environment"]["POSTGRES_USER"], database["environment"]["POSTGRES_PASSWORD"])
        assert (store.username, store.password) == expected, f"{name} cannot get into its database"
        assert "ports" not in database, "the database is nobody's business but theirs"
        for outside, inside in (port.rsplit(":", 1) for port in service["ports"]):
            assert outside.startswith("127.0.0.1:"), f"{name} is published to everybody without keys"
            assert inside == told["PASTA_FASTA_BIND"].rsplit(":", 1)[1], name
    return ours


def main() -> None:
    text = (ROOT / "compose.yaml").read_text()
    ours = checked(yaml.safe_load(filled_in(text)))
    nodes: list[Node] = []
    with House() as house:
        try:
            nodes += [Node(name, service, house.url()) for name, service in ours.items()]
            for node in nodes:
                node.await_health()
            status, order = nodes[0].client().call("POST", "/orders?wait=10", no_wait("multiprocessing"))
            assert status == 200 and order["status"] == "succeeded", (status, order)
            status, same = nodes[1].client().call("GET", f"/orders/{order['id']}")
            assert status == 200 and same["result"] == order["result"], (status, same)
            known = nodes[1].client().get("/nodes")
            names = sorted(node["node"] for node in known["data"])
            assert names == sorted(ours), names
            for node in nodes:
                node.stop()
        finally:
            for node in nodes:
                node.process.kill()
    print(f"{len(ours)} kitchens of compose.yaml opened over one Postgres, shared an order and ended when asked")


main()
