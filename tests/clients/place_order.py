"""Cooks with a client that was generated from the contract, as somebody who never read our code would.

Every request goes through generated functions and generated types: what a status code, a field or an enum is called
here comes from the contract alone. It does not check what the numbers in an answer mean; tests/it does.
run.sh generates and installs the client first.

    BASE_URL=http://127.0.0.1:8080 python place_order.py openapi.json
"""

import importlib
import json
import os
import pkgutil
import re
import sys
import typing

import pasta_fasta_client.api
from pasta_fasta_client import Client

WAIT_S = 20
MODELS = ["sequential", "asyncio", "multithreading", "multiprocessing"]
# Answered with 200 and a body, and asked without anything.
PLAIN_OPERATIONS = [
    "list_orders",
    "list_comparisons",
    "list_models",
    "list_recipes",
    "list_presets",
    "get_limits",
    "get_stats",
    "get_version",
    "get_metrics",
    "livez",
    "readyz",
    "healthz",
]
VERBS = {"get", "put", "post", "delete", "patch"}


def generated_operations():
    """Name to module. The generator files operations by tag; the tag of an operation is not a promise, its name is."""
    walk = pkgutil.walk_packages(pasta_fasta_client.api.__path__, "pasta_fasta_client.api.")
    modules = (importlib.import_module(found.name) for found in walk if not found.ispkg)
    return {module.__name__.rpartition(".")[2]: module for module in modules}


class Kitchen:
    """The generated client, with each operation callable by its name."""

    def __init__(self, base_url):
        self.client = Client(base_url=base_url, timeout=WAIT_S + 10, raise_on_unexpected_status=True)
        self.operations = generated_operations()

    def call(self, operation, *path, body=None, **query):
        """Status code and the parsed answer, a value of a generated type."""
        module = self.operations[operation]
        if body is not None:
            query["body"] = self.body_type(module).from_dict(body)
        answer = module.sync_detailed(*path, client=self.client, **query)
        return answer.status_code.value, answer.parsed

    @staticmethod
    def body_type(module):
        """The type the contract asks for, whatever it is called; an optional body is a union with it."""
        hint = typing.get_type_hints(module.sync_detailed)["body"]
        candidates = typing.get_args(hint) or (hint,)
        return next(candidate for candidate in candidates if hasattr(candidate, "from_dict"))


def every_operation_has_a_function(kitchen, contract):
    named = [
        operation["operationId"]
        for path in contract["paths"].values()
        for verb, operation in path.items()
        if verb in VERBS
    ]
    missing = [name for name in named if snake_case(name) not in kitchen.operations]
    assert not missing, f"the generator left out {missing}"


def snake_case(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def an_order_of_each_model_succeeds(kitchen, _contract):
    for model in MODELS:
        status, placed = kitchen.call("place_order", body={"model": model, "io_ms": 20, "cpu_ms": 2, "dishes": 2})
        assert status in (200, 202), f"{model}: answered {status}"
        order = wait_until_done(kitchen, placed.id)
        assert order.status == "succeeded", f"{model}: {order.to_dict()}"
        assert order.progress.dishes_done == order.dishes == 2, f"{model}: {order.to_dict()}"


def wait_until_done(kitchen, order_id):
    status, order = kitchen.call("get_order", order_id, wait=WAIT_S)
    assert status == 200, f"GET answered {status}"
    assert order.done, f"not done after {WAIT_S} s: {order.to_dict()}"
    return order


def a_placed_order_is_listed(kitchen, _contract):
    _, placed = kitchen.call("place_order", body={"model": "asyncio"}, wait=WAIT_S)
    status, page = kitchen.call("list_orders", model="asyncio", limit=200)
    assert status == 200, f"the list answered {status}"
    assert placed.id in [order.id for order in page.data], f"{placed.id} is not in the list"


def a_long_order_can_be_canceled_and_deleted(kitchen, _contract):
    _, placed = kitchen.call("place_order", body={"model": "asyncio", "io_ms": 60_000})
    status, _ = kitchen.call("cancel_order", placed.id)
    assert status in (200, 202), f"cancel answered {status}"
    assert wait_until_done(kitchen, placed.id).status == "canceled"
    status, _ = kitchen.call("delete_order", placed.id)
    assert status == 204, f"delete answered {status}"


def a_wrong_order_is_refused_with_a_typed_problem(kitchen, _contract):
    status, problem = kitchen.call("place_order", body={"model": "asyncio", "dishes": 0})
    assert status == 422, f"answered {status}"
    assert problem.status == 422 and problem.errors[0].pointer == "/dishes", problem.to_dict()


def a_comparison_ends_with_a_verdict(kitchen, _contract):
    body = {
        "work": {"io_ms": 5, "cpu_ms": 1, "dishes": 2},
        "line_up": [{"model": "sequential"}, {"model": "asyncio"}],
        "repeats": 1,
    }
    status, placed = kitchen.call("place_comparison", body=body)
    assert status in (200, 202), f"answered {status}"
    status, comparison = kitchen.call("get_comparison", placed.id, wait=WAIT_S)
    assert status == 200 and comparison.done, f"{status}: {comparison.to_dict()}"
    assert len(comparison.entries) == 2, comparison.to_dict()


def every_plain_answer_fits_its_type(kitchen, _contract):
    _, order = kitchen.call("place_order", body={"model": "multithreading", "io_ms": 1}, wait=WAIT_S)
    asked = {name: () for name in PLAIN_OPERATIONS} | {"list_steps": (order.id,), "get_timeline": (order.id,)}
    for operation, path in asked.items():
        status, parsed = kitchen.call(operation, *path)
        assert status == 200 and parsed is not None, f"{operation}: answered {status}, parsed {parsed}"


CHECKS = [
    every_operation_has_a_function,
    every_plain_answer_fits_its_type,
    an_order_of_each_model_succeeds,
    a_placed_order_is_listed,
    a_long_order_can_be_canceled_and_deleted,
    a_wrong_order_is_refused_with_a_typed_problem,
    a_comparison_ends_with_a_verdict,
]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        contract = json.load(file)
    kitchen = Kitchen(os.environ["BASE_URL"])
    failed = 0
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            check(kitchen, contract)
            print(f"ok      {name}")
        # One check that fails, in whatever way, must not hide what the others find.
        except Exception as error:  # noqa: BLE001
            print(f"FAILED  {name}: {type(error).__name__}: {error}")
            failed += 1
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
