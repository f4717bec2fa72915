"""Rows, medians and the markdown they become. Knows nothing about what was measured."""

import statistics
from dataclasses import dataclass


@dataclass
class Row:
    what: str
    ours: str
    beside: str = "-"
    ratio: str = "-"
    target: str = "published"
    verdict: str = "published"
    note: str = ""


def verdict(reached: bool) -> str:
    return "met" if reached else "**missed**"


def median(values: list[float]) -> float:
    return statistics.median(values)


def percentile(values: list[float], percent: float) -> float:
    """Nearest rank: a value that was really measured."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def spread(values: list[float], digits: int = 0) -> str:
    """How far the single runs lay apart: a median alone hides a noisy machine."""
    return f"{min(values):,.{digits}f}..{max(values):,.{digits}f}"


def ms(value: float) -> str:
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 1 else f"{value:.3f} ms"


def mb(value_bytes: float) -> str:
    return f"{value_bytes / 1e6:,.1f} MB"


def mib(value_bytes: float) -> str:
    return f"{value_bytes / 1_048_576:,.1f} MiB"


def markdown(rows: list[Row]) -> list[str]:
    lines = ["| what | ours | beside it, same run | ratio | target | verdict |", "|---|---|---|---|---|---|"]
    notes = []
    for row in rows:
        mark = ""
        if row.note:
            notes.append(f"{len(notes) + 1}. {row.note}")
            mark = f" [{len(notes)}]"
        cells = [row.what + mark, row.ours, row.beside, row.ratio, row.target, row.verdict]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return lines + ([""] + notes if notes else [])
