"""The sections ``time`` and ``time.filters``: when, and which scenes of that time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from convml_data.meta import values
from convml_data.meta.fields import Given, Positive, Section, UtcTime
from convml_data.sources.base import OPEN_END, Interval


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


def _one_or_list(schema: dict[str, Any]) -> None:
    several = {key: schema.pop(key) for key in ("type", "items")}
    schema["anyOf"] = [several["items"], several | {"minItems": 1}]


SPAN_FORMS: list[Any] = [
    {"required": ["t_start", "t_end"], "properties": {"N_days": False, "intervals": False}},
    {"required": ["t_start", "N_days"], "properties": {"t_end": False, "intervals": False}},
    {"required": ["intervals"], "properties": {"t_start": False, "t_end": False, "N_days": False}},
]


#: What ``t_end`` says of a span that goes on.
OPEN = "open"


def _end(value: Any) -> datetime:
    return OPEN_END if value == OPEN else values.utc_time(value)


class TimeSpan(Section):
    """A start with an end or a length in days, or several of these as ``intervals``."""

    model_config = ConfigDict(json_schema_extra={"oneOf": SPAN_FORMS})

    t_start: Annotated[UtcTime | None, Given] = Field(
        default=None,
        description="First moment at which a scan may start, UTC; a date alone is its midnight.",
        examples=["2020-02-02T14:00"],
    )
    t_end: Annotated[
        Annotated[
            datetime,
            BeforeValidator(_end),
            WithJsonSchema({"anyOf": [{"const": OPEN}, {"type": "string", "pattern": values.TIME_PATTERN}]}),
        ]
        | None,
        Given,
    ] = Field(
        default=None,
        description="Last moment at which a scan may start, UTC, included; a date alone is its midnight. "
        "open: the span goes on, and its scenes are those that there are by now.",
        examples=["2020-02-02T14:30"],
    )
    N_days: Annotated[Positive | None, Given] = Field(
        default=None,
        description="Length of the span in days, instead of t_end; fractions are allowed.",
        examples=[0.5],
    )
    intervals: Annotated[tuple[TimeSpan, ...] | None, BeforeValidator(_as_list), Given] = Field(
        default=None,
        description="Several spans, each like the keys beside this one; where they overlap, they are one.",
        examples=[[{"t_start": "2018-10-01", "t_end": "2019-03-01"}]],
        json_schema_extra=_one_or_list,
    )

    @field_validator("t_end")
    @classmethod
    def _not_before_start(cls, t_end: datetime, info: ValidationInfo) -> datetime:
        t_start = info.data.get("t_start")
        if t_start is not None and t_end < t_start:
            raise ValueError(
                f"{t_end.isoformat()} is before t_start {t_start.isoformat()}",
                "give a later time, or swap the two",
            )
        return t_end

    @field_validator("N_days")
    @classmethod
    def _instead_of_end(cls, days: float, info: ValidationInfo) -> float:
        if info.data.get("t_end") is not None:
            raise ValueError(f"{values.show(days)} is given beside t_end", "keep one of t_end and N_days")
        if info.data.get("t_start") is not None:
            try:
                info.data["t_start"] + timedelta(days=days)
            except OverflowError as error:
                raise ValueError(f"{values.show(days)} days after t_start is beyond the year 9999") from error
        return days

    @field_validator("intervals")
    @classmethod
    def _instead_of_span(cls, spans: tuple[TimeSpan, ...], info: ValidationInfo) -> tuple[TimeSpan, ...]:
        if not spans:
            raise ValueError("[] is an empty list")
        beside = [key for key in ("t_start", "t_end", "N_days") if info.data.get(key) is not None]
        if beside:
            raise ValueError(
                f"{len(spans)} given beside {', '.join(beside)}",
                "make that span one of the intervals, or leave the intervals out",
            )
        return spans

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self._is_elsewhere():
            return self
        if self.intervals is None and self.t_start is None:
            raise ValueError("has no start", "give t_start with t_end or N_days, or give intervals")
        if self.intervals is None and self.t_end is None and self.N_days is None:
            raise ValueError(
                f"has t_start {values.show(self.t_start)} but no end", "add t_end: <time> or N_days: <days>"
            )
        return self

    def _is_elsewhere(self) -> bool:
        """Whether the span is not given here."""
        return False

    def spans(self) -> tuple[Interval, ...]:
        """All spans in time order; those that overlap or touch are merged, so that none is double."""
        merged: list[Interval] = []
        for span in sorted(self._written(), key=lambda span: span.start):
            if merged and span.start <= merged[-1].end:
                merged[-1] = Interval(merged[-1].start, max(merged[-1].end, span.end))
            else:
                merged.append(span)
        return tuple(merged)

    @property
    def is_open(self) -> bool:
        """Whether a span goes on."""
        return self.t_end == OPEN_END or any(span.is_open for span in self.intervals or ())

    def _written(self) -> Iterator[Interval]:
        for span in self.intervals or ():
            yield from span._written()
        if self.t_start is not None:
            yield Interval(self.t_start, self.t_end or self.t_start + timedelta(days=self.N_days or 0))


#: Parts of a time that scenes can be chosen by, and the values each may have.
TIME_PARTS = {
    "year": range(1, 10_000),
    "month": range(1, 13),
    "day": range(1, 32),
    "hour": range(24),
    "minute": range(60),
    "second": range(60),
}


def _time_part(value: Any, info: ValidationInfo) -> tuple[int, ...]:
    allowed = TIME_PARTS[(info.field_name or "").removesuffix("s")]
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise ValueError("[] is an empty list, which no scene would pass")
    numbers = tuple(values.whole(item) for item in listed)
    for number in numbers:
        if number not in allowed:
            raise ValueError(f"{number} is out of range", f"it must be from {allowed[0]} to {allowed[-1]}")
    return tuple(sorted(set(numbers)))


def _whole_numbers(schema: dict[str, Any]) -> None:
    number = {"type": "integer"}
    for key in ("type", "items"):
        schema.pop(key, None)
    schema["anyOf"] = [number, {"type": "array", "items": number, "minItems": 1}]


def _part(name: str, example: list[int]) -> Any:
    return Field(
        default=None,
        description=f"Keep scenes that start in {name} (UTC): one number or a list.",
        examples=[example],
        json_schema_extra=_whole_numbers,
    )


TimePart = Annotated[tuple[int, ...] | None, BeforeValidator(_time_part), Given]


def _plurals(schema: dict[str, Any]) -> None:
    for name in TIME_PARTS:
        part = schema["properties"][name]
        schema["properties"][f"{name}s"] = part | {
            "title": f"{part['title']}s",
            "description": f"Another name for {name}; only one of them may be given.",
        }


class Filters(Section):
    """Which scenes within the time spans are used."""

    model_config = ConfigDict(json_schema_extra=_plurals)

    N_hours_from_zenith: Annotated[Positive | None, Given] = Field(
        default=None,
        description=(
            "Keep scenes that start less than this many hours from local solar noon at the domain's central longitude."
        ),
        examples=[4.0],
    )
    year: TimePart = _part("these years", [2020, 2021])
    month: TimePart = _part("these months, 1 to 12", [12, 1, 2])
    day: TimePart = _part("these days of the month, 1 to 31", [1, 15])
    hour: TimePart = _part("these hours, 0 to 23", [14, 15])
    minute: TimePart = _part("these minutes, 0 to 59", [0, 30])
    second: TimePart = _part("these seconds, 0 to 59", [0])
    using_trajectory_sampling: bool = Field(
        default=False,
        strict=True,
        description="Keep only the scenes that are nearest to one of the times of the trajectories.",
        examples=[True],
    )

    @model_validator(mode="before")
    @classmethod
    def _singular(cls, given: Any) -> Any:
        """``minutes`` means ``minute``."""
        if not isinstance(given, dict):
            return given
        renamed = dict(given)
        for name in TIME_PARTS:
            if f"{name}s" in renamed:
                if name in renamed:
                    raise ValueError(f"{name} and {name}s are both given", "they mean the same: keep one")
                renamed[name] = renamed.pop(f"{name}s")
        return renamed

    @property
    def time_parts(self) -> dict[str, tuple[int, ...]]:
        """The values that parts of a scene's start may have, for those parts that are restricted."""
        given = {name: getattr(self, name) for name in TIME_PARTS}
        return {name: allowed for name, allowed in given.items() if allowed is not None}


