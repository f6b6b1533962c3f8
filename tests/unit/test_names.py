"""ABI file names, archive folders and scene IDs."""

from __future__ import annotations

from datetime import datetime

import pytest

from convml_data.scenes.ids import parse_scene_id, scene_id_of
from convml_data.sources.goes.names import AbiFileName, hour_folder


def test_a_radiance_file() -> None:
    name = AbiFileName.parse("OR_ABI-L1b-RadM1-M6C02_G17_s20193351027275_e20193351027332_c20193351027364.nc")
    assert name == AbiFileName(
        level="L1b",
        product="Rad",
        sector="M1",
        mode=6,
        channel=2,
        satellite="goes17",
        start=datetime(2019, 12, 1, 10, 27, 27, 500_000),
        end=datetime(2019, 12, 1, 10, 27, 33, 200_000),
        created=datetime(2019, 12, 1, 10, 27, 36, 400_000),
    )
    assert name.path == f"ABI-L1b-RadM/2019/335/10/{name}"


@pytest.mark.parametrize(
    ("text", "product", "sector", "mode", "channel"),
    [
        ("OR_ABI-L2-ACHAC-M6_G17_s20221210056177_e20221210058550_c20221210101371.nc", "ACHA", "C", 6, None),
        ("OR_ABI-L2-AODC-M3_G16_s20183191402157_e20183191404530_c20183191407055.nc", "AOD", "C", 3, None),
        ("OR_ABI-L2-CMIPF-M4C13_G19_s20250010000204_e20250010009512_c20250010009590.nc", "CMIP", "F", 4, 13),
        ("OR_ABI-L2-ACMM2-M6_G18_s20250010000204_e20250010000261_c20250010000590.nc", "ACM", "M2", 6, None),
    ],
)
def test_products_and_sectors(text: str, product: str, sector: str, mode: int, channel: int | None) -> None:
    name = AbiFileName.parse(text)
    assert (name.product, name.sector, name.mode, name.channel) == (product, sector, mode, channel)
    assert str(name) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "index.html",
        "OR_ABI-L1b-RadM1-M6C02_G17_s20193351027275_e20193351027332_c20193351027364.nc.part",
        "x_OR_ABI-L1b-RadM1-M6C02_G17_s20193351027275_e20193351027332_c20193351027364.nc",
        "OR_ABI-L1b-RadX-M6C02_G17_s20193351027275_e20193351027332_c20193351027364.nc",
        "OR_ABI-L1b-RadM1-M6C02_G17_s20190001027275_e20193351027332_c20193351027364.nc",
        "OR_ABI-L1b-RadM1-M6C02_G17_s20193352527275_e20193351027332_c20193351027364.nc",
        "OR_GLM-L2-LCFA_G16_s20193351027275_e20193351027332_c20193351027364.nc",
    ],
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (of strptime for times that do not exist)
        AbiFileName.parse(text)


@pytest.mark.parametrize(
    ("hour", "folder"),
    [
        (datetime(2020, 1, 1, 0, 59, 59), "ABI-L1b-RadF/2020/001/00"),
        (datetime(2020, 12, 31, 23), "ABI-L1b-RadF/2020/366/23"),
        (datetime(2020, 3, 1), "ABI-L1b-RadF/2020/061/00"),
        (datetime(2021, 3, 1), "ABI-L1b-RadF/2021/060/00"),
    ],
)
def test_hour_folders(hour: datetime, folder: str) -> None:
    assert hour_folder("L1b", "Rad", "F", hour) == folder


def test_scene_ids_are_named_after_the_minute() -> None:
    start = datetime(2020, 2, 2, 14, 0, 16, 500_000)
    assert scene_id_of("goes16", start) == "goes16__202002021400"
    assert parse_scene_id("goes16__202002021400") == ("goes16", datetime(2020, 2, 2, 14))
    assert parse_scene_id("ceres_geo__202002021400") == ("ceres_geo", datetime(2020, 2, 2, 14))


@pytest.mark.parametrize(
    "text", ["goes16_202002021400", "goes16__20200202140", "goes16__202013021400", "__202002021400", ""]
)
def test_other_scene_ids_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (of strptime for times that do not exist)
        parse_scene_id(text)


def test_real_files_are_named_and_placed_so(shared_data: object) -> None:
    paths = sorted(shared_data.glob("noaa-goes*/**/*.nc"))  # type: ignore[attr-defined]
    assert len(paths) > 20
    for path in paths:
        name = AbiFileName.parse(path.name)
        assert str(name) == path.name
        assert path.as_posix().endswith(f"noaa-{name.satellite}/{name.path}")
