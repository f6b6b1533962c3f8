"""Names of CERES say the same after they were written and read; packed values come back; the sun gives energy only."""

from __future__ import annotations

import contextlib
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convml_data.sources import cf
from convml_data.sources.ceres import radiation
from convml_data.sources.ceres.names import CeresFileName, version_of_folder
from convml_data.sources.ceres.products import CERES_PATTERN, PLATFORMS, VARIABLES, parse_ceres

minutes = st.datetimes(datetime(1900, 1, 1), datetime(2999, 12, 31)).map(
    lambda time: time.replace(second=0, microsecond=0)
)
names = st.builds(
    CeresFileName,
    platform=st.sampled_from(["GOE16_NH", "MET09_NH", "GOE15_SH", "HIM08_NH", "MTS02_SH"]),
    version=st.sampled_from(["V01", "V01.2", "V02.10"]),
    time=minutes,
    spacing_km=st.integers(1, 99),
)


@given(names)
def test_a_written_file_name_reads_as_itself(name: CeresFileName) -> None:
    assert CeresFileName.parse(str(name)) == name


@given(names)
def test_a_path_holds_platform_version_and_day(name: CeresFileName) -> None:
    folder, year, day, file = name.path.split("/")
    assert CeresFileName.parse(file) == name
    assert version_of_folder(folder, name.platform) == name.version
    assert datetime.strptime(f"{year} {day}", "%Y %j").date() == name.time.date()


@given(names, st.integers(0, 60), st.characters(codec="ascii"))
def test_a_name_is_refused_or_read_to_the_letter(name: CeresFileName, position: int, character: str) -> None:
    text = str(name)
    changed = text[:position] + character + text[position + 1 :]
    with contextlib.suppress(ValueError):
        assert str(CeresFileName.parse(changed)) == changed


@given(st.sampled_from(sorted(PLATFORMS)), st.sampled_from(VARIABLES))
def test_every_product_reads_as_its_parts(satellite: str, variable: str) -> None:
    field = parse_ceres(f"{satellite}__{variable}")
    assert (field.satellite, field.variable, field.platform) == (satellite, variable, PLATFORMS[satellite])


@given(st.from_regex(CERES_PATTERN, fullmatch=True))
def test_the_pattern_holds_nothing_but_products(product: str) -> None:
    assert "__".join((parse_ceres(product).satellite, parse_ceres(product).variable)) == product


@given(
    st.lists(st.integers(-32767, 32767), min_size=1, max_size=20),
    st.floats(1e-3, 10),
    st.floats(-100, 100),
    st.integers(-32768, 32767),
)
def test_unpacking_inverts_packing(counts: list[int], scale: float, offset: float, fill: int) -> None:
    stored = np.array(counts, np.int16)
    attributes = {"scale_factor": scale, "add_offset": offset, "_FillValue": np.int16(fill)}
    values = cf.decode(stored, attributes)
    assert np.array_equal(np.isnan(values), stored == fill)
    valid = stored != fill
    assert np.array_equal(np.rint((values[valid] - offset) / scale).astype(int), stored[valid])


@settings(max_examples=50)
@given(st.floats(-180, 180), st.floats(-90, 90), st.datetimes(datetime(1980, 1, 1), datetime(2060, 1, 1)))
def test_sunlight_is_never_negative_nor_more_than_the_sun_gives(lon: float, lat: float, time: datetime) -> None:
    here, antipode = (
        radiation.incoming_flux(np.array([place]), np.array([latitude]), time)[0]
        for place, latitude in ((lon, lat), (lon + 180, -lat))
    )
    assert 0 <= here <= radiation.TOTAL_SOLAR_IRRADIANCE * 1.035
    assert min(here, antipode) == 0  # the sun is below one of the two horizons
    reflected = radiation.reflected_flux(np.array([here]), np.array([np.nan if here == 0 else 0.3]))[0]
    assert reflected == pytest.approx(0.3 * here)


@settings(max_examples=30)
@given(st.datetimes(datetime(1990, 1, 1), datetime(2049, 1, 1)))
def test_the_whole_earth_gets_a_quarter_of_what_the_sun_gives(time: datetime) -> None:
    lat = np.rad2deg(np.arcsin(np.linspace(-1, 1, 401)[:-1] + 1 / 400))  # bands of equal area
    lon = np.linspace(-180, 180, 240, endpoint=False)
    mean = radiation.incoming_flux(*np.meshgrid(lon, lat), time).mean()
    assert 0.965 < mean / (radiation.TOTAL_SOLAR_IRRADIANCE / 4) < 1.035
