"""What a ``meta.yaml`` may say, what it may not, and what follows from it."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from pydantic import BaseModel

from convml_data.errors import MetaError
from convml_data.geometry.local import LocalDomain
from convml_data.meta.aux_products import AuxProduct
from convml_data.meta.aux_values import AuxValues
from convml_data.meta.dataset import (
    CODE_VERSIONS,
    dataset_paths_from_environment,
    find_datasets,
    load_dataset,
    load_datasets,
)
from convml_data.meta.embeddings import Embeddings, Normalisation, model_name
from convml_data.meta.flow import Flow
from convml_data.meta.load import parse_meta, read_meta
from convml_data.meta.model_files import CoordinateNames, TimeCoordinate
from convml_data.meta.models import Meta
from convml_data.meta.place import Trajectories
from convml_data.meta.sampling import Accept, SlidingWindow, TrajectoryTiles
from convml_data.meta.schema import json_schema
from convml_data.meta.transforms import Transform
from convml_data.sources.base import Interval

DOCUMENT = """\
source: goes16
type: truecolor_rgb

time:
  t_start: 2020-02-02T14:00
  t_end: 2020-02-02T14:30

domain:
  central_latitude: 13.3 # 13 + (18 / 60)
  central_longitude: -57.72 # -(57 + (43 / 60))
  l_zonal: 200000
  l_meridional: 200000

sampling:
  resolution: 1000.0
  triplets:
    scene_collections_splitting: random_by_relative_sample_size
    N_triplets: {train: 10, study: 2}
    tile_N: 256
