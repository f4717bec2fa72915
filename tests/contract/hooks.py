"""What schemathesis may ask for, and which of its findings are none, each with its reason.

It deliberately turns no check off: an entry of the allow-list names one check, one operation and one answer.
"""

import copy
import json
import os
import re
import urllib.request

import schemathesis
from schemathesis.core.failures import ServerError
from schemathesis.openapi.checks import RejectedPositiveData

# The largest value that is sent of each number. The contract allows an hour of waiting and three million dishes; one
# such order holds its place for the rest of the run, a few fill the half of the house that one client may have, and a
# comparison waits until they are gone. Only what the contract allows anyway is made smaller, so a request that must be
# refused stays one.
AT_MOST = {
    "budget_ms": 1_000,
    "bytes": 1_000,
    "cpu_ms": 5,
    "dishes": 2,
    "increments": 1_000,
    "io_ms": 5,
    "iterations": 100_000,
    "max_ms": 5,
    "mean_ms": 5,
    "messages": 10,
    "median_ms": 5,
    "min_ms": 5,
    "ms": 5,
    "p95_ms": 5,
    "repeats": 1,
    "wait": 1,
}
# The contract's own maximum of each: a larger number is a request that must be refused.
ALLOWED = {
    "budget_ms": 600_000,
    "bytes": 16_777_216,
    "cpu_ms": 3_600_000,
    "dishes": 3_000_000,
    "increments": 100_000_000,
    "io_ms": 3_600_000,
    "iterations": 1_440_000_000_000,
    "max_ms": 3_600_000,
    "mean_ms": 3_600_000,
    "messages": 100_000,
    "median_ms": 3_600_000,
    "min_ms": 3_600_000,
    "ms": 3_600_000,
    "p95_ms": 3_600_000,
    "repeats": 50,
    "wait": 60,
}


# Built-in recipes that take less than a second.
SHORT = {"pasta-fasta", "chopping", "crawl"}


def small(name, value):
    """The value, made smaller if the contract would allow a long run."""
    if isinstance(value, str) and value.isdecimal() and value.isascii():
        # A number of the query may already be text.
        return str(small(name, int(value)))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return AT_MOST[name] if AT_MOST[name] < value <= ALLOWED[name] else value


def shrink(value):
    """The same for everything inside a body or a query."""
    if isinstance(value, dict):
        return {k: small(k, v) if k in AT_MOST else shrink(v) for k, v in value.items()}
    if isinstance(value, list):
        return [shrink(v) for v in value]
    return value


