"""Reading trajectories, and the time and area that follow from them."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from convml_data.errors import MetaError
from convml_data.trajectories import read_trajectories


def drifting(n: int = 5) -> xr.Dataset:
    times = np.datetime64("2020-02-02T14:00") + np.arange(n) * np.timedelta64(10, "m")
    return xr.Dataset(
        {"lat": ("time", 13 + 0.1 * np.arange(n)), "lon": ("time", -57.0 - 0.2 * np.arange(n))}, {"time": times}
    )


@pytest.mark.parametrize("format_", ["NETCDF4", "NETCDF3_CLASSIC"])
def test_one_trajectory_of_either_format(tmp_path: Path, format_: str) -> None:
    engine = "h5netcdf" if format_ == "NETCDF4" else "scipy"
    drifting().to_netcdf(tmp_path / "a.nc", engine=engine, format=format_)
    read = read_trajectories(tmp_path / "a.nc")
    assert (read.span.start, read.span.end) == (datetime(2020, 2, 2, 14), datetime(2020, 2, 2, 14, 40))
    np.testing.assert_allclose(read.lat, drifting()["lat"])
    np.testing.assert_allclose(read.lon, drifting()["lon"])


def test_several_trajectories_with_gaps(tmp_path: Path) -> None:
    one, other = drifting(), drifting() + 1
    both = xr.concat([one, other.where(other["lat"] > 14.15)], "trajectory").transpose("trajectory", "time")
    both.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    read = read_trajectories(tmp_path / "a.nc")
    assert len(read.times) == len(read.lat) == len(read.lon) == 5 + 3
    assert np.isfinite(read.lat).all()


def test_a_file_may_say_how_long_its_points_hold(tmp_path: Path) -> None:
    drifting().to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    assert read_trajectories(tmp_path / "a.nc").max_dt is None
    drifting().assign_attrs(max_dt="PT300.050000S").to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    assert read_trajectories(tmp_path / "a.nc").max_dt == timedelta(seconds=300.05)
    drifting().assign_attrs(max_dt=300).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with pytest.raises(MetaError, match=r"of its attribute max_dt, .*300.* is not a duration\. Write one such as PT5M"):
        read_trajectories(tmp_path / "a.nc")


@pytest.mark.parametrize("centre", [-57.0, 179.9, -179.9])
def test_the_domain_holds_all_points_also_over_the_date_line(tmp_path: Path, centre: float) -> None:
    data = drifting()
    data["lon"] = ((data["lon"] + 57.4 + centre) + 180) % 360 - 180
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    read = read_trajectories(tmp_path / "a.nc")
    domain = read.domain(1.2)
    x, y = domain.from_lonlat(read.lon, read.lat)
    assert np.abs(x).max() == pytest.approx(domain.l_zonal / 2 / 1.2, rel=1e-6)
    assert np.abs(y).max() == pytest.approx(domain.l_meridional / 2 / 1.2, rel=1e-6)
    assert domain.l_zonal < 200e3
    assert read.domain(2.0).l_zonal == pytest.approx(2 / 1.2 * domain.l_zonal)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (drifting().drop_vars("lat"), "the file has no lat"),
        (drifting().assign_coords(time=[0, 1, 2, 3, 4]), "time has no units"),
        (drifting() * np.nan, "no point with time, lat and lon"),
        (drifting() * 10, "lat has the value 130, which is not from -90 to 90"),
        (drifting().assign(lat=drifting()["lat"] - 200), "lat has the value -187"),
        (drifting().assign(lon=drifting()["lon"] - 300), "lon has the value -357, which is not from -180 to 360"),
        (drifting().assign(lon=("time", [0, 360, 361.5, 2, 3])), "lon has the value 361.5"),
    ],
)
def test_files_that_hold_no_trajectory(tmp_path: Path, data: xr.Dataset, what: str) -> None:
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with pytest.raises(MetaError, match=what) as raised:
        read_trajectories(tmp_path / "a.nc")
    assert "trajectories.filepath" in str(raised.value)


def test_no_netcdf_file(tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_text("time,lat,lon")
    with pytest.raises(MetaError, match="cannot be read as netCDF"):
        read_trajectories(tmp_path / "a.nc")
    with pytest.raises(MetaError, match="cannot be read as netCDF"):
        read_trajectories(tmp_path / "b.nc")
