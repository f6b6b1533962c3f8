"""``meta.yaml`` under arbitrary descriptions and spellings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from convml_data.errors import MetaError
from convml_data.meta.changes import Settings
from convml_data.meta.dataset import Dataset
from convml_data.meta.load import parse_meta
from convml_data.meta.models import Meta
from convml_data.meta.schema import json_schema

REST = {
    "source": "goes16",
    "product": "truecolor_rgb",
    "domain": {"central_latitude": 0, "central_longitude": 0, "l_zonal": 1e5, "l_meridional": 1e5},
    "sampling": {"resolution": 1000},
}
VALIDATOR = jsonschema.Draft202012Validator(json_schema())

moments = st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1))
days = st.floats(1e-4, 1e4)


def mappings(required: dict[str, Any], **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


@st.composite
def spans(draw: st.DrawFn) -> dict[str, Any]:
    start = draw(moments)
    if draw(st.booleans()):
        return {"t_start": start, "N_days": draw(days)}
    return {"t_start": start, "t_end": start + draw(st.timedeltas(timedelta(0), timedelta(days=4000)))}


times = st.one_of(
    spans(),
    st.recursive(
        st.lists(spans(), min_size=1, max_size=4).map(lambda inner: {"intervals": inner}),
        lambda inner: st.lists(inner, min_size=1, max_size=2).map(lambda several: {"intervals": several}),
        max_leaves=3,
    ),
).flatmap(
    lambda time: mappings(
        {key: st.just(value) for key, value in time.items()},
        filters=mappings({}, N_hours_from_zenith=st.floats(0.1, 12)),
    )
)
triplets = mappings(
    {
        "N_triplets": st.dictionaries(
            st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True), st.integers(0, 1000), min_size=1
        ).filter(lambda counts: sum(counts.values()) > 0 and len({*map(str.casefold, counts)}) == len(counts))
    },
    tile_N=st.integers(1, 1800),
    neigh_dist_scaling=st.floats(0.01, 10),
)
metas = mappings(
    {
        "source": st.sampled_from(["goes16", "goes17", "goes18", "goes19"]),
        "product": st.just("truecolor_rgb"),
        "time": times,
        "domain": st.fixed_dictionaries(
            {
                "central_latitude": st.floats(-90, 90),
                "central_longitude": st.floats(-180, 360),
                "l_zonal": st.floats(1e4, 18e6),
                "l_meridional": st.floats(1e4, 18e6),
            }
        ),
        "sampling": mappings(
            {"resolution": st.floats(1, 1e4)},
            method=st.sampled_from(["bilinear", "nearest"]),
            seed=st.integers(0, 2**70),
            triplets=triplets,
        ),
    },
    sector=st.sampled_from(["F", "C", "M1", "M2"]),
    archive=st.sampled_from(["s3://noaa-{satellite}", "file:///data/{satellite}", "relative/folder"]),
    product_options=mappings({}, rayleigh_correction=st.booleans()),
    storage=mappings({}, format=st.sampled_from(["netcdf", "zarr"]), root=st.sampled_from(["out", "s3://b/c"])),
).map(Meta.model_validate)


@settings(deadline=None)  # other work on the machine must not fail a test
@given(metas)
def test_what_is_dumped_loads_as_it_was(meta: Meta) -> None:
    values = meta.model_dump(mode="json", exclude_none=True)
    assert parse_meta(yaml.safe_dump(values), "meta.yaml") == meta
    VALIDATOR.validate(values)


@settings(deadline=None)  # other work on the machine must not fail a test
@given(metas)
def test_settings_that_were_noted_give_the_same_fingerprints(meta: Meta) -> None:
    dataset = Dataset("islands", Path("/data/islands"), meta)
    noted = Settings.from_json(Settings.of(dataset).to_json())
    assert noted == Settings.of(dataset)
    assert noted.dataset(dataset) == dataset


@settings(deadline=None)  # other work on the machine must not fail a test
@given(metas)
def test_spans_are_sorted_apart_and_cover_what_was_written(meta: Meta) -> None:
    merged = meta.time.spans()
    for earlier, later in pairwise(merged):
        assert earlier.end < later.start

    def check(time: Any) -> None:
        for inner in time.intervals or ():
            check(inner)
        if time.t_start is not None:
            end = time.t_end or time.t_start + timedelta(days=time.N_days)
            assert sum(time.t_start in span and end in span for span in merged) == 1

    check(meta.time)


@st.composite
def spellings(draw: st.DrawFn) -> tuple[datetime, str]:
    """A moment in UTC and one way to write it."""
    moment = draw(moments)
    finest = draw(st.sampled_from(["date", "hour", "minute", "second", "fraction"]))
    keep = {
        "date": {"hour": 0, "minute": 0, "second": 0, "microsecond": 0},
        "hour": {"minute": 0, "second": 0, "microsecond": 0},
        "minute": {"second": 0, "microsecond": 0},
        "second": {"microsecond": 0},
        "fraction": {},
    }[finest]
    if finest == "date":
        moment = moment.replace(**keep)
        return moment, f"{moment:%Y-%m-%d}"
    offset = timedelta(minutes=draw(st.integers(-14 * 60, 14 * 60)))
    zone = draw(st.sampled_from(["none", "Z", "hh:mm", "hhmm"]))
    local = moment if zone in ("none", "Z") else moment + offset
    local = local.replace(**keep)
    form = {"hour": "%H", "minute": "%H:%M", "second": "%H:%M:%S", "fraction": "%H:%M:%S.%f"}[finest]
    text = local.strftime(f"%Y-%m-%d{draw(st.sampled_from('T t'))}{form}")
    if zone == "none":
        return local, text
    text += draw(st.sampled_from(["", " "]))
    if zone == "Z":
        return local, text + "Z"
    aware = local.replace(tzinfo=timezone(offset))
    sign, minutes = "-" if offset < timedelta(0) else "+", abs(offset) // timedelta(minutes=1)
    text += f"{sign}{minutes // 60:02}{':' if zone == 'hh:mm' else ''}{minutes % 60:02}"
    return aware.astimezone(UTC).replace(tzinfo=None), text


@settings(deadline=None)  # other work on the machine must not fail a test
@given(spellings(), st.sampled_from(["{}", "'{}'", '"{}"']))
def test_all_spellings_of_a_time_are_the_same_instant(spelling: tuple[datetime, str], quotes: str) -> None:
    moment, text = spelling
    document = yaml.safe_dump(REST) + f"time: {{N_days: 1, t_start: {quotes.format(text)}}}\n"
    document = document.replace("{N_days: 1, ", "\n  N_days: 1\n  ").replace("}\n", "\n")
    assert parse_meta(document, "meta.yaml").time.t_start == moment
    VALIDATOR.validate(REST | {"time": {"t_start": text, "N_days": 1}})


def complaint_about(text: str) -> str | None:
    try:
        parse_meta(text, "meta.yaml")
    except MetaError as error:
        return str(error)
    return None


@settings(deadline=None)  # other work on the machine must not fail a test
@given(st.text())
def test_any_text_is_no_description_and_no_crash(text: str) -> None:
    complaint = complaint_about(text)
    assert complaint is not None
    assert complaint.startswith("meta.yaml: ")


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), st.datetimes()
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.text(max_size=4), st.integers()), inner, max_size=3)
    ),
    max_leaves=6,
)
PATHS = [
    ("source",), ("product",), ("sector",), ("archive",), ("time",), ("domain",), ("sampling",), ("storage",),
    ("time", "t_start"), ("time", "t_end"), ("time", "N_days"), ("time", "intervals"), ("time", "filters"),
    ("domain", "l_zonal"), ("domain", "central_longitude"), ("sampling", "resolution"), ("sampling", "seed"),
    ("sampling", "triplets"), ("product_options",), ("storage", "root"),
]  # fmt: skip


@settings(deadline=None)  # other work on the machine must not fail a test
@given(st.sampled_from(PATHS), anything)
def test_any_value_in_any_place_is_taken_or_named(path: tuple[str, ...], value: Any) -> None:
    document: dict[str, Any] = {key: dict(part) if isinstance(part, dict) else part for key, part in REST.items()}
    document["time"] = {"t_start": "2020-02-02", "N_days": 1}
    place = document
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = value
    complaint = complaint_about(yaml.safe_dump(document))
    assert complaint is None or path[-1] in complaint
