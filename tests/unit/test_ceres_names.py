"""Products, file names and places of the archive of CERES."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from convml_data.sources.ceres.archive import PUBLIC_ARCHIVE, archive_url
from convml_data.sources.ceres.names import CeresFileName, version_of_folder
from convml_data.sources.ceres.products import CERES_PATTERN, CeresField, parse_ceres

# --- products ------------------------------------------------------------------------------------


def test_a_product_names_satellite_and_variable() -> None:
    assert parse_ceres("goes16n__cloud_top_height") == CeresField("goes16n", "cloud_top_height")
    assert parse_ceres("meteosat9n__approximate_toa_net_radiation_flux").platform == "MET09_NH"


@pytest.mark.parametrize(
    ("product", "what", "remedy"),
    [
        ("cloud_top_height", "no product of CERES", "for example goes16n__cloud_top_height"),
        ("pixel_sza", "no product of CERES", "for example goes16n__pixel_sza"),
        ("goes16n_cloud_top_height", "no product of CERES", "for example goes16n__cloud_top_height"),
        ("goes16__cloud_top_height", "'goes16', which is no satellite", "did you mean goes16n? allowed: goes16n"),
        ("himawari8n__cloud_phase", "'himawari8n', which is no satellite", "allowed: goes16n, meteosat9n"),
        ("goes16n__cloud_top_heigth", "'cloud_top_heigth', which is no variable", "did you mean cloud_top_height?"),
        ("goes16n__Broadband_Longwave_Flux", "no variable", "did you mean broadband_longwave_flux?"),
        ("goes16n__albedo", "'albedo', which is no variable", "allowed: reflectance_vis, "),
        ("goes16n__cloud_top_height__x", "no variable", "did you mean cloud_top_height?"),
        ("", "no product of CERES", "for example"),
    ],
)
def test_what_is_no_product_says_what_is(product: str, what: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=re.escape(what)) as error:
        parse_ceres(product)
    assert remedy in error.value.args[1]
    assert re.match(CERES_PATTERN, product) is None


# --- names ---------------------------------------------------------------------------------------


def test_a_name_as_the_archive_writes_it() -> None:
    name = CeresFileName.parse("CER_GEO_Ed4_GOE16_NH_V01.2_2021.181.2330.06K.nc")
    assert name == CeresFileName("GOE16_NH", "V01.2", datetime(2021, 6, 30, 23, 30), 6)
    assert name.path == "GOE16_NH_V01.2/2021/181/CER_GEO_Ed4_GOE16_NH_V01.2_2021.181.2330.06K.nc"


@pytest.mark.parametrize(
    "name",
    [
        "CER_GEO_Ed4_GOE16_NH_V01.2_2021.181.2330.06K.nc.xml",
        "CER_GEO_Ed4_GOE16_NH_V01.2_2021.366.2330.06K.nc",  # no leap year
        "CER_GEO_Ed4_GOE16_NH_V01.2_2021.181.2460.06K.nc",
        "CER_GEO_Ed4_GOE16_NH_V01.2_2021.000.2330.06K.nc",
        "CER_GEO_Ed3_GOE16_NH_V01.2_2021.181.2330.06K.nc",
        "index.html",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a CERES GEO file"):
        CeresFileName.parse(name)


@pytest.mark.parametrize(
    ("folder", "version"),
    [
        ("GOE16_NH_V01.2", "V01.2"),
        ("GOE16_NH_V01", "V01"),
        ("GOE16_SH_V01.2", None),
        ("MET09_NH_V01.2", None),
        ("x", None),
    ],
)
def test_folders_of_other_platforms_are_none(folder: str, version: str | None) -> None:
    assert version_of_folder(folder, "GOE16_NH") == version


# --- where the archive is ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configured", "environ", "expected"),
    [
        (None, {}, PUBLIC_ARCHIVE),
        (None, {"CONVML_CERES_ARCHIVE": ""}, PUBLIC_ARCHIVE),
        (None, {"CONVML_CERES_ARCHIVE": "https://copy.org/ceres/"}, "https://copy.org/ceres"),
        ("s3://bucket/ceres/", {"CONVML_CERES_ARCHIVE": "https://copy.org"}, "s3://bucket/ceres"),
        ("/data/all of it/", {}, "file:///data/all of it"),
        ("file:///data/ceres", {}, "file:///data/ceres"),
    ],
)
def test_meta_yaml_comes_before_the_environment_before_the_public_archive(
    configured: str | None, environ: dict[str, str], expected: str
) -> None:
    assert archive_url(configured, environ) == expected


def test_relative_paths_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert archive_url("ceres", {}) == f"file://{tmp_path}/ceres"
