"""wrk with a JSON body: how many requests a second a server answers.

Closed loop, so no latency figure comes from here.
"""

import json
import subprocess
import tempfile
import time
from dataclasses import dataclass

from benchlib.server import Server

CONNECTIONS = 16

SCRIPT = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = [==[%s]==]
done = function(summary)
  local e = summary.errors
  io.write(string.format('\\nJSON{"requests":%%d,"duration_us":%%d,"refused":%%d,"broken":%%d}\\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout))
end
"""


@dataclass
class Answered:
    """`requests` holds every answer, `refused` those above 399, `broken` connections that failed."""

    requests: int
    duration_s: float
    refused: int
    broken: int
    ended_at: float

    @property
    def per_s(self) -> float:
        return (self.requests - self.refused) / self.duration_s


def post(server: Server, path: str, body: object, seconds: int, connections: int = CONNECTIONS) -> Answered:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT % json.dumps(body, separators=(",", ":")))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "-s", script.name, server.url(path)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    ended_at = time.monotonic()
    found = [line for line in run.stdout.splitlines() if line.startswith("JSON")]
    if run.returncode != 0 or not found:
        raise RuntimeError(f"wrk failed: {run.stdout[-500:]} {run.stderr[-500:]}")
    counted = json.loads(found[0][4:])
    if counted["broken"]:
        raise RuntimeError(f"wrk lost connections: {counted}")
    return Answered(counted["requests"], counted["duration_us"] / 1e6, counted["refused"], counted["broken"], ended_at)


def fill(server: Server, body: object, at_least: int) -> int:
    """POSTs orders until that many more were accepted, or none more is; how many were."""
    client = server.client()
    before = client.stats()["accepted"]
    accepted = 0
    while accepted < at_least:
        post(server, "/orders", body, 1)
        now = client.stats()["accepted"] - before
        if now == accepted:
            break
        accepted = now
    return accepted
