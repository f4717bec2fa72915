"""A small keep-alive client for the order API. No retries: a refused call is a finding."""

import http.client
import json
import time


class NotBuilt(Exception):
    """The service says that it does not do this yet."""


class Refused(Exception):
    """Any other answer that is not the one asked for."""


# One wait of nothing: the smallest order there is, for the cost of everything around the work.
def no_wait(model: str, **more) -> dict:
    recipe = {"name": "n", "steps": [{"name": "n", "work": {"kind": "wait", "ms": 0}}]}
    return {"model": model, "dishes": 1, "recipe": recipe, **more}


def one_step(model: str, dishes: int, work: dict, setup: dict | None = None) -> dict:
    order = {"model": model, "dishes": dishes, "recipe": {"name": "bench", "steps": [{"name": "chop", "work": work}]}}
    return order | ({"setup": setup} if setup else {})


class Client:
    def __init__(self, host: str, port: int, timeout_s: float = 90.0):
        self.connection = http.client.HTTPConnection(host, port, timeout=timeout_s)

    def call(self, method: str, path: str, body: object = None) -> tuple[int, object]:
        headers = {"content-type": "application/json"} if body is not None else {}
        sent = json.dumps(body).encode() if body is not None else None
        self.connection.request(method, path, sent, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        kind = answer.headers.get("content-type", "")
        return answer.status, json.loads(text) if "json" in kind else text.decode(errors="replace")

    def get(self, path: str) -> object:
        status, body = self.call("GET", path)
        if status != 200:
            raise refusal(f"GET {path}", status, body)
        return body

    def place(self, order: dict) -> dict:
        """Hands in and returns at once."""
        status, body = self.call("POST", "/orders", order)
        if status != 202:
            raise refusal("POST /orders", status, body)
        return body

    def cook(self, order: dict, deadline_s: float = 300.0) -> dict:
        """Hands in, waits for the end, and insists on success; `wall_ms` is what this client's own clock saw of it."""
        began = time.monotonic()
        until = began + deadline_s
        status, body = self.call("POST", "/orders?wait=60", order)
        while status in (200, 202) and not body["done"] and time.monotonic() < until:
            status, body = self.call("GET", f"/orders/{body['id']}?wait=60")
        if status not in (200, 202):
            raise refusal("POST /orders", status, body)
        if body["status"] != "succeeded":
            raise Refused(f"the order ended as {body['status']}: {body.get('error')}")
        return body | {"wall_ms": (time.monotonic() - began) * 1_000}

    def cooked_within_wall(self, order: dict) -> dict:
        """As `cook`, for rows that use the service's own makespan: it must fit into what this client's clock saw."""
        ended = self.cook(order)
        if ended["timings"]["makespan_ms"] > ended["wall_ms"]:
            raise Refused(
                f"makespan {ended['timings']['makespan_ms']} ms, yet the client waited {ended['wall_ms']:.1f} ms"
            )
        return ended

    def stats(self) -> dict:
        return self.get("/stats")

    def ended(self, stats: dict) -> int:
        return sum(stats.get(state, 0) for state in ("succeeded", "failed", "canceled", "expired"))

    def settled(self, deadline_s: float = 120.0) -> dict:
        """Asks until every accepted order has ended; the last stats."""
        until = time.monotonic() + deadline_s
        while True:
            stats = self.stats()
            if self.ended(stats) >= stats["accepted"]:
                return stats
            if time.monotonic() > until:
                raise Refused(f"orders still open after {deadline_s:.0f} s: {stats}")
            time.sleep(0.002)


def refusal(what: str, status: int, body: object) -> Exception:
    detail = body if isinstance(body, str) else json.dumps(body)
    told = f"{what} answered {status}: {detail[:400]}"
    unbuilt = status in (404, 405, 501) or "not built" in detail.lower() or "not implemented" in detail.lower()
    return NotBuilt(told) if unbuilt else Refused(told)
