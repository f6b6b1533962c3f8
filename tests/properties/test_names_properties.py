"""Names say the same after they were written and read."""

from __future__ import annotations

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from convml_data.scenes.ids import parse_scene_id, scene_id_of
from convml_data.sources.goes.names import AbiFileName

times = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)).map(
    lambda time: time.replace(microsecond=time.microsecond // 100_000 * 100_000)
)
names = st.builds(
    AbiFileName,
    level=st.sampled_from(["L1b", "L2"]),
    product=st.sampled_from(["Rad", "ACHA", "ACM", "CMIP", "AOD", "FDC", "MCMIP", "RSR", "C", "F", "M1"]),
    sector=st.sampled_from(["F", "C", "M1", "M2"]),
    mode=st.sampled_from([3, 4, 6]),
    channel=st.none() | st.integers(1, 16),
    satellite=st.sampled_from(["goes16", "goes17", "goes18", "goes19"]),
    start=times,
    end=times,
    created=times,
)


@given(names)
def test_a_written_file_name_reads_as_itself(name: AbiFileName) -> None:
    assert AbiFileName.parse(str(name)) == name


@given(names)
def test_a_path_ends_with_the_name_and_begins_with_the_product(name: AbiFileName) -> None:
    product, year, day, hour, file = name.path.split("/")
    assert AbiFileName.parse(file) == name
    assert product == f"ABI-{name.level}-{name.product}{name.sector[0]}"
    assert datetime.strptime(f"{year} {day} {hour}", "%Y %j %H") == name.start.replace(
        minute=0, second=0, microsecond=0
    )


@given(st.from_regex(r"[a-z0-9]+(_[a-z0-9]+)*", fullmatch=True), times)
def test_a_scene_id_gives_back_source_and_minute(source: str, start: datetime) -> None:
    assert parse_scene_id(scene_id_of(source, start)) == (source, start.replace(second=0, microsecond=0))
