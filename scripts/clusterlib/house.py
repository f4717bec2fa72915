"""A PostgreSQL, a standby of it if asked for, and nodes of the service upon it, all in one directory that goes with them.

It measures nothing and knows nothing of what the nodes cook; scripts/cluster and scripts/queues do.
"""

import shutil
import tempfile
from pathlib import Path

from benchlib.server import Server
from clusterlib.postgres import USER, Postgres

PRIMARY, STANDBY = "one", "two"


class Node(Server):
    """One node. When this process dies, the kernel asks it to end."""

    def __init__(self, binary: Path, url: str, name: str, *more: str):
        super().__init__("setpriv", "--pdeathsig", "TERM", "--", binary, "serve", "--store", url, "--node", name, *more)
        self.name = name
        self.address = f"http://127.0.0.1:{self.port}"


class House:
    """What was started, in an order in which it can be ended."""

    def __init__(
        self, directory: Path | None = None, settings: dict[str, str] | None = None, clock: Path | None = None
    ):
        self.kept = directory is not None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="pasta-fasta-cluster-"))
        self.nodes: list[Node] = []
        self.databases: dict[str, Postgres] = {}
        try:
            # The database may run as another user, who has to get in.
            self.directory.mkdir(parents=True, exist_ok=True)
            self.directory.chmod(0o711)
            self.primary = Postgres(self.directory / PRIMARY, settings, clock)
            self.databases[PRIMARY] = self.primary.create()
        except BaseException:
            self.end()
            raise

    def standby(self, synchronous: bool) -> Postgres:
        """A copy of the primary; if it is synchronous, no commit is answered before the copy has it too."""
        name = STANDBY if self.databases.get(PRIMARY) is self.primary else PRIMARY
        copy = self.primary.follow(self.directory / name, f"kitchen_{name}")
        self.databases[name] = copy
        if synchronous:
            # Any standby will do, so that this can be said before one is there and holds after a change of roles.
            self.primary.set("synchronous_standby_names", "*")
        return copy

    def promote(self) -> None:
        """The primary is gone without warning; the standby takes its place, and a new copy of that follows it."""
        gone = next(name for name, database in self.databases.items() if database is self.primary)
        left = next(name for name in self.databases if name != gone)
        synchronous = self.primary.sql("show synchronous_standby_names", database="postgres") != ""
        self.primary.stop("immediate")
        shutil.rmtree(self.primary.data)
        old, self.primary = self.primary, self.databases[left]
        if synchronous:
            # Before it takes writes: none may be answered that only one of them has.
            self.primary.set("synchronous_standby_names", "*")
        self.primary.promote()
        copy = self.primary.follow(old.directory, f"kitchen_{gone}", port=old.port)
        self.databases[gone] = copy

    def url(self) -> str:
        """Of all databases: the client takes the one that takes writes."""
        hosts = ",".join(f"127.0.0.1:{database.port}" for database in self.databases.values())
        several = "?target_session_attrs=read-write" if len(self.databases) > 1 else ""
        return f"postgres://{USER}@{hosts}/{USER}{several}"

    def node(self, binary: Path, name: str, *more: str) -> Node:
        self.nodes.append(Node(binary, self.url(), name, *more))
        return self.nodes[-1]

    def end(self) -> None:
        for node in self.nodes:
            node.stop()
        for database in self.databases.values():
            database.stop("immediate")
        if not self.kept:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