"""
SPAN = "  t_start: 2020-02-02T14:00\n  t_end: 2020-02-02T14:30\n"
COUNTS = "{train: 10, study: 2}"
SAMPLING = DOCUMENT[DOCUMENT.index("sampling:") :]


def changed(*replacements: tuple[str, str], add: str = "") -> str:
    text = DOCUMENT
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return text + add


def parse(*replacements: tuple[str, str], add: str = "") -> Meta:
    return parse_meta(changed(*replacements, add=add), "meta.yaml")


def spans_of(time: str) -> list[tuple[datetime, datetime]]:
    return [(span.start, span.end) for span in parse((SPAN, time)).time.spans()]


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2020, 2, number, hour)


# What loads


def test_the_complete_example() -> None:
    meta = parse()
    assert (meta.source, meta.product, meta.sector, meta.archive) == ("goes16", "truecolor_rgb", "F", None)
    assert meta.time.spans() == (Interval(datetime(2020, 2, 2, 14), datetime(2020, 2, 2, 14, 30)),)
    assert meta.time.filters.N_hours_from_zenith is None
    assert meta.domain.model_dump(exclude_none=True) == {
        "central_latitude": 13.3,
        "central_longitude": -57.72,
        "l_zonal": 200e3,
        "l_meridional": 200e3,
        "kind": "rect",
    }
    assert meta.sampling.model_dump(exclude={"triplets"}, exclude_none=True) == {
        "resolution": 1000.0,
        "method": "bilinear",
        "seed": 0,
        "snap_to_grid": False,
        "format": "files",
    }
    assert meta.sampling.triplets is not None
    assert list(meta.sampling.triplets.N_triplets.items()) == [("train", 10), ("study", 2)]
    assert meta.sampling.triplets.tile_N == 256
    assert meta.sampling.triplets.neigh_dist_scaling == 1.0
    assert meta.product_options.rayleigh_correction is True
    assert (meta.storage.format, meta.storage.root) == ("netcdf", None)


@pytest.mark.parametrize(
    "keys",
    ["type: truecolor_rgb", "product: truecolor_rgb", "product: truecolor_rgb\ntype: truecolor_rgb"],
)
def test_product_and_type_are_synonyms(keys: str) -> None:
    assert parse(("type: truecolor_rgb", keys)) == parse()


@pytest.mark.parametrize(
    ("written", "metres"),
    [
        ("200e3", 200e3),
        ("'2e5'", 200e3),
        ("200.0e+3", 200e3),
        ("200_000", 200e3),
        ("0200000", 200e3),
        ("2e+05", 200e3),
    ],
)
def test_numbers_that_yaml_reads_otherwise(written: str, metres: float) -> None:
    assert parse(("l_zonal: 200000", f"l_zonal: {written}")).domain.l_zonal == metres


@pytest.mark.parametrize("written", ["256", "256.0", "'256'", "0256", "2.56e+2", "2.56e2"])
def test_whole_numbers(written: str) -> None:
    triplets = parse(("tile_N: 256", f"tile_N: {written}")).sampling.triplets
    assert triplets is not None
    assert triplets.tile_N == 256
    assert isinstance(triplets.tile_N, int)


@pytest.mark.parametrize(
    ("written", "longitude"), [("302.28", -57.72), ("180", 180.0), ("-180", -180.0), ("360", 0), ("181", -179)]
)
def test_longitudes_beyond_the_date_line(written: str, longitude: float) -> None:
    assert parse(("-57.72 ", f"{written} ")).domain.central_longitude == longitude


def test_a_number_of_triplets_is_for_training() -> None:
    triplets = parse((COUNTS, "7")).sampling.triplets
    assert triplets is not None
    assert triplets.N_triplets == {"train": 7}


def test_merge_keys_may_be_overridden() -> None:
    time = (
        "  intervals:\n"
        "    - &first {t_start: 2020-02-02T14:00, t_end: 2020-02-02T15:00}\n"
        "    - {<<: *first, t_end: 2020-02-02T16:00}\n"
    )
    assert spans_of(time) == [(day(2, 14), day(2, 16))]


def test_a_time_that_goes_on() -> None:
    split = ("random_by_relative_sample_size", "stable_hash")
    open_end = parse(("2020-02-02T14:30", "open"), split)
    assert open_end.time.is_open
    assert not parse().time.is_open
    (span,) = open_end.time.spans()
    assert span.is_open
    assert datetime(2100, 1, 1) in span
    assert datetime(2020, 2, 2, 13, 59) not in span
    intervals = "  intervals:\n  - {t_start: 2020-02-03, t_end: open}\n  - {t_start: 2020-02-02, N_days: 1}\n"
    joined = parse((SPAN, intervals), split).time
    assert [(span.start, span.is_open) for span in joined.spans()] == [(day(2), True)]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("  t_start: 2020-02-02\n  t_end: 2020-02-03\n", [(day(2), day(3))]),
        ("  t_start: 2020-02-02\n  N_days: 0.5\n", [(day(2), day(2, 12))]),
        ("  t_start: 2020-02-02\n  t_end: 2020-02-02\n", [(day(2), day(2))]),
        ("  t_start: 2020-02-02 14\n  N_days: 1\n", [(day(2, 14), day(3, 14))]),
        ("  t_start: 2020-02-02T14:00+02:00\n  t_end: 2020-02-02 14:00:00 -1\n", [(day(2, 12), day(2, 15))]),
        ("  intervals: {t_start: 2020-02-02, N_days: 1}\n", [(day(2), day(3))]),
        (
            "  intervals:\n  - {t_start: 2020-02-08, N_days: 1}\n  - {t_start: 2020-02-02, N_days: 1}\n",
            [(day(2), day(3)), (day(8), day(9))],
        ),
        (
            "  intervals:\n  - {t_start: 2020-02-02, N_days: 6}\n  - {t_start: 2020-02-03, N_days: 1}\n"
            "  - {t_start: 2020-02-08, N_days: 1}\n",
            [(day(2), day(9))],
        ),
        (
            "  intervals:\n  - intervals:\n    - {t_start: 2020-02-05, N_days: 1}\n"
            "    - intervals: {t_start: 2020-02-07, N_days: 1}\n  - {t_start: 2020-02-02, N_days: 1}\n",
            [(day(2), day(3)), (day(5), day(6)), (day(7), day(8))],
        ),
    ],
)
def test_spans_of_time(time: str, expected: list[tuple[datetime, datetime]]) -> None:
    assert spans_of(time) == expected


# What does not: (replacements, added text, every part of the message)

Bad = tuple[list[tuple[str, str]], str, list[str]]
BAD: dict[str, Bad] = {
    "misspelt key": (
        [("tile_N", "tile_n")],
        "",
        ["sampling.triplets.tile_n: unknown key (value 256)", "did you mean tile_N? allowed: N_triplets, tile_N"],
    ),
    "key in the wrong section": (
        [],
        "tile_N: 64\n",
        ["tile_N: unknown key (value 64)", "did you mean sampling.triplets.tile_N (mind the indentation)?"],
    ),
    "unknown section": ([], "aux: {a: 1}\n", ["aux: unknown key (value {'a': 1})", "allowed: source, product,"]),
    "key that is a boolean": ([], "on: 1\n", ["not text but true", "put it in quotes"]),
    "key that is a date": ([], "2020-02-02: 1\n", ["not text but 2020-02-02", "put it in quotes"]),
    "no source": ([("source: goes16\n", "")], "", ["source: is missing", "`source: goes16`"]),
    "unknown source": (
        [("goes16", "himawari")],
        "",
        ["source: 'himawari' is not supported", "supported: goes16, goes17, goes18, goes19"],
    ),
    "source in capitals": ([("goes16", "GOES16")], "", ["source: 'GOES16'", "did you mean goes16?"]),
    "unknown product": (
        [("truecolor_rgb", "true_color")],
        "",
        ["type: 'true_color' is no product of GOES", "truecolor_rgb, singlechannel__<n> or multichannel__"],
    ),
    "product that is a number": ([("truecolor_rgb", "13")], "", ["type: 13 is not text", "`type: truecolor_rgb`"]),
    "channel that is none": (
        [("truecolor_rgb", "singlechannel__17")],
        "",
        ["type: 'singlechannel__17' names channel 17", "channels 1 to 16"],
    ),
    "single underscores": (
        [("truecolor_rgb", "multichannel__10_11_12")],
        "",
        ["type: 'multichannel__10_11_12' holds '10_11_12'", "separated by two underscores"],
    ),
    "brightness temperature of sunlight": (
        [("truecolor_rgb", "singlechannel__bt_2")],
        "",
        ["type: 'singlechannel__bt_2' asks for the brightness temperature of channel 2", "write 2 or refl_2"],
    ),
    "reflectance of emitted light": (
        [("truecolor_rgb", "singlechannel__refl_13")],
        "",
        ["type: 'singlechannel__refl_13' asks for the reflectance of channel 13", "write 13 or bt_13"],
    ),
    "several channels as one": (
        [("truecolor_rgb", "singlechannel__10__11")],
        "",
        ["type: 'singlechannel__10__11' names 2 channels", "write multichannel__10__11"],
    ),
    "a channel twice": (
        [("truecolor_rgb", "multichannel__10__10")],
        "",
        ["type: 'multichannel__10__10' names radiance_10 more than once", "each field once"],
    ),
    "no product": ([("type: truecolor_rgb\n", "")], "", ["product: is missing", "`product: truecolor_rgb`"]),
    "empty product": ([("truecolor_rgb", "")], "", ["type: has no value", "`type: truecolor_rgb`"]),
    "product and type differ": (
        [],
        "product: other\n",
        ["product: 'other' differs from type 'truecolor_rgb'", "keep one"],
    ),
    "unknown sector": ([], "sector: m1\n", ["sector: 'm1'", "did you mean M1? supported: F, C, M1, M2"]),
    "archive with another placeholder": (
        [],
        "archive: s3://noaa-{sat}\n",
        ["archive: 's3://noaa-{sat}' has an unknown placeholder", "only {satellite}"],
    ),
    "archive with a stray brace": ([], "archive: 's3://{'\n", ["archive: 's3://{'", "only {satellite}"]),
    "archive of a home folder": ([], "archive: ~/goes\n", ["archive: '~/goes'", "write the full path"]),
    "archive that is a number": ([], "archive: 16\n", ["archive: 16 is not a path or URL", "`archive: s3://"]),
    "empty archive": ([], "archive:\n", ["archive: has no value", "or leave the key out"]),
    "no time": ([("time:\n" + SPAN, "")], "", ["time: is missing", "`time: {t_start: 2020-02-02T14:00"]),
    "empty time": ([(SPAN, "")], "", ["time: has no value", "`time: {t_start"]),
    "time without keys": (
        [("time:\n" + SPAN, "time: 2020-02-02\n")],
        "",
        ["time: 2020-02-02 is not a section", "t_start, t_end, N_days, intervals, source, filters"],
    ),
    "no start": (
        [("  t_start: 2020-02-02T14:00\n", "")],
        "",
        ["time: has no start", "give t_start with t_end or N_days, or give intervals"],
    ),
    "no end": (
        [("  t_end: 2020-02-02T14:30\n", "")],
        "",
        ["time: has t_start 2020-02-02T14:00:00 but no end", "add t_end: <time> or N_days: <days>"],
    ),
    "end before start": (
        [("14:30", "13:30")],
        "",
        ["time.t_end: 2020-02-02T13:30:00 is before t_start 2020-02-02T14:00:00", "swap the two"],
    ),
    "an end that is no word for open": (
        [("2020-02-02T14:30", "ongoing")],
        "",
        ["time.t_end: 'ongoing' is not a time"],
    ),
    "collections that would change": (
        [("2020-02-02T14:30", "open")],
        "",
        [
            "sampling.triplets.scene_collections_splitting: random_by_relative_sample_size beside time.t_end: open",
            "write `scene_collections_splitting: stable_hash`",
        ],
    ),
    "an open interval of a collection": (
        [
            (
                "random_by_relative_sample_size",
                "by_intervals\n    intervals: {train: {t_start: 2020-02-02, t_end: open}, study: {t_start: 2020-02-01, "
                "N_days: 1}}",
            )
        ],
        "",
        ["sampling.triplets: intervals.train: t_end: open is for `time` alone", "give t_end a time"],
    ),
    "the nearest of scenes that keep coming": (
        [("14:30\n", "14:30\n  filters: {using_trajectory_sampling: true}\n"), ("2020-02-02T14:30", "open")],
        "trajectories: {filepath: ship.nc}\n",
        ["time.filters: using_trajectory_sampling is given beside t_end: open", "give t_end a time"],
    ),
    "no queue": (
        [],
        "sensor: {queue_url: arn:aws:sqs:us-east-1:1:files}\n",
        ["sensor.queue_url: 'arn:aws:sqs:us-east-1:1:files' is not the URL of a queue", "not the ARN"],
    ),
    "no time to wait": (
        [],
        "sensor: {wait_for_channels: PT0S}\n",
        ["sensor.wait_for_channels: 'PT0S' is no time at all"],
    ),
    "two ends": ([(SPAN, SPAN + "  N_days: 2\n")], "", ["time.N_days: 2", "keep one of t_end and N_days"]),
    "no length": (
        [(SPAN, "  t_start: 2020-02-02\n  N_days: 0\n")],
        "",
        ["time.N_days: 0 is out of range", "above 0"],
    ),
    "too long": (
        [(SPAN, "  t_start: 2020-02-02\n  N_days: 1e9\n")],
        "",
        ["time.N_days: 1000000000.0", "year 9999", "`N_days: 0.5`"],
    ),
    "no such day": (
        [("2020-02-02T14:30", "2020-02-30")],
        "",
        ["time.t_end: '2020-02-30' is not a time (day", "write a time such as 2020-02-02T14:00"],
    ),
    "only a time of day": (
        [("2020-02-02T14:30", "14:30")],
        "",
        ["time.t_end: '14:30' is not a time", "write a time such as"],
    ),
    "a date without dashes": (
        [("2020-02-02T14:30", "20200203")],
        "",
        ["time.t_end: 20200203 is not a time", "write a time such as"],
    ),
    "intervals beside a span": (
        [(SPAN, SPAN + "  intervals: {t_start: 2020-02-02, N_days: 1}\n")],
        "",
        ["time.intervals: 1 given beside t_start, t_end", "make that span one of the intervals"],
    ),
    "no intervals": ([(SPAN, "  intervals: []\n")], "", ["time.intervals: [] is an empty list", "`intervals: [{"]),
    "intervals that are none": (
        [(SPAN, "  intervals: 3\n")],
        "",
        ["time.intervals: 3 is not a list", "`intervals: [{t_start: 2018-10-01, t_end: 2019-03-01}]`"],
    ),
    "an interval without end": (
        [(SPAN, "  intervals: [{t_start: 2020-02-02, N_days: 1}, {t_start: 2020-02-03}]\n")],
        "",
        ["time.intervals[1]: has t_start 2020-02-03T00:00:00 but no end", "add t_end"],
    ),
    "a key in the only interval": (
        [(SPAN, "  intervals: {t_start: 2020-02-02, days: 1}\n")],
        "",
        ["time.intervals.days: unknown key (value 1)", "allowed: t_start, t_end, N_days, intervals"],
    ),
    "unknown filter": (
        [(SPAN, SPAN + "  filters: {minit: [0, 30]}\n")],
        "",
        ["time.filters.minit: unknown key (value [0, 30])", "allowed: N_hours_from_zenith, year"],
    ),
    "filters in an interval": (
        [(SPAN, "  intervals: [{t_start: 2020-02-02, N_days: 1, filters: {}}]\n")],
        "",
        ["time.intervals[0].filters: unknown key (value {})", "time.filters (mind the indentation)"],
    ),
    "empty filters": ([(SPAN, SPAN + "  filters:\n")], "", ["time.filters: has no value", "leave the key out"]),
    "filter of nothing": (
        [(SPAN, SPAN + "  filters: {N_hours_from_zenith: 0}\n")],
        "",
        ["time.filters.N_hours_from_zenith: 0 is out of range", "above 0"],
    ),
    "beyond the pole": (
        [("13.3 ", "90.5 ")],
        "",
        ["domain.central_latitude: 90.5 is out of range", "it must be at most 90"],
    ),
    "beyond all longitudes": (
        [("-57.72 ", "-181 ")],
        "",
        ["domain.central_longitude: -181 is out of range", "it must be at least -180"],
    ),
    "beyond a turn": ([("-57.72 ", "361 ")], "", ["domain.central_longitude: 361", "it must be at most 360"]),
    "degrees and minutes": (
        [("-57.72 ", "-57:43 ")],
        "",
        ["domain.central_longitude: '-57:43' is not a number", "`central_longitude: -57.72`"],
    ),
    "a unit": (
        [("l_zonal: 200000", "l_zonal: 200 km")],
        "",
        ["domain.l_zonal: '200 km' is not a number", "`l_zonal: 200000.0`"],
    ),
    "infinite": ([("l_zonal: 200000", "l_zonal: .inf")], "", ["domain.l_zonal: inf is not a number", "`l_zonal"]),
    "larger than the earth": (
        [("l_zonal: 200000", "l_zonal: 2.0e+8")],
        "",
        ["domain.l_zonal: 200000000.0 is out of range", "at most 18000000"],
    ),
    "no side": (
        [("  l_zonal: 200000\n", "")],
        "",
        ["domain: has no l_zonal", "`l_zonal: 200000`", "`kind: as_source`"],
    ),
    "unknown kind": (
        [("domain:\n", "domain:\n  kind: circle\n")],
        "",
        ["domain.kind: 'circle'", "supported: rect, as_source, spanning_trajectories"],
    ),
    "a rectangle as the source": (
        [("domain:\n", "domain:\n  kind: as_source\n")],
        "",
        ["domain: has central_latitude, central_longitude, l_zonal, l_meridional beside kind as_source", "leave"],
    ),
    "an hour of the next day": (
        [(SPAN, SPAN + "  filters: {hours: [23, 24]}\n")],
        "",
        ["time.filters.hours: 24 is out of range", "it must be from 0 to 23"],
    ),
    "a filter that nothing passes": (
        [(SPAN, SPAN + "  filters: {minute: []}\n")],
        "",
        ["time.filters.minute: [] is an empty list"],
    ),
    "a filter in both numbers": (
        [(SPAN, SPAN + "  filters: {minute: 0, minutes: 30}\n")],
        "",
        ["time.filters: minute and minutes are both given", "keep one"],
    ),
    "no trajectories": (
        [(SPAN, "  source: trajectories\n")],
        "",
        ["trajectories: is missing, and time.source asks for trajectories", "`trajectories: {filepath:"],
    ),
    "a span beside that of trajectories": (
        [(SPAN, SPAN + "  source: trajectories\n")],
        "trajectories: {filepath: a.nc}\n",
        ["time.source: 'trajectories' is given beside t_start, t_end", "keep"],
    ),
    "a source that is not there yet": (
        [("goes16", "era5")],
        "",
        ["source: 'era5' is not supported yet", "supported: goes16"],
    ),
    "a product of another source": (
        [("goes16", "LES")],
        "",
        ["type: 'truecolor_rgb' is no product of a model", "use singlechannel__<variable>"],
    ),
    "a level 2 product that is none": (
        [("truecolor_rgb", "ACHAA")],
        "",
        ["type: 'ACHAA' is no level 2 product", "ACHA"],
    ),
    "a level 2 product of another sector": (
        [("truecolor_rgb", "SST")],
        "sector: C\n",
        ["sector: C has no SST", "it is made for F"],
    ),
    "files of a satellite": ([], "files: '*.nc'\n", ["files: is for files of a model", "this is goes16"]),
    "sector of a model": (
        [("goes16", "LES"), ("truecolor_rgb", "singlechannel__rlut")],
        "sector: C\n",
        ["sector: is for GOES, and this is LES"],
    ),
    "flags of a model": (
        [("goes16", "LES"), ("truecolor_rgb", "singlechannel__rlut")],
        "quality: good\n",
        ["quality.flags: is for GOES, and this is LES"],
    ),
    "an unknown word for quality": ([], "quality: best\n", ["quality: 'best' is not good or any", "[best]"]),
    "no flags": ([], "quality: {flags: []}\n", ["quality.flags: [] is an empty list"]),
    "a share above one": (
        [],
        "quality: {min_valid_share: 90}\n",
        ["quality.min_valid_share: 90 is out of range", "at most 1"],
    ),
    "a user function without input": (
        [("truecolor_rgb", "user_function")],
        "",
        ["input: is missing", "`input: [bt_11, bt_14]`"],
    ),
    "input without a user function": ([], "input: [1]\n", ["input: is for product: user_function"]),
    "an archive of a model": (
        [("goes16", "LES"), ("truecolor_rgb", "singlechannel__rlut")],
        "archive: /data\n",
        ["archive: is for GOES and CERES", "this is LES"],
    ),
    "a satellite in an archive of CERES": (
        [("goes16", "ceres"), ("truecolor_rgb", "goes16n__cloud_phase")],
        "archive: /data/{satellite}\n",
        ["archive: '/data/{satellite}' has {satellite}"],
    ),
    "a user function of two satellites": (
        [("goes16", "ceres"), ("truecolor_rgb", "user_function")],
        "input: [goes16n__cloud_phase, meteosat9n__cloud_phase]\n",
        ["input: goes16n__cloud_phase, meteosat9n__cloud_phase are of goes16n and meteosat9n"],
    ),
    "a split by keys of another": (
        [("tile_N: 256", "tile_N: 256\n    block: P1D")],
        "",
        ["sampling.triplets: block: is for by_time_block"],
    ),
    "intervals of one collection": (
        [("random_by_relative_sample_size", "by_intervals\n    intervals: {train: {t_start: 2020-02-02, N_days: 1}}")],
        "",
        ["sampling.triplets: intervals: and N_triplets differ in study"],
    ),
    "a sliding window in two names": (
        [
            (
                "resolution: 1000.0",
                "resolution: 1000.0\n  sliding_window: {tile_N: 8}\n  rect-slidingwindow: {tile_N: 8}",
            )
        ],
        "",
        ["sampling: sliding_window and rect-slidingwindow are both given"],
    ),
    "tiles of no trajectories": (
        [("resolution: 1000.0", "resolution: 1000.0\n  trajectories: {tile_N: 8}")],
        "",
        ["trajectories: is missing, and sampling.trajectories asks"],
    ),
    "a user function of no channel": (
        [("truecolor_rgb", "user_function")],
        "input: [bt_1]\n",
        ["input: 'bt_1' asks for the brightness temperature of channel 1"],
    ),
    "a user function of a field twice": (
        [("truecolor_rgb", "user_function")],
        "input: [bt_11, bt_11]\n",
        ["input: ['bt_11', 'bt_11'] names a field more than once"],
    ),
    "limits of a truecolor picture": ([], "image: {vmin: 0}\n", ["image: is for fields", "truecolor_rgb"]),
    "limits the wrong way": (
        [("truecolor_rgb", "singlechannel__bt_13")],
        "image: {vmin: 300, vmax: 200}\n",
        ["image.vmax: [200.0] is not above vmin [300.0]", "invert: true"],
    ),
    "limits of more bands": (
        [("truecolor_rgb", "singlechannel__bt_13")],
        "image: {vmin: [200, 210]}\n",
        ["image.vmin: has 2 values, and the product 1 band"],
    ),
    "no colours": (
        [("truecolor_rgb", "singlechannel__bt_13")],
        "image: {cmap: virids}\n",
        ["image.cmap: 'virids' is no colour map of Matplotlib", "viridis"],
    ),
    "colours of several bands": (
        [("truecolor_rgb", "multichannel__1__2")],
        "image: {cmap: viridis}\n",
        ["image.cmap: is for products of one band"],
    ),
    "a duration in words": (
        [("goes16", "LES"), ("truecolor_rgb", "singlechannel__rlut")],
        "coordinates: {time: {start: 2020-02-02, step: one minute}}\n",
        ["coordinates.time.step: 'one minute' is not a duration", "PT30M"],
    ),
    "times without a step": (
        [("goes16", "LES"), ("truecolor_rgb", "singlechannel__rlut")],
        "coordinates: {time: {start: 2020-02-02}}\n",
        ["coordinates.time: has neither name nor step"],
    ),
    "a step backwards": (
        [("goes16", "LES"), ("truecolor_rgb", "singlechannel__rlut")],
        "coordinates: {x: -50, y: 50}\n",
        ["coordinates.x: -50 is out of range", "it must be above 0"],
    ),
    "half a place": (
        [("goes16", "LES"), ("truecolor_rgb", "singlechannel__rlut")],
        "coordinates: {lon: XLONG}\n",
        ["coordinates: lon and lat go together"],
    ),
    "an unknown key of an auxiliary product": (
        [],
        "aux_products: {tops: {source: goes16, type: ACHA, dt: PT30M}}\n",
        ["aux_products.tops.dt: unknown key", "dt_aux"],
    ),
    "an auxiliary product without a product": (
        [],
        "aux_products: {tops: {source: goes16}}\n",
        ["aux_products.tops.product: is missing"],
    ),
    "an auxiliary product of no source": (
        [],
        "aux_products: {tops: {source: ceres, type: ACHA}}\n",
        ["aux_products.tops.type: 'ACHA' is no product of CERES"],
    ),
    "an auxiliary product in another folder": (
        [],
        "aux_products: {../tops: {source: goes16, type: ACHA}}\n",
        ["'../tops' is not a name", "letters, digits, _ and -"],
    ),
    "an auxiliary product named as a collection": (
        [],
        "aux_products: {train: {source: goes16, type: ACHA}}\n",
        ["aux_products: train is the name of a collection"],
    ),
    "auxiliary products of names that are alike": (
        [],
        "aux_products: {a-b: {source: goes16, type: ACHA}, A_b: {source: goes16, type: ACHA}}\n",
        ["aux_products: a-b and A_b differ only in capitals or between - and _"],
    ),
    "an unknown strategy": (
        [],
        "aux_products: {tops: {source: goes16, type: ACHA, scene_mapping_strategy: all_scenes}}\n",
        ["scene_mapping_strategy: 'all_scenes'", "single_scene_per_aux_time"],
    ),
    "an auxiliary duration in minutes": (
        [],
        "aux_products: {tops: {source: goes16, type: ACHA, dt_aux: 30}}\n",
        ["aux_products.tops.dt_aux: 30 is not a duration", "PT30M"],
    ),
    "a network of an unknown form": (
        [],
        "embeddings: [{model_path: a.h5, step_size: 30}]\n",
        ["embeddings[0].model_path: 'a.h5' does not end in .onnx, .pt2", "needs no PyTorch"],
    ),
    "a network at a URL": (
        [],
        "embeddings: [{model_path: s3://bucket/a.onnx, step_size: 30}]\n",
        ["embeddings[0].model_path: 's3://bucket/a.onnx' is a URL", "fetch the model"],
    ),
    "a network whose name is no folder's": (
        [],
        "embeddings: [{model_path: 'my network.onnx', step_size: 30}]\n",
        ["embeddings[0].model_path: 'my network.onnx' is not a name", "rename the file"],
    ),
    "windows without a step": (
        [],
        "embeddings: [{model_path: a.onnx}]\n",
        ["embeddings[0]: step_size: is missing", "`step_size: 30`"],
    ),
    "a step of triplets": (
        [],
        "embeddings: [{model_path: a.onnx, tiles_kind: triplets, step_size: 30}]\n",
        ["embeddings[0]: step_size: is for rect-slidingwindow, and this is triplets"],
    ),
    "embeddings of tiles that are not cut": (
        [],
        "embeddings: [{model_path: a.onnx, tiles_kind: trajectories}]\n",
        ["embeddings[0].tiles_kind: trajectories are not asked for", "add `trajectories` to `sampling`"],
    ),
    "two sets of one name": (
        [],
        "embeddings: [{model_path: a.onnx, step_size: 30}, {model_path: b/A.pt, step_size: 30}]\n",
        ["embeddings[1]: is called A.rect-slidingwindow.step_size__30 as embeddings[0] is", "name the files"],
    ),
    "embeddings of an unknown product": (
        [],
        "embeddings: [{model_path: a.onnx, step_size: 30, aux_name: tops}]\n",
        ["embeddings[0].aux_name: tops is not among aux_products"],
    ),
    "an unknown normalisation": (
        [],
        "embeddings: [{model_path: a.onnx, step_size: 30, normalisation: mean}]\n",
        ["embeddings[0].normalisation: 'mean' is no normalisation", "imagenet or none"],
    ),
    "two deviations": (
        [],
        "embeddings: [{model_path: a.onnx, step_size: 30, normalisation: {mean: [0, 0, 0], std: [1, 1]}}]\n",
        ["embeddings[0].normalisation.std: [1, 1] is not a list of three numbers"],
    ),
    "a deviation of zero": (
        [],
        "embeddings: [{model_path: a.onnx, step_size: 30, normalisation: {mean: [0, 0, 0], std: [1, 1, 0]}}]\n",
        ["embeddings[0].normalisation.std: [1.0, 1.0, 0.0] has a value that is not above 0"],
    ),
    "an unknown transform": (
        [],
        "embeddings: [{model_path: a.onnx, step_size: 30, transforms: [{type: pac}]}]\n",
        ["embeddings[0].transforms[0]: args: there is no transform 'pac'", "there are pca, standard_scaler"],
    ),
    "an unknown argument of a transform": (
        [],
        "embeddings: [{model_path: a.onnx, step_size: 30, transforms: [{type: pca, args: {n: 3}}]}]\n",
        ["embeddings[0].transforms[0]: args: n: is no argument of pca", "it takes n_components"],
    ),
    "a transform to fit that is fitted": (
        [],
        "embeddings: [{model_path: a.onnx, step_size: 30, transforms: [{type: pca, pretrained: pca_transform}]}]\n",
        ["type: and pretrained: both are given"],
    ),
    "arguments of a fitted transform": (
        [],
        "embeddings: [{model_path: a.onnx, step_size: 30, transforms: [{pretrained: pca_transform, fit_on: all}]}]\n",
        ["fit_on: is for fitting, and pca_transform is fitted"],
    ),
    "two transforms of one name": (
        [],
        "embeddings: [{model_path: a.onnx, step_size: 30, transforms: [{type: pca}, {pretrained: pca_transform}]}]\n",
        ["two of them are called pca_transform"],
    ),
    "numbers of an unknown product": (
        [],
        "embeddings: [{model_path: a.onnx, step_size: 30, aux_values: [{aux_name: tops}]}]\n",
        ["embeddings[0].aux_values: tops is not among aux_products"],
    ),
    "an unknown reduction": (
        [],
        "embeddings: [{model_path: a.onnx, step_size: 30, aux_values: [{aux_name: tops, reduce: [foobar]}]}]\n",
        ["embeddings[0].aux_values[0].reduce: there is no reduction 'foobar'", "p0 to p100"],
    ),
    "one set instead of a list": (
        [],
        "embeddings: {model_path: a.onnx, step_size: 30}\n",
        ["embeddings: {'model_path': 'a.onnx', 'step_size': 30} is not a list"],
    ),
    "no image function": ([], "image_function: my-picture\n", ["image_function: 'my-picture'"]),
    "kilometres for metres": (
        [("l_zonal: 200000", "l_zonal: 200")],
        "",
        ["sampling.resolution: 1000 is longer than the domain's shortest side 200", "both are in metres"],
    ),
    "no resolution": (
        [("  resolution: 1000.0\n", "")],
        "",
        ["sampling.resolution: is missing", "`resolution: 1000.0`"],
    ),
    "negative resolution": (
        [("1000.0", "-1000")],
        "",
        ["sampling.resolution: -1000 is out of range", "it must be above 0"],
    ),
    "resolution that is not a number": ([("1000.0", ".nan")], "", ["sampling.resolution: nan is not a number", "`res"]),
    "resolution that is true": ([("1000.0", "yes")], "", ["sampling.resolution: true is not a number", "`res"]),
    "unknown method": ([], "  method: cubic\n", ["sampling.method: 'cubic'", "supported: bilinear, nearest"]),
    "negative seed": ([], "  seed: -1\n", ["sampling.seed: -1 is out of range", "it must be at least 0"]),
    "seed with a fraction": ([], "  seed: 0.5\n", ["sampling.seed: 0.5 is not a whole number", "`seed: 0`"]),
    "empty triplets": (
        [(DOCUMENT[DOCUMENT.index("  triplets:") :], "  triplets:\n")],
        "",
        ["sampling.triplets: has no value", "`triplets: {N_triplets: {train: 10, study: 2}, tile_N: 256}`"],
    ),
    "no number of triplets": (
        [(f"    N_triplets: {COUNTS}\n", "")],
        "",
        ["sampling.triplets.N_triplets: is missing", "`N_triplets: {train: 10, study: 2}`"],
    ),
    "no triplet": (
        [(COUNTS, "{train: 0, study: 0}")],
        "",
        ["sampling.triplets.N_triplets: {'study': 0, 'train': 0} asks for no triplet", "one or more"],
    ),
    "negative number of triplets": (
        [(COUNTS, "{train: 3, study: -2}")],
        "",
        ["sampling.triplets.N_triplets.study: -2 is out of range", "at least 0"],
    ),
    "number of triplets with a fraction": (
        [(COUNTS, "{train: 3.5}")],
        "",
        ["sampling.triplets.N_triplets.train: 3.5 is not a whole number", "`N_triplets: {train: 10, study: 2}`"],
    ),
    "collection with a slash": (
        [(COUNTS, "{a/b: 3}")],
        "",
        ["sampling.triplets.N_triplets", "'a/b' is not a name", "use letters, digits, _ and -"],
    ),
    "collection named no": (
        [(COUNTS, "{no: 3}")],
        "",
        ["sampling.triplets.N_triplets: false is not a name", "put quotes around"],
    ),
    "half a cell": (
        [("tile_N: 256", "tile_N: 256.5")],
        "",
        ["sampling.triplets.tile_N: 256.5 is not a whole number", "`tile_N: 256`"],
    ),
    "no cell": ([("tile_N: 256", "tile_N: 0")], "", ["sampling.triplets.tile_N: 0", "it must be at least 1"]),
    "tiles larger than the earth": (
        [("tile_N: 256", "tile_N: 18001")],
        "",
        ["sampling.triplets.tile_N: 18001 cells of 1000 m", "give a smaller tile_N"],
    ),
    "tiles around trajectories larger than the earth": (
        [("sampling:", "trajectories: {filepath: ship.nc}\nsampling:\n  trajectories: {tile_N: 18001}")],
        "",
        ["sampling.trajectories.tile_N: 18001 cells of 1000 m", "give a smaller tile_N"],
    ),
    "conditions on no tiles": (
        [(SAMPLING, "sampling: {resolution: 1000, accept: {min_valid_share: 1.0}}\n")],
        "",
        ["sampling: accept: is for the tiles of triplets, of which none are asked for", "add `triplets: {"],
    ),
    "no tiles on the grid": (
        [(SAMPLING, "sampling: {resolution: 1000, snap_to_grid: true, sliding_window: {tile_N: 8}}\n")],
        "",
        ["sampling: snap_to_grid: is for the tiles of triplets", "leave it out"],
    ),
    "unknown splitting": (
        [("random_by_relative_sample_size", "by_date")],
        "",
        ["sampling.triplets.scene_collections_splitting: 'by_date'", "supported: random_by_relative_sample_size"],
    ),
    "a quoted boolean": (
        [],
        "product_options: {rayleigh_correction: 'false'}\n",
        ["product_options.rayleigh_correction: 'false' is neither true nor false", "without quotes"],
    ),
    "options that are none": (
        [],
        "product_options: yes\n",
        ["product_options: true is not a section", "its keys below it: rayleigh_correction"],
    ),
    "unknown format": ([], "storage: {format: hdf}\n", ["storage.format: 'hdf'", "supported: netcdf, zarr"]),
    "empty root": ([], "storage: {root: ''}\n", ["storage.root: '' is not a path or URL", "`root: s3://"]),
    "unknown workers": ([], "dask: {kind: fibers}\n", ["dask.kind: 'fibers'", "supported: threads, processes"]),
    "no workers": ([], "dask: {count: 0}\n", ["dask.count: 0 is out of range"]),
    "half an address": (
        [],
        "dask: {address: scheduler}\n",
        ["dask.address: 'scheduler' is no", "tcp://scheduler:8786"],
    ),
    "an address in blanks": ([], "dask: {address: 'tcp://a:1 '}\n", ["dask.address: 'tcp://a:1 ' is no"]),
    "a cluster and processes": (
        [],
        "dask: {kind: processes, address: 'tcp://scheduler:8786'}\n",
        ["dask.address: 'tcp://scheduler:8786' names a cluster", "kind is for workers of this machine", "leave one"],
    ),
    "a key twice": (
        [],
        "source: goes17\n",
        ["key source is given twice, in line 1 and line 20", "Keep one of them"],
    ),
    "a nested key twice": (
        [("l_zonal: 200000", "l_zonal: 200000\n  l_zonal: 1")],
        "",
        ["key l_zonal is given twice, in line 11 and line 12", "Keep one of them"],
    ),
    "open bracket": ([], "archive: [\n", ["not YAML at line 21, column 1", "close quotes and brackets"]),
    "tab": ([], "\tarchive: a\n", ["not YAML at line 20, column 1", "indent with spaces"]),
    "two documents": ([], "---\nsource: goes16\n", ["not YAML at line 20", "Mend that line"]),
    "python object": ([], "archive: !!python/name:os.system\n", ["not YAML at line 20, column 10", "Mend"]),
    "value that contains itself": ([], "archive: &a [*a]\n", ["not YAML at line 20", "recursive", "Mend"]),
    "control character": ([], "archive: \x07\n", ["not YAML at line 20, column 10", "0x7", "Delete"]),
    "mapping as a key": ([], "? {a: 1}\n: 2\n", ["not YAML at line 20", "unhashable", "Mend"]),
}


@pytest.mark.parametrize(("replacements", "add", "parts"), BAD.values(), ids=BAD.keys())
def test_messages(replacements: list[tuple[str, str]], add: str, parts: list[str]) -> None:
    with pytest.raises(MetaError) as raised:
        parse(*replacements, add=add)
    message = str(raised.value)
    assert message.startswith("meta.yaml: ")
    assert "problems" not in message
    for part in parts:
        assert part in message
    for jargon in ("Input should", "http", "pydantic", "datetime.", "NoneType", "ctx", "Value error"):
        assert jargon not in message


def test_all_problems_at_once() -> None:
    with pytest.raises(MetaError) as raised:
        parse(
            ("goes16", "goes15"),
            ("truecolor_rgb", "infrared"),
            (SPAN, "  t_start: soon\n  filters: {minute: 60}\n"),
            ("1000.0", "0"),
            add="  seed: x\n",
        )
    head, *lines = str(raised.value).splitlines()
    assert head == "meta.yaml: 5 problems:"
    assert [line.split(": ")[:2] for line in lines] == [
        ["  meta.yaml", key]
        for key in (
            "source",
            "time.t_start",
            "time.filters.minute",
            "sampling.resolution",
            "sampling.seed",
        )
    ]
    assert all(line.endswith(".") for line in lines)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "the file is empty"),
        ("# nothing yet\n", "the file is empty"),
        ("- source\n", "the file holds ['source'], not keys with values"),
        ("goes16\n", "the file holds 'goes16'"),
        ("[" * 2000, "nested too deeply"),
        ("x: " + "9" * 5000, "unknown key (value '999"),
    ],
)
def test_files_that_are_no_mapping(text: str, part: str) -> None:
    with pytest.raises(MetaError) as raised:
        parse_meta(text, "meta.yaml")
    assert part in str(raised.value)
    assert raised.value.where == "meta.yaml"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MetaError, match="no such file"):
        read_meta(tmp_path / "absent" / "meta.yaml")
    with pytest.raises(MetaError, match="this is a folder"):
        read_meta(tmp_path)
    path = tmp_path / "meta.yaml"
    path.write_bytes(b"source: goes16\narchive: caf\xe9\n")
    with pytest.raises(MetaError, match=r"line 2 is not UTF-8 text \(byte 0xe9\)") as raised:
        read_meta(path)
    assert raised.value.where == str(path)
    with pytest.raises(MetaError, match="cannot be read"):
        read_meta(path / "meta.yaml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "meta.yaml"
    path.write_text(DOCUMENT)
    path.chmod(0)
    with pytest.raises(MetaError, match="Permission denied"):
        read_meta(path)


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "meta.yaml"
    path.write_text(DOCUMENT, encoding="utf-8-sig")
    assert read_meta(path) == parse()


# The schema


class _TextTimes(yaml.SafeLoader):
    """As JSON has it: times are text."""


_TextTimes.add_constructor("tag:yaml.org,2002:timestamp", _TextTimes.construct_yaml_str)

#: Beyond a schema: two values that do not fit each other, or text whose meaning is wrong.
UNSEEN_BY_SCHEMA = {
    "a deviation of zero",
    "a network at a URL",
    "a network of an unknown form",
    "a network whose name is no folder's",
    "a step of triplets",
    "embeddings of an unknown product",
    "embeddings of tiles that are not cut",
    "two sets of one name",
    "an unknown transform",
    "an unknown argument of a transform",
    "a transform to fit that is fitted",
    "arguments of a fitted transform",
    "two transforms of one name",
    "numbers of an unknown product",
    "an unknown reduction",
    "windows without a step",
    "an open interval of a collection",
    "collections that would change",
    "no time to wait",
    "the nearest of scenes that keep coming",
    "a channel twice",
    "a cluster and processes",
    "a filter in both numbers",
    "a user function of a field twice",
    "a user function of no channel",
    "a user function without input",
    "an hour of the next day",
    "colours of several bands",
    "flags of a model",
    "a level 2 product of another sector",
    "half a place",
    "a satellite in an archive of CERES",
    "a sliding window in two names",
    "a split by keys of another",
    "a user function of two satellites",
    "intervals of one collection",
    "tiles of no trajectories",
    "an auxiliary product named as a collection",
    "auxiliary products of names that are alike",
    "input without a user function",
    "limits of a truecolor picture",
    "limits of more bands",
    "limits the wrong way",
    "no colours",
    "no trajectories",
    "a duration in words",
    "a span beside that of trajectories",
    "end before start",
    "too long",
    "no such day",
    "archive with another placeholder",
    "archive with a stray brace",
    "archive of a home folder",
    "kilometres for metres",
    "tiles larger than the earth",
    "tiles around trajectories larger than the earth",
    "conditions on no tiles",
    "no tiles on the grid",
    "no triplet",
    "a key twice",
    "a nested key twice",
    "resolution that is not a number",
}


def test_the_schema_is_a_schema_and_takes_the_example() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for text in (
        DOCUMENT,
        changed((SPAN, "  intervals: {t_start: 2020-02-02, N_days: 1}\n")),
        changed((SPAN, "  intervals:\n  - {t_start: 2018-10-01 00:00:00, t_end: 2019-03-01 00:00:00}\n")),
        changed((COUNTS, "5"), ("200000", "200e3")),
        changed(add="dask: {kind: processes, count: 2}\n"),
        changed(add="dask: {address: 'tls://10.0.0.1:8786'}\n"),
        changed(("type:", "product:"), add="archive: file:///a/{satellite}\nstorage: {root: b}\n"),
    ):
        parse_meta(text, "meta.yaml")
        validator.validate(yaml.load(text, _TextTimes))


#: Other data to a plain YAML or JSON reader, or none at all.
UNREAD_BY_SCHEMA = {"key that is a boolean", "key that is a date", "collection named no", "degrees and minutes"}
UNREAD_BY_SCHEMA |= {name for name, (_, _, parts) in BAD.items() if "not YAML" in parts[0]}


@pytest.mark.parametrize("name", sorted(BAD.keys() - UNREAD_BY_SCHEMA))
def test_the_schema_sees_what_is_wrong(name: str) -> None:
    replacements, add, _ = BAD[name]
    document = yaml.load(changed(*replacements, add=add), _TextTimes)
    is_valid = jsonschema.Draft202012Validator(json_schema()).is_valid(document)
    assert is_valid == (name in UNSEEN_BY_SCHEMA)


def test_every_key_is_described_with_an_example_that_loads() -> None:
    def check(model: type[BaseModel]) -> None:
        for key, field in model.model_fields.items():
            assert field.description, key
            assert field.examples, key

    sections = {type(parse()), *(type(value) for _, value in parse() if isinstance(value, BaseModel))}
    sections |= {
        type(parse().time.filters),
        type(parse().sampling.triplets),
        CoordinateNames,
        TimeCoordinate,
        Trajectories,
        AuxProduct,
        TrajectoryTiles,
        SlidingWindow,
        Accept,
        Flow,
        Embeddings,
        Normalisation,
        Transform,
        AuxValues,
    }
    assert {section.__name__ for section in sections} == {"Meta", *json_schema()["$defs"]} - {"TimeSpan"}
    for section in sections:
        check(section)
    examples = {key: field.examples[0] for key, field in Meta.model_fields.items() if field.examples}
    of_models = {key: examples.pop(key) for key in ("files", "coordinates", "level")}
    del examples["input"], examples["image"]
    assert Meta.model_validate(examples).source == "goes16"
    del examples["sector"], examples["sensor"], examples["product_options"], examples["quality"], examples["archive"]
    others = {"source": "LES", "product": "singlechannel__rlut", "image": {"vmin": 0.0}}
    assert Meta.model_validate(examples | of_models | others).source == "LES"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("ml-data/fixednorm-stage-2.torch.pkl", "fixednorm-stage-2"),
        ("/models/a.onnx", "a"),
        ("a.b.pt2", "a.b"),
        ("a.torch.ckpt", "a.torch"),
        ("a.pkl", "a"),
    ],
)
def test_a_network_is_called_as_its_file_is(path: str, name: str) -> None:
    assert model_name(path) == name


def test_a_set_of_embeddings_is_called_after_model_tiles_and_product() -> None:
    assert Embeddings(model_path="m/a.onnx", step_size=30).set_name == "a.rect-slidingwindow.step_size__30"
    assert Embeddings(model_path="a.pt", tiles_kind="triplets", aux_name="tops").set_name == "tops.a.triplets"


PAGE = Path(__file__).resolve().parents[2] / "docs" / "meta-yaml.md"


def test_every_key_has_its_section_in_the_documentation() -> None:
    schema = json_schema()
    sections = [schema, *schema["$defs"].values()]
    keys = {key for section in sections for key in section["properties"]}
    headings = [line for line in PAGE.read_text().splitlines() if line.startswith("#")]
    assert len(keys) > 25
    assert [key for key in sorted(keys) if not any(f"`{key}`" in heading for heading in headings)] == []


def test_the_examples_in_the_documentation_load() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) > 10
    for block in blocks:
        parts = yaml.load(block, _TextTimes)
        rest = {key: part for key, part in yaml.load(DOCUMENT, _TextTimes).items() if key not in parts}
        if "product" in parts:
            rest.pop("type", None)
        parse_meta(block + yaml.safe_dump(rest), str(PAGE)) if rest else parse_meta(block, str(PAGE))


# Datasets


def write(folder: Path, text: str = DOCUMENT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta.yaml").write_text(text)
    return folder


#: Stages of tiles that the example does not ask for.
OTHER_TILES = ("trajectory_plan", "trajectory_tiles", "sliding_window_tiles")


#: Stages that follow from all of another.
WHOLES = ("statistics", "flow", "flow_plots")


def fingerprints(folder: Path, text: str) -> dict[str, str]:
    dataset = load_dataset(write(folder, text))
    return {stage: dataset.fingerprint(stage) for stage in CODE_VERSIONS if stage not in (*OTHER_TILES, *WHOLES)}


def test_a_dataset_of_the_example(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path / "my data.set-1"))
    assert dataset.name == "my_data_set_1"
    assert dataset.directory == tmp_path / "my data.set-1"
    assert dataset.domain == LocalDomain(13.3, -57.72, 200e3, 200e3)
    assert dataset.grid.shape == (200, 200)
    assert dataset.tile_length == 256e3
    assert dataset.root == str(dataset.directory)
    assert dataset.archive is None
    assert pickle.loads(pickle.dumps(dataset)) == dataset


@pytest.mark.parametrize(
    ("latitude", "l_zonal", "l_meridional", "tile_n"),
    [(13.3, 200, 200, 256), (70, 200, 200, 256), (14, 3000, 200, 256), (-40, 200, 300, 256), (60, 300, 1000, 1200)],
)
def test_tiles_longer_than_the_domain_are_read_whole(
    tmp_path: Path, latitude: float, l_zonal: float, l_meridional: float, tile_n: int
) -> None:
    """Tiles anywhere in the domain, projected one by one, lie inside what is read in such a direction."""
    text = changed(
        ("13.3", str(latitude)),
        ("l_zonal: 200000", f"l_zonal: {l_zonal}e3"),
        ("l_meridional: 200000", f"l_meridional: {l_meridional}e3"),
        ("tile_N: 256", f"tile_N: {tile_n}"),
    )
    dataset = load_dataset(write(tmp_path / "a", text))
    domain, read, length = dataset.domain, dataset.read_domain, tile_n * 1e3
    rng = np.random.default_rng(1)
    x = np.r_[rng.uniform(-0.5, 0.5, 200), -0.5, -0.5, 0.5, 0.5] * domain.l_zonal
    y = np.r_[rng.uniform(-0.5, 0.5, 200), -0.5, 0.5, -0.5, 0.5] * domain.l_meridional
    reach_x = reach_y = 0.0
    for lon, lat in zip(*domain.to_lonlat(x, y), strict=True):
        tile = LocalDomain(float(lat), float(lon), length, length)
        tile_x, tile_y = domain.from_lonlat(*tile.to_lonlat(*tile.outline(64)))
        reach_x, reach_y = max(reach_x, abs(tile_x).max()), max(reach_y, abs(tile_y).max())
    for side, own, reach in (
        (read.l_zonal, domain.l_zonal, reach_x),
        (read.l_meridional, domain.l_meridional, reach_y),
    ):
        if length > own:
            assert reach <= side / 2 <= 1.02 * reach + 1e3
        else:
            assert side == own


def test_tiles_that_fit_need_no_more_than_the_domain(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path / "a", changed(("tile_N: 256", "tile_N: 200"))))
    assert dataset.read_domain == dataset.domain
    without = DOCUMENT[: DOCUMENT.index("  triplets:")]
    dataset = load_dataset(write(tmp_path / "b", without))
    assert dataset.tile_length is None
    assert dataset.read_domain == dataset.domain


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("out", "{here}/out"),
        ("../out", "{above}/out"),
        ("/data/out/", "/data/out"),
        ("s3://bucket/out/", "s3://bucket/out"),
        ("simplecache::s3://bucket/out", "simplecache::s3://bucket/out"),
    ],
)
def test_places_are_relative_to_the_file(tmp_path: Path, written: str, expected: str) -> None:
    text = changed(add=f"storage: {{root: '{written}'}}\narchive: {written}\n")
    dataset = load_dataset(write(tmp_path / "a", text))
    assert dataset.root == expected.format(here=tmp_path / "a", above=tmp_path)
    assert dataset.archive == dataset.root


def test_fingerprints_are_of_values_not_of_text(tmp_path: Path) -> None:
    same = """\
    sampling: {triplets: {N_triplets: {study: 2, train: 10}}, resolution: 1e3, seed: 0}
    domain: {l_meridional: 200e3, l_zonal: 2.0e+5, central_longitude: 302.28, central_latitude: 13.30, kind: rect}
    product: truecolor_rgb
    time: {intervals: [{t_start: 2020-02-02 15:00:00+01:00, N_days: 0.020833333333333332}]}
    source: goes16
    sector: F
    storage: {format: zarr}
    """
    assert fingerprints(tmp_path, same) == fingerprints(tmp_path, DOCUMENT)
    for value in fingerprints(tmp_path, DOCUMENT).values():
        assert len(value) == 12
        assert int(value, 16) >= 0


@pytest.mark.parametrize(
    ("replacements", "add", "new"),
    [
        ([("goes16", "goes17")], "", "scene_ids cropped regridded triplet_tiles"),
        ([], "sector: C\n", "scene_ids cropped regridded triplet_tiles"),
        ([], "archive: /data\n", ""),
        ([], "dask: {kind: processes}\n", ""),
        ([("14:30", "15:30")], "", "scene_ids"),
        ([(SPAN, SPAN + "  filters: {N_hours_from_zenith: 4}\n")], "", "scene_ids"),
        ([("-57.72 ", "-57.7 ")], "", "cropped regridded tile_plan triplet_tiles"),
        ([("l_zonal: 200000", "l_zonal: 300000")], "", "cropped regridded tile_plan triplet_tiles"),
        ([], "product_options: {rayleigh_correction: false}\n", "cropped regridded triplet_tiles"),
        ([("1000.0", "500"), ("tile_N: 256", "tile_N: 512")], "", "regridded tile_plan"),
        ([], "  method: nearest\n", "regridded triplet_tiles"),
        ([("tile_N: 256", "tile_N: 300")], "", "cropped regridded tile_plan triplet_tiles"),
        ([(COUNTS, "5")], "  seed: 3\n", "tile_plan"),
    ],
)
def test_fingerprints_change_with_what_the_files_depend_on(
    tmp_path: Path, replacements: list[tuple[str, str]], add: str, new: str
) -> None:
    old = fingerprints(tmp_path, DOCUMENT)
    now = fingerprints(tmp_path, changed(*replacements, add=add))
    assert [stage for stage in old if old[stage] != now[stage]] == new.split()


def test_fingerprints_of_tiles_that_fit(tmp_path: Path) -> None:
    old = fingerprints(tmp_path, changed(("tile_N: 256", "tile_N: 100")))
    now = fingerprints(tmp_path, changed(("tile_N: 256", "tile_N: 150")))
    # Which is all that tiles that fit have to do with the scenes they are cut from.
    assert [stage for stage in old if old[stage] != now[stage]] == ["tile_plan"]


def test_the_central_longitude_counts_where_a_filter_uses_it(tmp_path: Path) -> None:
    zenith = (SPAN, SPAN + "  filters: {N_hours_from_zenith: 4}\n")
    one = fingerprints(tmp_path, changed(zenith))
    other = fingerprints(tmp_path, changed(zenith, ("-57.72 ", "-57.7 ")))
    assert one["scene_ids"] != other["scene_ids"]


def test_new_code_makes_new_fingerprints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = fingerprints(tmp_path, DOCUMENT)
    monkeypatch.setitem(CODE_VERSIONS, "cropped", CODE_VERSIONS["cropped"] + 1)
    now = fingerprints(tmp_path, DOCUMENT)
    assert [stage for stage in old if old[stage] != now[stage]] == ["cropped", "regridded", "triplet_tiles"]
    monkeypatch.undo()
    monkeypatch.setitem(CODE_VERSIONS, "regridded", CODE_VERSIONS["regridded"] + 1)
    now = fingerprints(tmp_path, DOCUMENT)
    assert [stage for stage in old if old[stage] != now[stage]] == ["regridded", "triplet_tiles"]


def test_fingerprints_of_other_tiles(tmp_path: Path) -> None:
    def made_from(sampling: str, trajectories: str = "filepath: a.nc", more: str = "") -> dict[str, str]:
        text = changed(("  resolution: 1000.0", f"  resolution: 1000.0\n{sampling}"), add="")
        dataset = load_dataset(write(tmp_path, text + f"trajectories: {{{trajectories}}}\n{more}"))
        return {stage: dataset.fingerprint(stage) for stage in CODE_VERSIONS}

    (tmp_path / "a.nc").write_bytes(b"one")
    both = "  trajectories: {tile_N: 32}\n  sliding_window: {tile_N: 64, step: 32}"
    old = made_from(both)

    def differ(now: dict[str, str]) -> set[str]:
        return {stage for stage in old if old[stage] != now[stage]}

    assert differ(made_from(both.replace("step: 32", "step: 16"))) == {"sliding_window_tiles"}
    assert differ(made_from(both, "filepath: a.nc, max_dt: PT5M")) == {"trajectory_plan"}
    (tmp_path / "a.nc").write_bytes(b"another")
    assert differ(made_from(both)) == {"trajectory_plan"}
    (tmp_path / "a.nc").write_bytes(b"one")
    nearest = made_from(f"{both}\n  method: nearest")
    assert differ(nearest) == {
        "regridded",
        "triplet_tiles",
        "trajectory_tiles",
        "sliding_window_tiles",
        "statistics",
        "flow",
        "flow_plots",
    }
    assert differ(made_from(both, more="flow: {plot_dt_max: PT1H}\n")) == {"flow_plots"}
    assert differ(made_from(both, more="flow: {dt_max: PT1H}\n")) == {"flow", "flow_plots"}
    # Another plan takes tiles of the same kind from other places.
    assert differ(made_from(f"{both}\n  seed: 1")) == {"tile_plan", "statistics"}


def test_no_such_stage(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        load_dataset(write(tmp_path)).fingerprint("tiles")


def test_finding_datasets(tmp_path: Path) -> None:
    one, two = write(tmp_path / "all" / "one"), write(tmp_path / "all" / "two")
    (tmp_path / "all" / "three").mkdir()
    inner = write(tmp_path / "other" / "own" / "inner").parent
    write(inner)
    assert find_datasets([tmp_path / "all"]) == [one, two]
    assert find_datasets([two, tmp_path / "all", inner]) == [two, one, inner]
    assert find_datasets([tmp_path]) == []
    with pytest.raises(MetaError, match=r"absent.*No such file.*Name folders"):
        find_datasets([tmp_path / "absent"])


def test_paths_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVML_DATASETS", raising=False)
    assert dataset_paths_from_environment() == [Path()]
    monkeypatch.setenv("CONVML_DATASETS", f"/a{os.pathsep}b/c{os.pathsep}")
    assert dataset_paths_from_environment() == [Path("/a"), Path("b/c")]


def test_errors_of_one_dataset_leave_the_others(tmp_path: Path) -> None:
    write(tmp_path / "good")
    write(tmp_path / "bad", "source: 5\n")
    write(tmp_path / "same-name")
    write(tmp_path / "same_name")
    datasets, errors = load_datasets([tmp_path / "absent", tmp_path])
    assert [dataset.name for dataset in datasets] == ["good"]
    absent, bad, same = map(str, errors)
    assert str(tmp_path / "absent") in absent
    assert str(tmp_path / "bad" / "meta.yaml") in bad
    assert str(tmp_path / "same-name") in same
    assert str(tmp_path / "same_name") in same


def test_describing_a_dataset_loads_nothing_heavy() -> None:
    code = (
        "import sys, convml_data.meta.load, convml_data.meta.schema, convml_data.cli\n"
        "heavy = {'numpy', 'pyproj', 'xarray', 'dask', 'dagster', 'torch', 'satpy', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "import convml_data.meta.dataset\n"
        "heavy -= {'numpy', 'pyproj'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
