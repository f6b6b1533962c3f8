"""How errors look in Dagster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from convml_data.errors import ConvmlError


@contextmanager
def errors_as_failures() -> Iterator[None]:
    """What a user can mend reads as a sentence in the UI, not as a traceback."""
    try:
        yield
    except ConvmlError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