def names(path):
    """Names in a catalog of the service under test."""
    with urllib.request.urlopen(os.environ["BASE_URL"] + path, timeout=10) as answer:
        return [entry["name"] for entry in json.load(answer)["data"]]


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Names what the contract leaves to the catalogs, or next to no order that is made up would be cooked.

    Of the recipes only the short ones, and no preset: many run for half a minute, some with a thousand threads.
    """
    schemas = raw_schema["components"]["schemas"]
    named = {
        "model": {"type": "string", "enum": names("/models")},
        "recipe": {"type": "string", "enum": sorted(SHORT & set(names("/recipes")))},
    }
    # Copies: answers are held against the schemas as they are, and so is the work of a comparison, which has no model.
    sent = schemas["SentOrder"] = copy.deepcopy(schemas["OrderAsk"])
    recipe = schemas["SentRecipe"] = copy.deepcopy(schemas["RecipeChoice"])
    recipe["oneOf"][0] = named["recipe"]
    sent["properties"] |= {
        "model": named["model"],
        "preset": {"type": "null"},
        "recipe": {"$ref": "#/components/schemas/SentRecipe"},
    }
    order = {"$ref": "#/components/schemas/SentOrder"}
    raw_schema["paths"]["/orders"]["post"]["requestBody"]["content"]["application/json"]["schema"] = order
    schemas["BatchAsk"]["properties"]["orders"]["items"] = order
    schemas["Candidate"]["properties"]["model"] = named["model"]
    schemas["Work"]["properties"]["kind"] = {
        "type": "string",
        "enum": ["wait", "blocking_wait", "cpu", "exchange", "counter"],
    }
    for method in raw_schema["paths"]["/orders"].values():
        for parameter in method["parameters"]:
            if parameter["name"] in named:
                parameter["schema"] = named[parameter["name"]]


@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.body, dict | list):
        case.body = shrink(case.body)
        if case.operation.definition.raw.get("operationId") == "placeComparison" and isinstance(case.body, dict):
            # Alone in the house: as short as can be, also where the request leaves it to the service.
            case.body = {"budget_ms": AT_MOST["budget_ms"], "repeats": AT_MOST["repeats"]} | case.body
    if case.query:
        case.query = shrink(case.query)


# What is no finding. `detail` is found in a violation of the answer, each of which must be explained by an entry of its
# operation; `pointer` is the whole of where it stands.
ORDERS = {"placeOrder", "placeOrders", "placeComparison", "placeForecast"}
MEANING = [
    # (operations, pointer, detail, reason)
    (
        ORDERS,
        r"(/orders/\d+|/work|/line_up/\d+)?/(model|preset|recipe)",
        r"^must be (a recipe object or )?one of ",
        "which models, presets and recipes there are is data (GET /models, /presets, /recipes); a model may be left out "
        "where a preset names it",
    ),
    (
        {"placeOrder"},
        r"/model",
        r"^send a JSON body such as",
        "the query can be the order instead of the body, so neither is required alone",
    ),
    (
        {"listOrders", "cancelOrders"},
        r"/?model",
        r"^is not a model of this service",
        "the same, in a filter",
    ),
    (
        ORDERS,
        r"(/orders/\d+|/line_up/\d+)?/setup/.*",
        r"^(must be |.* has no such option|.* has no options)",
        "which options a model has is data (GET /models)",
    ),
    (
        ORDERS,
        r"(/orders/\d+|/work)?/recipe",
        r"^either `recipe` or the shorthand",
        "the contract allows both fields, one at a time: saying so would double the schema for every client",
    ),
    (
        ORDERS,
        r"(/orders/\d+|/work)?/recipe/steps/\d+/work/\w+(/\w+)?",
        r".",
        "which fields of a work or a distribution belong together depends on its kind; said beside each field",
    ),
    (
        ORDERS,
        r"(/orders/\d+|/work)?/recipe/steps/\d+(/name|/(after|needs)(/\d+)?)",
        r"^(step names must differ|no step of this recipe has this name|these steps wait for each other"
        r"|the recipe has no such equipment|a step needs e)",
        "names refer to each other, which JSON Schema cannot say",
    ),
    (
        ORDERS,
        r"(/orders/\d+|/work)?/dishes",
        r"^an order has at most ",
        "a product of dishes and steps",
    ),
    (
        {"placeComparison", "placeForecast"},
        r"/work/(model|setup|preset|isolation|labels|seed|timeout_ms|expires_in_ms|max_in_flight|max_attempts)",
        r"^is the comparison's business",
        "the work of a comparison is an order but for these fields, and has its schema",
    ),
    (
        {"placeComparison", "placeForecast"},
        r"/objective",
        r"^must be one of makespan",
        "of weights that may be null, that one is a number depends on all of them",
    ),
    (
        {"openTrace"},
        r"ui",
        r"^must be http://127.0.0.1 or http://localhost",
        "a port has up to five digits; that they are at most 65535 is no matter of a pattern",
    ),
    (
        {"cancelOrders"},
        r"",
        r"^name at least one condition",
        "that a condition must be there depends on all fields",
    ),
    (
        {"placeOrder", "placeOrders", "retryOrder"},
        r"",
        r"^this Idempotency-Key was used for another request",
        "a key names one request: whether it was used for another one depends on what was sent before",
    ),
    (
        {"placeOrder"},
        r"preset|model|recipe|dishes|(io|cpu|timeout|expires_in|retry_wait)_ms|step_order|isolation|speed|seed"
        r"|max_in_flight|max_attempts",
        r"^is not a parameter of this path",
        "these parameters are the order where there is no body; beside one they would contradict it",
    ),
    (
        ORDERS,
        r".*",
        r"^must be 1 to \d+ characters without control characters",
        "the contract says the lengths; control characters would need a pattern beside every name, which the regular "
        "expressions of clients read differently",
    ),
    (
        ORDERS,
        r".*",
        r"^invalid type: floating point `\d+(\.0)?`, expected (u64|a word, a whole number)",
        "to JSON Schema 11.0 is an integer; here a number with a point is none (the contract says so): whoever writes 11.0 "
        "holds a float, and the next one may be 11.5. JavaScript writes 11, so no client of a browser is refused by this",
    ),
    (
        {"listOrders", "listSteps", "listComparisons"},
        r"cursor",
        r".",
        "a cursor is opaque: only a page before says which there are",
    ),
]
# What an id stood for may have been deleted: said in the contract, and unknown to the check alone.
GONE = (410, "/problems/gone")
# A house that says that it is full is no server error: 16 comparisons may wait, and each has the house to itself, as a
# calibration has; and no machine is measured within a `budget_ms` of 1.
FULL = {"placeComparison": "/problems/house-full", "calibrate": "/problems/house-full"}


def explained(operation, violation):
    """Whether an entry of the list explains this violation."""
    return any(
        operation in operations and re.fullmatch(pointer, violation["pointer"]) and re.search(detail, violation["detail"])
        for operations, pointer, detail, _ in MEANING
    )


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Whether a finding is one."""
    operation = case.operation.definition.raw.get("operationId")
    try:
        problem = response.json()
    except ValueError:
        return True
    if not isinstance(problem, dict):
        return True
    if isinstance(failure, ServerError):
        return not (response.status_code == 503 and problem.get("type") == FULL.get(operation, ""))
    if not isinstance(failure, RejectedPositiveData):
        return True
    if (response.status_code, problem.get("type")) == GONE:
        return False
    if response.status_code == 422:
        violations = problem.get("errors") or [{"pointer": "", "detail": problem["detail"]}]
        return not all(explained(operation, violation) for violation in violations)
    return True
