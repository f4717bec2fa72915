"""Orders under load with Locust: each user submits one order, waits for its end, and starts over.

Closed loop: a user submits nothing while it waits, so a slow service is asked less often. PACE_MS caps a user's rate but
does not open the loop. Does not cancel, and reads no event stream.

    locust -f load/locustfile.py --headless -u 8 -r 8 -t 10s -s 120 -H http://127.0.0.1:8080
    MODEL=asyncio STAIRS=1,4,16 STAIR_S=10 locust -f load/locustfile.py --headless -s 120 -H http://127.0.0.1:8080

-s lets the orders that are under way end before Locust leaves; without it they end unseen.
Rows named "ORDER" hold the whole time from submit to end; "POST" and "GET" rows hold single requests.
"""

import itertools
import json
import os
import re

from gevent import sleep
from locust import FastHttpUser, LoadTestShape, constant, constant_pacing, events, task

MODELS = ["sequential", "asyncio", "multithreading", "multiprocessing"]


def env(name, fallback):
    return os.environ.get(name) or fallback


def whole(name, fallback, lowest, highest):
    """Integers only, as the service wants them."""
    text = env(name, str(fallback))
    if not re.fullmatch("[0-9]+", text) or not lowest <= int(text) <= highest:
        raise SystemExit(f"{name}={text}: want a whole number from {lowest} to {highest}")
    return int(text)


CHOSEN = MODELS if env("MODEL", "all") == "all" else env("MODEL", "all").split(",")
if unknown := [model for model in CHOSEN if model not in MODELS]:
    raise SystemExit(f"MODEL: {unknown[0]} is none of {','.join(MODELS)}")
IO_MS = whole("IO_MS", 60, 0, 3_600_000)
CPU_MS = whole("CPU_MS", 8, 0, 3_600_000)
DISHES = whole("DISHES", 1, 1, 3_000_000)
PACE_MS = whole("PACE_MS", 0, 0, 3_600_000)
WAIT_S = whole("WAIT_S", 30, 1, 60)  # the service refuses a wait above 60 s
ORDER_DEADLINE_S = whole("ORDER_DEADLINE_S", 120, 1, 86_400)


def body(model):
    order = {"model": model, "dishes": DISHES}
    if IO_MS == 0 and CPU_MS == 0:
        order["recipe"] = {"name": "n", "steps": [{"name": "n", "work": {"kind": "wait", "ms": 0}}]}
    else:
        order.update(io_ms=IO_MS, cpu_ms=CPU_MS)
    return json.dumps(order)


BODIES = {model: body(model) for model in CHOSEN}
take_turns = itertools.cycle(CHOSEN)  # shared by the users of a process, so every model gets the same share


class Guest(FastHttpUser):
    """One guest: orders, waits, orders again."""

    network_timeout = WAIT_S + 30.0  # the wait that was asked for plus slack for a service that is late
    connection_timeout = 10.0
    wait_time = constant_pacing(PACE_MS / 1000) if PACE_MS else constant(0)

    @task
    def order(self):
        model = next(take_turns)
        order, order_ms = self.submit(model)
        while order and not order["done"] and order_ms < ORDER_DEADLINE_S * 1000:
            order, request_ms = self.ask_again(model, order["id"])
            order_ms += request_ms
        if order:
            self.book(model, order, order_ms)

    def submit(self, model):
        """Returns the order, or None if there is none, and the time the request took in ms."""
        with self.client.post(
            f"/orders?wait={WAIT_S}",
            data=BODIES[model],
            headers={"Content-Type": "application/json"},
            name=f"/orders [{model}]",
            catch_response=True,
        ) as response:
            if response.status_code in (429, 503):
                retry_after_s = int(response.headers.get("Retry-After") or 1)
                response.failure(f"refused with {response.status_code}")
                sleep(retry_after_s)
                return None, 0.0
            if response.status_code not in (200, 202):
                response.failure(f"answered {response.status_code}: {response.text}")
                sleep(1)  # nothing listens, or it is broken: do not spin
                return None, 0.0
            return response.json(), response.request_meta["response_time"]

    def ask_again(self, model, order_id):
        with self.client.get(
            f"/orders/{order_id}?wait={WAIT_S}", name=f"/orders/{{id}} [{model}]", catch_response=True
        ) as response:
            if response.status_code != 200:
                response.failure(f"answered {response.status_code}: {response.text}")
                return None, 0.0
            return response.json(), response.request_meta["response_time"]

    def book(self, model, order, order_ms):
        # A failed order is an HTTP 200: only the body, or X-Order-Status, tells.
        problem = None
        if not order["done"]:
            problem = RuntimeError(f"still {order['status']} after {ORDER_DEADLINE_S} s")
        elif order["status"] != "succeeded":
            problem = RuntimeError(f"ended {order['status']}: {order['error']}")
        self.environment.events.request.fire(
            request_type="ORDER",
            name=model,
            response_time=order_ms,
            response_length=0,
            exception=problem,
            context={},
        )


if env("STAIRS", ""):

    class Stairs(LoadTestShape):
        """STAIRS=1,4,16 users, STAIR_S seconds each: shows where more users stop bringing more orders."""

        users = [int(step) for step in os.environ["STAIRS"].split(",")]
        stair_s = whole("STAIR_S", 10, 1, 86_400)

        def tick(self):
            stair = int(self.get_run_time() // self.stair_s)
            return (self.users[stair], max(self.users)) if stair < len(self.users) else None


def occurrences(environment, words):
    return sum(error.occurrences for error in environment.stats.errors.values() if words in str(error.error))


@events.quitting.add_listener
def report(environment, **_):
    """The same closing line as the other tools; reads Locust's own books, so it also holds with workers."""
    if environment.runner is None or type(environment.runner).__name__ == "WorkerRunner":
        return
    rows = environment.stats.entries.values()
    posts = [row for row in rows if row.method == "POST"]
    orders = [row for row in rows if row.method == "ORDER"]
    submitted = sum(row.num_requests for row in posts)
    succeeded = sum(row.num_requests - row.num_failures for row in orders)
    failed, refused = occurrences(environment, "ended "), occurrences(environment, "refused with ")
    errors = occurrences(environment, "") - failed - refused
    unfinished = submitted - succeeded - failed - refused - errors
    print(
        f"orders: submitted={submitted} succeeded={succeeded} failed={failed} refused={refused} "
        f"errors={errors} unfinished={unfinished}",
        flush=True,
    )
    if not succeeded:
        environment.process_exit_code = 1
