"""The present time."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Now in UTC, without time zone as all times here."""
    return datetime.now(UTC).replace(tzinfo=None)
