"""Times in a file: which variable holds them, and what they are in UTC."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import cftime
import numpy as np
import numpy.typing as npt
import xarray as xr

from convml_data.errors import ArchiveError
from convml_data.sources.gridded.coordinates import TimeSteps
from convml_data.sources.gridded.files import units_in_words, values_of

#: Names of variables and dimensions that are time's in any file, in the order in which they are tried.
TIME_NAMES = ("time", "Time", "t", "XTIME", "Times")

#: Units of the UDUNITS table that CF times are written in, seconds.
_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}

#: A time may be off a whole second by this and still be meant to be it, in seconds.
_NOISE = 1e-3

FloatArray = npt.NDArray[np.float64]

_REMEDY = (
    "Name the variable by `coordinates: {time: <name>}`, or give `coordinates: {time: {start: <date>, step: PT60S}}`"
)


@dataclass(frozen=True)
class ModelTime:
    """One time of a file.

    Parameters
    ----------
    start
        UTC; the last day of the month where the date is one that only the model's calendar has.
    reason
        Why the time has no place in UTC, None where it has.
    """

    start: datetime
    reason: str | None = None


@dataclass(frozen=True)
class TimeAxis:
    """Where a file holds its times.

    Parameters
    ----------
    dimension
        None where the file has one time only.
    variable
        None where times follow from steps.
    """

    dimension: str | None
    variable: str | None


def time_axis(data: xr.Dataset, field: str, given: str | TimeSteps | None, where: str) -> TimeAxis:
    """The time axis of a field.

    Raises
    ------
    ArchiveError
        There is none that can be told, or not the one that was named.
    """
    dims = [str(dim) for dim in data[field].dims]
    name = given.name if isinstance(given, TimeSteps) else given
    if isinstance(given, TimeSteps) and name is None:
        return TimeAxis(_time_dimension(dims, field, where), None)
    if name is None:
        name = _found_variable(data, dims, where)
    if name not in data.variables:
        raise ArchiveError(
            f"there is no variable {name!r} for the time",
            where=where,
            remedy="Correct `coordinates: time` in meta.yaml",
        )
    along = [str(dim) for dim in data[name].dims]
    if len(along) > 1 or not set(along) <= set(dims):
        raise ArchiveError(
            f"{name!r} cannot be the time of {field!r}: its dimensions are {_names(along)}, the field's {_names(dims)}",
            where=where,
            remedy=_REMEDY,
        )
    return TimeAxis(along[0] if along else None, name)


def times_of(
    data: xr.Dataset, axis: TimeAxis, given: str | TimeSteps | None, before: int, where: str
) -> list[ModelTime]:
    """All times of a file; ``before`` is the number of those in the files before it, from which steps count on.

    Raises
    ------
    ArchiveError
        The times cannot be understood, or one of them is there twice.
    """
    count = data.sizes[axis.dimension] if axis.dimension else 1
    if axis.variable is None:
        assert isinstance(given, TimeSteps)
        assert given.step is not None
        try:
            times = [ModelTime(given.start + (before + number) * given.step) for number in range(count)]
        except OverflowError as error:
            raise ArchiveError("the steps lead beyond the year 9999", where=where) from error
    elif isinstance(given, TimeSteps):
        times = _counted(data[axis.variable], given.start, where)
    else:
        times = _decoded(data[axis.variable], where)
    first: dict[ModelTime, int] = {}
    for number, time in enumerate(times):
        if time in first:
            raise ArchiveError(
                f"the time {time.start.isoformat()} is there twice, as number {first[time]} and number {number}",
                where=where,
                remedy="Take one of them out of the file",
            )
        first[time] = number
    return times


def is_time(
    data: xr.Dataset, axis: TimeAxis, given: str | TimeSteps | None, number: int, start: datetime, where: str
) -> bool:
    """Whether ``start`` is the time of a number of a file, as far as the file alone tells.

    Steps count on from the files before it, of which there may be any.
    """
    if not 0 <= number < (data.sizes[axis.dimension] if axis.dimension else 1):
        return False
    if axis.variable is None:
        assert isinstance(given, TimeSteps)
        assert given.step is not None
        steps, rest = divmod(start - given.start, given.step)
        return not rest and steps >= number
    chosen = data[[axis.variable]]
    if axis.dimension is not None:
        chosen = chosen.isel({axis.dimension: [number]})
    return times_of(chosen, axis, given, 0, where) == [ModelTime(start)]


def _time_dimension(dims: list[str], field: str, where: str) -> str | None:
    known = [name for name in TIME_NAMES if name in dims]
    if known:
        return known[0]
    if len(dims) <= 2:
        return None
    raise ArchiveError(
        f"none of the dimensions {_names(dims)} of {field!r} is called {_names(TIME_NAMES)}, so that the one of the "
        "steps in time is not known",
        where=where,
        remedy="Rename it, for example with `ncrename -d <name>,time <file>`",
    )


def _found_variable(data: xr.Dataset, dims: list[str], where: str) -> str:
    """The variable that holds the time of a field with these dimensions."""
    candidates = [
        str(name)
        for name, variable in data.variables.items()
        if set(variable.dims) <= set(dims) and variable.ndim <= 1 and _is_time(str(name), variable)
    ]
    # One value for all of the file, such as the start of the forecast, is its time only where nothing else is.
    along = [name for name in candidates if data[name].ndim == 1] or candidates
    known = [name for name in TIME_NAMES if name in along]
    if known or len(along) == 1:
        return (known or along)[0]
    if along:
        raise ArchiveError(
            f"{_names(along)} may each be the time", where=where, remedy="Choose by `coordinates: {time: <name>}`"
        )
    named = next((name for name in TIME_NAMES if name in data.variables), None)
    if named is None:
        raise ArchiveError("the file has no time coordinate", where=where, remedy=_REMEDY)
    raise ArchiveError(
        f"{named!r} has {units_in_words(data[named])}, which do not say from when it counts",
        where=where,
        remedy=f"Give `coordinates: {{time: {{start: <date>, name: {named}}}}}`",
    )


def _is_time(name: str, variable: xr.Variable) -> bool:
    if name == "Times" and variable.dtype.kind in "SUO":  # the Weather Research and Forecasting model's
        return True
    return variable.dtype.kind in "iuf" and _counts_from_a_date(variable.attrs.get("units"))


def _counts_from_a_date(units: object) -> bool:
    return re.match(r"\s*[A-Za-z]+\s+since\s+-?\d", str(units)) is not None


def _decoded(variable: xr.DataArray, where: str) -> list[ModelTime]:
    """Times by the attributes of CF, or written as text."""
    if variable.dtype.kind in "SUO":
        return [_from_text(value, str(variable.name), where) for value in np.atleast_1d(variable.values)]
    units = str(variable.attrs.get("units", ""))
    if not _counts_from_a_date(units):
        raise ArchiveError(
            f"{variable.name!r} has {units_in_words(variable)}, which do not say from when it counts",
            where=where,
            remedy=f"Give `coordinates: {{time: {{start: <date>, name: {variable.name}}}}}`",
        )
    kind = str(variable.attrs.get("calendar", "standard")).lower()
    values = _finite(variable, where)
    noise = _noise(variable, values) * _SECONDS.get(units.split()[0].lower(), 0.0)
    try:
        dates = cftime.num2date(values, units, kind, only_use_cftime_datetimes=True)
    except (ValueError, OverflowError) as error:
        raise ArchiveError(
            f"{variable.name!r} has the units {units!r} in the calendar {kind!r}, which cannot be understood ({error})",
            where=where,
            remedy=_REMEDY,
        ) from error
    return [_from_calendar(date, tolerance, kind, where) for date, tolerance in zip(dates, noise, strict=True)]


def _counted(variable: xr.DataArray, start: datetime, where: str) -> list[ModelTime]:
    """Times since ``start`` in units of time."""
    units = str(variable.attrs.get("units", ""))
    seconds = _SECONDS.get((units.split() or [""])[0].lower())
    if seconds is None or variable.dtype.kind not in "iuf":
        raise ArchiveError(
            f"{variable.name!r} has {units_in_words(variable)}, not seconds, minutes, hours or days",
            where=where,
            remedy="Correct its attribute `units`, or give `step` in place of `name`",
        )
    values = _finite(variable, where)
    offsets = values * seconds
    whole = np.rint(offsets)
    offsets = np.where(np.abs(offsets - whole) <= _noise(variable, values) * seconds + _NOISE, whole, offsets)
    try:
        return [ModelTime(start + timedelta(seconds=float(offset))) for offset in offsets]
    except OverflowError as error:
        raise ArchiveError(f"{variable.name!r} leads beyond the years 1 to 9999", where=where) from error


def _finite(variable: xr.DataArray, where: str) -> FloatArray:
    values = np.atleast_1d(values_of(variable, str(variable.name), where))
    if not np.isfinite(values).all():
        raise ArchiveError(
            f"{variable.name!r} is missing at number {int(np.flatnonzero(~np.isfinite(values))[0])}",
            where=where,
            remedy="Complete it, or take that time out of the file",
        )
    return values


def _noise(variable: xr.DataArray, values: FloatArray) -> FloatArray:
    """How far the numbers may be off for want of digits, in their own units."""
    packing = [
        np.asarray(variable.attrs[name]).dtype for name in ("scale_factor", "add_offset") if name in variable.attrs
    ]
    dtype = np.result_type(*packing) if packing else variable.dtype
    if dtype.kind != "f":
        return np.zeros_like(values)
    return np.asarray(np.spacing(np.abs(values).astype(dtype)), np.float64)


def _from_calendar(date: cftime.datetime, noise: float, kind: str, where: str) -> ModelTime:
    """A date of any calendar as the date of the same name in UTC."""
    past = date.microsecond / 1e6
    if min(past, 1 - past) <= noise + _NOISE:
        date = date.replace(microsecond=0) + timedelta(seconds=round(past))
    label = f"{date.year:04d}-{date.month:02d}-{date.day:02d}"
    if not 1 <= date.year <= 9999:
        raise ArchiveError(f"the year {date.year} of a time lies outside of 1 to 9999", where=where, remedy=_REMEDY)
    last = calendar.monthrange(date.year, date.month)[1]
    clock = (date.hour, date.minute, date.second, date.microsecond)
    start = datetime(date.year, date.month, min(date.day, last), *clock)
    if date.day <= last:
        return ModelTime(start)
    return ModelTime(start, f"{label} {start:%H:%M:%S}, a date of the calendar {kind}, does not exist in UTC")


def _from_text(value: object, name: str, where: str) -> ModelTime:
    text = value.decode() if isinstance(value, bytes) else str(value)
    try:
        return ModelTime(datetime.fromisoformat(text.strip().replace("_", "T")).replace(tzinfo=None))
    except ValueError as error:
        raise ArchiveError(
            f"{name!r} holds {text!r}, which is no time such as 2020-02-02_14:00:00", where=where, remedy=_REMEDY
        ) from error


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
