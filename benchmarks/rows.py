"""The table: what was measured, and what was aimed at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Goal:
    """A bound for a number: ``at_most`` or ``at_least`` so much."""

    kind: Literal["at_most", "at_least"]
    number: float

    def is_met_by(self, value: float) -> bool:
        """Whether a number keeps to it."""
        return value <= self.number if self.kind == "at_most" else value >= self.number

    def __str__(self) -> str:
        return f"{'≤' if self.kind == 'at_most' else '≥'} {in_short(self.number)}"


def at_most(number: float) -> Goal:
    """No more than this."""
    return Goal("at_most", number)


def at_least(number: float) -> Goal:
    """No less than this."""
    return Goal("at_least", number)


@dataclass(frozen=True)
class Row:
    """One number.

    Parameters
    ----------
    case
        Of what, for example ``one scene, 200 km, local files``.
    quantity
        What of it, for example ``seconds, best of 5``.
    value
        The number.
    unit
        Its unit, empty for counts and ratios.
    goal
        What it should be, None where nothing was aimed at.
    """

    case: str
    quantity: str
    value: float
    unit: str = ""
    goal: Goal | None = None

    def to_json(self, benchmark: str) -> dict[str, Any]:
        """As it is kept in a results file."""
        met = None if self.goal is None else self.goal.is_met_by(self.value)
        goal = None if self.goal is None else str(self.goal)
        return {"benchmark": benchmark, **asdict(self), "goal": goal, "goal_met": met}


COLUMNS = ("case", "quantity", "value", "goal")


def cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """A row of a results file as the texts of ``COLUMNS``."""
    goal = "" if row["goal"] is None else f"{row['goal']} {'✓' if row['goal_met'] else '✗'}"
    return row["case"], row["quantity"], f"{in_short(row['value'])} {row['unit']}".strip(), goal


def as_text(rows: Sequence[dict[str, Any]]) -> str:
    """The table for a terminal."""
    lines = [COLUMNS, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines)


def as_markdown(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The lines of the table for a page."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for row in rows:
        yield f"| {' | '.join(cells(row))} |"


def in_short(value: float) -> str:
    """A number to three digits, without an exponent where it is of common size."""
    if value and not 1e-3 <= abs(value) < 1e7:
        return f"{value:.2e}"
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    text = f"{value:,.{digits}f}" if abs(value) >= 0.1 or not value else f"{value:.2g}"
    return text.rstrip("0").rstrip(".") if "." in text else text
