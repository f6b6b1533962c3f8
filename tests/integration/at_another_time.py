"""The code location as if the present were another time, for real files that are years old."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from convml_data import clock

_REALLY, _AS_IF = (datetime.fromisoformat(os.environ[f"CONVML_TESTS_{name}"]) for name in ("REALLY", "AS_IF"))


def as_if_now() -> datetime:
    """The time that has passed since ``CONVML_TESTS_REALLY``, after ``CONVML_TESTS_AS_IF``."""
    return _AS_IF + (datetime.now(UTC).replace(tzinfo=None) - _REALLY)


clock.utc_now = as_if_now  # before the other modules take it from there

from convml_data_dagster.definitions import defs  # noqa: E402

__all__ = ["defs"]
