"""JSON files of a head and many rows, one a line, so that people and diffs can read them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from convml_data.errors import StoreError


def written(
    version: int, head: Mapping[str, Any], key: str, rows: Iterable[Mapping[str, Any]], *, allow_nan: bool = True
) -> str:
    """The text of JSON-ready values: the version of the format, the head, and the rows under their key."""
    opened = json.dumps({"format_version": version, **head}, indent=1)[:-2]
    lines = ",\n".join("  " + json.dumps(row, allow_nan=allow_nan) for row in rows)
    return f'{opened},\n "{key}": [\n{lines}\n ]\n}}\n'


@contextmanager
def reading(text: str, where: str, version: int, *, has: str, is_no: str, remedy: str) -> Iterator[dict[str, Any]]:
    """The values of a text, to make something of before the block ends; ``where`` names its file in errors.

    Raises
    ------
    StoreError
        The text is of another version (``has`` and the version), or the block cannot make of it what it
        should (``is_no`` and why).
    """
    try:
        values = json.loads(text)
        if values["format_version"] != version:
            raise StoreError(
                f"{has} format version {values['format_version']}, not {version}", where=where, remedy=remedy
            )
        yield values
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise StoreError(f"{is_no} ({error})", where=where, remedy=remedy) from error
