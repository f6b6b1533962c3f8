"""Single values as people write them in YAML, and how messages show them.

Each function takes what the YAML reader made of a value and returns what was meant, or raises a
:class:`ValueError` of one or two arguments: what is wrong, and a remedy where the key's own example
is not remedy enough.
"""

from __future__ import annotations

import math
import re
import reprlib
from datetime import UTC, date, datetime, time, timedelta
from string import Formatter
from typing import Any

#: A date, or a date and a time with or without minutes, seconds and offset.
TIME_PATTERN = r"^\d{4}-\d{2}-\d{2}([Tt ]\d{2}(:\d{2}(:\d{2}([.,]\d+)?)?)?( *([Zz]|[+-]\d{2}(:?\d{2})?))?)?$"

#: A number that YAML 1.1 reads as text, such as ``200e3``.
NUMBER_PATTERN = r"^[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?$"


class _Short(reprlib.Repr):
    """Short, and in YAML's words where they are not Python's."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 60
        self.maxlevel = 2

    def repr_NoneType(self, value: None, level: int) -> str:  # noqa: N802  # named after the type
        return "empty"

    def repr_bool(self, value: bool, level: int) -> str:
        return str(value).lower()

    def repr_date(self, value: date, level: int) -> str:
        return value.isoformat()

    repr_datetime = repr_date


#: How a value is shown in a message.
show = _Short().repr


def number(value: Any) -> float:
    """A finite number, also from text."""
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            result = float(value)
        except (ValueError, OverflowError):
            result = math.nan
        if math.isfinite(result):
            return result + 0.0  # -0.0 becomes 0.0, which is written differently but the same number
    raise ValueError(f"{show(value)} is not a number")


def whole(value: Any) -> int:
    """A whole number, also from text or from a float without a fraction."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    result = number(value)
    if not result.is_integer():
        raise ValueError(f"{show(value)} is not a whole number")
    return int(result)


def utc_time(value: Any) -> datetime:
    """A time in UTC without time zone; a date is its midnight, and a time without offset is UTC."""
    remedy = "write a time such as 2020-02-02T14:00 (UTC unless an offset follows)"
    if isinstance(value, str) and re.match(TIME_PATTERN, value.strip()):
        try:
            result = datetime.fromisoformat(re.sub(" +(?=[-+Z])", "", value.strip().upper()))
        except ValueError as error:
            raise ValueError(f"{show(value)} is not a time ({error})", remedy) from error
    elif isinstance(value, datetime):
        result = value
    elif isinstance(value, date):
        result = datetime.combine(value, time())
    else:
        raise ValueError(f"{show(value)} is not a time", remedy)
    if result.tzinfo is None:
        return result
    try:
        return result.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError(f"{show(value)} is not a time ({error})", remedy) from error


_DURATION = re.compile(
    r"P(?:(?P<weeks>\d+(?:\.\d+)?)W|(?:(?P<days>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+(?:\.\d+)?)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?)"
)


def duration(value: Any) -> timedelta:
    """A length of time above zero in ISO 8601, of weeks or of days, hours, minutes and seconds."""
    remedy = "write it in ISO 8601, for example PT30M, PT60S or P1D"
    match = _DURATION.fullmatch(value.strip().upper()) if isinstance(value, str) else None
    parts = {} if match is None else {name: float(part) for name, part in match.groupdict().items() if part}
    if not parts:
        raise ValueError(f"{show(value)} is not a duration", remedy)
    try:
        result = timedelta(**parts)
    except OverflowError as error:
        raise ValueError(f"{show(value)} is too long", remedy) from error
    if not result:
        raise ValueError(f"{show(value)} is no time at all", remedy)
    return result


def location(value: Any) -> str:
    """A path or an fsspec URL, not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{show(value)} is not a path or URL")
    if value.startswith("~"):
        raise ValueError(f"{show(value)} starts with ~, which is not expanded", "write the full path")
    return value.strip()


def archive_template(value: Any) -> str:
    """A path or URL in which ``{satellite}`` may stand for the satellite's name."""
    template = location(value)
    remedy = "only {satellite} may stand in braces"
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{show(value)} has a stray brace", remedy) from error
    if any(name is not None and (name, spec, how) != ("satellite", "", None) for _, name, spec, how in parts):
        raise ValueError(f"{show(value)} has an unknown placeholder", remedy)
    return template