class Time(TimeSpan):
    """When: one span or several, and filters on the scenes in them."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                *SPAN_FORMS,
                {
                    "required": ["source"],
                    "properties": {"t_start": False, "t_end": False, "N_days": False, "intervals": False},
                },
            ]
        }
    )

    source: Annotated[Literal["trajectories"] | None, Given] = Field(
        default=None,
        description="trajectories: from the first to the last time of the trajectories, instead of the other keys.",
        examples=["trajectories"],
    )
    filters: Filters = Field(
        default_factory=Filters,
        description="Conditions that scenes within the spans must meet.",
        examples=[{"N_hours_from_zenith": 4.0}],
    )

    @field_validator("filters")
    @classmethod
    def _filters_that_last(cls, filters: Filters, info: ValidationInfo) -> Filters:
        spans = info.data.get("intervals") or ()
        is_open = info.data.get("t_end") == OPEN_END or any(span.is_open for span in spans)
        if filters.using_trajectory_sampling and is_open:
            raise ValueError(
                "using_trajectory_sampling is given beside t_end: open, and which scenes are the nearest would change "
                "with each that comes",
                "give t_end a time, or leave the filter out",
            )
        return filters

    @field_validator("source")
    @classmethod
    def _source_alone(cls, source: str, info: ValidationInfo) -> str:
        beside = [key for key in ("t_start", "t_end", "N_days", "intervals") if info.data.get(key) is not None]
        if beside:
            raise ValueError(
                f"{values.show(source)} is given beside {', '.join(beside)}",
                "keep the trajectories' own span or the one written here",
            )
        return source

    def _is_elsewhere(self) -> bool:
        return self.source is not None
