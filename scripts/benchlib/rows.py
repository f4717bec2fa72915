"""The table of rows: a name for `--only` and the function that measures it, in the order of the design's table."""

from benchlib import rows_compute, rows_forecast, rows_latency, rows_orders, rows_storage, rows_stored, rows_waits

ROWS = {
    "million": rows_waits.million,
    "orders": rows_orders.orders,
    "batch": rows_orders.batch,
    "against": rows_orders.against,
    "cpu": rows_compute.cpu,
    "threads": rows_waits.threads,
    "processes": rows_waits.processes,
    "handover": rows_waits.handover,
    "latency": rows_latency.latency,
    "recording": rows_compute.recording,
    "memory": rows_storage.memory,
    "stored": rows_stored.stored,
    "forecast": rows_forecast.forecast,
    "start": rows_latency.start,
}
