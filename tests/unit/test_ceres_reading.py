"""What is read of a CERES file: units, packing, places, categories, derived fluxes, and all that can be wrong."""

from __future__ import annotations

import gc
import pickle
import shutil
import weakref
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import h5netcdf
import h5py
import numpy as np
import pytest
import xarray as xr

from convml_data.errors import ArchiveError, SceneError
from convml_data.geometry.local import LocalDomain
from convml_data.geometry.quads import QuadSearch
from convml_data.geometry.source_grids import grid_of
from convml_data.geometry.windows import Window
from convml_data.scenes.ledger import Scan, SourceFile
from convml_data.simulate import ceres as simulated
from convml_data.sources import remembered, shares
from convml_data.sources.base import Interval
from convml_data.sources.ceres import files, radiation
from convml_data.sources.ceres.files import CeresFile
from convml_data.sources.ceres.source import CeresSource
from convml_data.sources.remembered import Remembered

DAY, NIGHT = datetime(2020, 2, 2, 16, 30), datetime(2020, 2, 2, 4, 30)
DOMAIN = LocalDomain(13.3, -57.7, 200e3, 150e3)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ceres")
    spans = [Interval(DAY, DAY), Interval(NIGHT, NIGHT)]
    simulated.simulate_ceres(folder, satellites=["goes16n"], spans=spans, domain=DOMAIN)
    return folder


def source(archive: Path, variable: str) -> CeresSource:
    return CeresSource(f"goes16n__{variable}", f"file://{archive}", "unused")


def read(archive: Path, variable: str, time: datetime = DAY, domain: LocalDomain = DOMAIN) -> xr.Dataset:
    found = source(archive, variable)
    (scan,) = found.find([Interval(time, time)])
    return found.read(scan, domain)


def only_file(archive: Path, time: datetime = DAY) -> Path:
    (path,) = archive.rglob(f"*.{time:%H%M}.06K.nc")
    return path


@pytest.fixture
def copy(archive: Path, tmp_path: Path) -> Path:
    """An archive with the file of the day, to be changed."""
    folder = tmp_path / "copy"
    target = folder / only_file(archive).relative_to(archive)
    target.parent.mkdir(parents=True)
    shutil.copy(only_file(archive), target)
    return folder


# --- values --------------------------------------------------------------------------------------


def test_values_are_those_of_the_file_with_its_units(archive: Path) -> None:
    scene = read(archive, "cloud_top_height")
    field = scene.cloud_top_height
    assert (field.dims, field.dtype, field.attrs["units"]) == (("y", "x"), np.float32, "km")
    truth = simulated.cloud_top_height(scene.lon.values, scene.lat.values, DAY)
    assert 0.05 < np.isfinite(truth).mean() < 0.95
    # Latitudes are kept in single precision, 0.1 m, over which the clouds change little.
    np.testing.assert_allclose(field.values, truth, atol=1e-3)

    with h5py.File(only_file(archive)) as file:  # an oracle that decodes nothing
        stored, lat = file["cloud_top_height"][()], file["latitude"][()]
    row, column = (int(at[0]) for at in np.nonzero(lat == np.float32(scene.lat.values[0, 0])))
    window = stored[row : row + field.shape[0], column : column + field.shape[1]]
    assert np.array_equal(np.where(window > 1e30, np.nan, window), field.values, equal_nan=True)


def test_a_scene_says_where_it_is_from(archive: Path) -> None:
    scene = read(archive, "temperature_ir")
    assert {key: scene.attrs[key] for key in ("satellite", "product", "scene_time", "valid_share", "source_file")} == {
        "satellite": "goes16n",
        "product": "goes16n__temperature_ir",
        "scene_time": "2020-02-02T16:30:00",
        "valid_share": 1.0,
        "source_file": only_file(archive).name,
    }
    assert scene.attrs["bytes_read"] == only_file(archive).stat().st_size
    grid = grid_of(scene)
    assert grid.shape == scene.temperature_ir.shape
    row, column = grid.pixel_of(scene.lon.values[3, 5], scene.lat.values[3, 5])
    assert (float(row), float(column)) == pytest.approx((3, 5), abs=1e-6)


def test_the_window_covers_the_domain_and_no_more_than_it_takes(archive: Path) -> None:
    scene = read(archive, "temperature_ir", domain=LocalDomain(13.5, -57.5, 60e3, 60e3))
    lon, lat = LocalDomain(13.5, -57.5, 60e3, 60e3).to_lonlat(*LocalDomain(13.5, -57.5, 60e3, 60e3).outline(64))
    rows, columns = grid_of(scene).pixel_of(lon, lat)
    assert rows.min() > 1
    assert rows.max() < scene.sizes["y"] - 2
    assert scene.sizes["y"] < 60 / 6 + 10
    assert np.isfinite(columns).all()


def test_the_share_of_valid_values_is_that_of_the_domain(archive: Path) -> None:
    scene = read(archive, "cloud_top_height")
    share = np.isfinite(scene.cloud_top_height.values).mean()
    assert scene.attrs["valid_share"] == pytest.approx(share, abs=0.08)
    whole = source(archive, "temperature_ir")
    (scan,) = whole.find([Interval(DAY, DAY)])
    wide = whole.read(scan, LocalDomain(13.3, -57.7, 2000e3, 150e3))
    assert wide.attrs["valid_share"] == pytest.approx((200 + 2 * 8 * 7.5) / 2000, abs=0.05)


def test_codes_are_kept_and_called_codes(archive: Path) -> None:
    phase = read(archive, "cloud_phase").cloud_phase
    assert set(np.unique(phase)) == {simulated.WATER, simulated.CLEAR}
    assert phase.attrs["categorical"] == "values are codes"
    assert "categorical" not in read(archive, "pixel_sza").pixel_sza.attrs


@pytest.mark.parametrize("variable", ["broadband_shortwave_albedo", "reflectance_vis"])
def test_what_takes_sunlight_has_no_values_at_night(archive: Path, variable: str) -> None:
    assert read(archive, variable, NIGHT)[variable].isnull().all()
    assert read(archive, variable, DAY)[variable].notnull().all()


# --- fluxes --------------------------------------------------------------------------------------


def test_derived_fluxes_by_day(archive: Path) -> None:
    albedo = read(archive, "broadband_shortwave_albedo")
    longwave = read(archive, "broadband_longwave_flux").broadband_longwave_flux
    incoming = radiation.incoming_flux(albedo.lon.values, albedo.lat.values, DAY)
    reflected = read(archive, "broadband_shortwave_flux").broadband_shortwave_flux
    net = read(archive, "approximate_toa_net_radiation_flux").approximate_toa_net_radiation_flux
    np.testing.assert_allclose(
        reflected, incoming * albedo.broadband_shortwave_albedo.values.astype(float) / 100, rtol=1e-6
    )
    np.testing.assert_allclose(net, incoming - reflected.values - longwave.values, atol=1e-3)
    assert reflected.attrs["units"] == net.attrs["units"] == "W m-2"
    assert 1100 < incoming.min() < incoming.max() < 1250


def test_derived_fluxes_at_night(archive: Path) -> None:
    reflected = read(archive, "broadband_shortwave_flux", NIGHT).broadband_shortwave_flux
    net = read(archive, "approximate_toa_net_radiation_flux", NIGHT).approximate_toa_net_radiation_flux
    longwave = read(archive, "broadband_longwave_flux", NIGHT).broadband_longwave_flux
    assert (reflected == 0).all()
    assert np.array_equal(net.values, -longwave.values)


def set_attribute(archive: Path, variable: str, attribute: str, value: object) -> None:
    with h5py.File(only_file(archive), "a") as file:
        file[variable].attrs[attribute] = value


@pytest.mark.parametrize(("units", "factor"), [("%", 1.0), ("percent", 1.0), ("1", 100.0)])
def test_albedo_counts_by_its_units(copy: Path, units: str, factor: float) -> None:
    percent = read(copy, "broadband_shortwave_flux").broadband_shortwave_flux.values
    set_attribute(copy, "broadband_shortwave_albedo", "units", units)
    flux = read(copy, "broadband_shortwave_flux").broadband_shortwave_flux.values
    np.testing.assert_allclose(flux, factor * percent, rtol=1e-6)


@pytest.mark.parametrize(
    ("variable", "units"),
    [("broadband_shortwave_albedo", "K"), ("broadband_longwave_flux", "mW"), ("broadband_longwave_flux", "")],
)
def test_other_units_are_an_error(copy: Path, variable: str, units: str) -> None:
    set_attribute(copy, variable, "units", units)
    with pytest.raises(SceneError, match=f"{variable} has units '{units}'") as error:
        read(copy, "approximate_toa_net_radiation_flux")
    assert "Known are" in str(error.value)
    assert read(copy, variable)[variable].attrs["units"] == units


# --- packing -------------------------------------------------------------------------------------


def test_an_attribute_that_is_no_number_is_a_broken_scene(copy: Path) -> None:
    set_attribute(copy, "pixel_sza", "missing_value", "none")
    with pytest.raises(SceneError, match="variable pixel_sza cannot be decoded: missing_value is 'none'"):
        read(copy, "pixel_sza")
    set_attribute(copy, "latitude", "valid_min", "south")
    with pytest.raises(SceneError, match="variable latitude cannot be decoded"):
        read(copy, "pixel_vza")


def test_flags_of_a_file_say_what_codes_are(copy: Path) -> None:
    set_attribute(copy, "pixel_sza", "flag_meanings", "low high")
    assert read(copy, "pixel_sza").pixel_sza.attrs["categorical"] == "values are codes"


def test_a_packed_file_reads_as_one_in_single_precision(copy: Path) -> None:
    before = read(copy, "broadband_longwave_flux").broadband_longwave_flux.values
    with h5netcdf.File(only_file(copy), "a") as file:
        stored = file["broadband_longwave_flux"][...]
        packed = file.create_variable(
            "cloud_lwp_iwp_", ("image_y", "image_x"), np.int16, data=np.rint(stored * 10).astype(np.int16)
        )
        packed.attrs["scale_factor"] = np.float32(0.1)
        packed.attrs["valid_max"] = np.float32(400)
        packed.attrs["units"] = "W/m^2"
    with h5py.File(only_file(copy), "a") as file:
        del file["broadband_longwave_flux"]
        file.move("cloud_lwp_iwp_", "broadband_longwave_flux")
    field = read(copy, "broadband_longwave_flux").broadband_longwave_flux
    np.testing.assert_allclose(field.values, before, atol=0.0501)
    assert set(field.attrs) == {"units"}


# --- what can be wrong ---------------------------------------------------------------------------


def test_a_variable_that_is_not_there_is_named_with_those_that_are(copy: Path) -> None:
    with h5py.File(only_file(copy), "a") as file:
        del file["temperature_133"]
    with pytest.raises(SceneError, match="the file has no variable temperature_133") as error:
        read(copy, "temperature_133")
    assert "temperature_67, temperature_87" in str(error.value)
    assert "latitude" not in str(error.value)


def test_a_variable_on_other_pixels_is_an_error(copy: Path) -> None:
    with h5netcdf.File(only_file(copy), "a") as file:
        file.dimensions["grid_lat"] = 3
        file.create_variable("coarse", ("grid_lat", "image_x"), np.float32)
    with h5py.File(only_file(copy), "a") as file:
        del file["pixel_sza"]
        file.move("coarse", "pixel_sza")
    with pytest.raises(SceneError, match=r"pixel_sza has dimensions \(grid_lat, image_x\)"):
        read(copy, "pixel_sza")


@pytest.mark.parametrize("name", ["latitude", "longitude"])
def test_without_places_it_is_no_image(copy: Path, name: str) -> None:
    with h5py.File(only_file(copy), "a") as file:
        del file[name]
    with pytest.raises(SceneError, match=f"the file has no {name}"):
        read(copy, "pixel_sza")


def test_places_that_are_all_fill_are_an_error(copy: Path) -> None:
    with h5py.File(only_file(copy), "a") as file:
        file["latitude"][...] = simulated.FILL
    with pytest.raises(SceneError, match="no pixel has a latitude and a longitude"):
        read(copy, "pixel_sza")


@pytest.mark.parametrize("size", [0, 10, 3000])
def test_a_truncated_file_is_a_broken_scene(copy: Path, size: int) -> None:
    path = only_file(copy)
    found = source(copy, "pixel_sza")
    (scan,) = found.find([Interval(DAY, DAY)])
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(SceneError, match="no whole netCDF-4 file") as error:
        found.read(scan, DOMAIN)
    assert str(path) in str(error.value)


def test_broken_chunks_are_a_broken_scene(copy: Path) -> None:
    path = only_file(copy)
    with h5py.File(path) as file:
        chunk = file["pixel_sza"].id.get_chunk_info(0)
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset)
        stream.write(b"\xff" * chunk.size)
    with pytest.raises(SceneError, match="variable pixel_sza cannot be read"):
        read(copy, "pixel_sza")
    assert read(copy, "pixel_vza").pixel_vza.notnull().all()


def test_a_file_that_is_gone_is_said_to_be_gone(copy: Path) -> None:
    found = source(copy, "pixel_sza")
    (scan,) = found.find([Interval(DAY, DAY)])
    only_file(copy).unlink()
    with pytest.raises(SceneError, match="no longer there"):
        found.read(scan, DOMAIN)


def test_a_domain_elsewhere_is_an_error(archive: Path) -> None:
    with pytest.raises(SceneError, match="around 50N 10E lies outside of what the file shows, 12") as error:
        read(archive, "pixel_sza", domain=LocalDomain(50, 10, 100e3, 100e3))
    assert "Move `domain`" in str(error.value)


def test_pixels_in_space_have_no_values_of_any_kind(tmp_path: Path) -> None:
    limb = LocalDomain(60.0, -140.0, 1200e3, 400e3)
    simulated.simulate_ceres(tmp_path, satellites=["goes16n"], spans=[Interval(NIGHT, NIGHT)], domain=limb)
    scene = read(tmp_path, "broadband_shortwave_flux", NIGHT, limb)
    in_space = np.isnan(scene.lat.values)
    assert 0 < in_space.mean() < 1
    assert np.array_equal(np.isnan(scene.broadband_shortwave_flux.values), in_space)
    assert 0.3 < scene.attrs["valid_share"] < 1


# --- the source ----------------------------------------------------------------------------------


def test_a_source_travels_between_processes(archive: Path) -> None:
    found = source(archive, "pixel_sza")
    assert pickle.loads(pickle.dumps(found)) == found


def test_the_whole_domain_holds_every_pixel(archive: Path) -> None:
    found = source(archive, "pixel_sza")
    (scan,) = found.find([Interval(DAY, DAY)])
    domain = found.whole_domain(scan)
    assert isinstance(domain, LocalDomain)
    with h5py.File(only_file(archive)) as file:
        x, y = domain.from_lonlat(file["longitude"][()], file["latitude"][()])
    assert np.abs(x).max() < domain.l_zonal / 2 < np.abs(x).max() + 10e3
    assert np.abs(y).max() < domain.l_meridional / 2 < np.abs(y).max() + 10e3


def test_what_a_scene_says_does_not_depend_on_what_was_read_before(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_GRIDS", Remembered(2))
    first = read(archive, "temperature_ir")
    assert read(archive, "temperature_ir").identical(first)


def memory_copy(archive: Path, name: str, version: str | None = None) -> Scan:
    """The scan of the day in an archive that is not on this machine."""
    import fsspec

    filesystem = fsspec.filesystem("memory")
    path = f"/{name}/{only_file(archive).name}"
    content = only_file(archive).read_bytes()
    filesystem.pipe_file(path, content)
    return Scan(DAY, DAY, "goes16n", None, {"file": SourceFile(f"memory://{path}", len(content), version)})


def copies_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_files_of_other_file_systems_are_copied_once(archive: Path, tmp_path: Path) -> None:
    import fsspec

    scan = memory_copy(archive, "archive")
    found = CeresSource("goes16n__pixel_sza", "memory://archive", str(tmp_path / "raw"))
    first = found.read(scan, DOMAIN)
    assert first.attrs["bytes_read"] == scan.files["file"].size
    (held,) = copies_in(tmp_path / "raw")
    assert held.name.startswith("CER_GEO_Ed4_GOE16_NH_V01.2_2020.033.1630.06K__")
    assert held.suffix == ".nc"
    assert held.read_bytes() == only_file(archive).read_bytes()
    fsspec.filesystem("memory").rm(scan.files["file"].url.removeprefix("memory://"))
    again = found.read(scan, DOMAIN)
    assert again.identical(first)
    assert first.pixel_sza.equals(read(archive, "pixel_sza").pixel_sza)


@pytest.mark.parametrize("change", ["version of the processing", "archive", "content"])
def test_a_copy_serves_the_file_that_it_was_made_of(archive: Path, copy: Path, tmp_path: Path, change: str) -> None:
    found = CeresSource("goes16n__pixel_sza", "memory://", str(tmp_path / "raw"))
    old = found.read(memory_copy(archive, "archive4", "a"), DOMAIN)
    path = only_file(copy)
    with h5py.File(path, "a") as file:
        file["pixel_sza"][...] = 42.0
    name = f"archive4-{change}" if change == "archive" else "archive4"
    if change == "version of the processing":
        path.rename(path.with_name(path.name.replace("V01.2", "V01.3")))
    new = found.read(memory_copy(copy, name, "b" if change == "content" else "a"), DOMAIN)
    assert (new.pixel_sza == 42).all()
    assert (old.pixel_sza != 42).all()
    assert len(copies_in(tmp_path / "raw")) == 2


def test_copies_may_lie_on_another_file_system(archive: Path) -> None:
    found = CeresSource("goes16n__pixel_sza", "memory://archive2", "memory://dataset/raw")
    scan = memory_copy(archive, "archive2")
    first = found.read(scan, DOMAIN)
    assert first.attrs["bytes_read"] == scan.files["file"].size
    assert found.read(scan, DOMAIN).identical(first)


def test_a_copy_of_another_size_than_listed_is_not_kept(archive: Path, tmp_path: Path) -> None:
    scan = memory_copy(archive, "archive3")
    larger = replace(scan, files={"file": replace(scan.files["file"], size=10**9)})
    found = CeresSource("goes16n__pixel_sza", "memory://archive3", str(tmp_path / "raw"))
    with pytest.raises(ArchiveError, match="of a file that is listed with 1000000000"):
        found.read(larger, DOMAIN)
    assert copies_in(tmp_path / "raw") == []


# --- what is done once ---------------------------------------------------------------------------


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often variables are read and search trees built."""
    monkeypatch.setattr(files, "_GRIDS", Remembered(2))
    monkeypatch.setattr(remembered, "_WINDOWS", Remembered(2))
    monkeypatch.setattr(shares, "_NEAREST_PIXELS", Remembered(2))
    counted: Counter[str] = Counter()
    values, search = CeresFile._values, QuadSearch.__init__

    def read_values(self: CeresFile, name: str, window: Window) -> np.ndarray:
        counted[name] += 1
        return values(self, name, window)

    def build(self: QuadSearch, vectors: np.ndarray) -> None:
        counted["trees"] += 1
        search(self, vectors)

    monkeypatch.setattr(CeresFile, "_values", read_values)
    monkeypatch.setattr(QuadSearch, "__init__", build)
    return counted


def test_places_of_a_file_are_read_once_for_all_variables(archive: Path, counts: Counter[str]) -> None:
    variables = ("pixel_sza", "cloud_top_height", "broadband_shortwave_flux")
    scenes = [read(archive, variable) for variable in variables]
    assert (counts["latitude"], counts["longitude"]) == (1, 1)
    trees = counts["trees"]
    assert trees == 2  # for the window and for the domain's nearest pixels
    # The next scene has other bytes and the same places.
    later = read(archive, "pixel_sza", NIGHT)
    assert counts["latitude"] == 2
    assert counts["trees"] == trees
    assert later.lat.equals(scenes[0].lat)
    read(archive, "pixel_sza", NIGHT, LocalDomain(13.3, -57.7, 100e3, 100e3))
    assert counts["latitude"] == 2
    assert counts["trees"] == trees + 2


def test_places_are_those_of_the_file_as_it_is_now(copy: Path) -> None:
    before = read(copy, "pixel_sza")
    path = only_file(copy)
    with h5py.File(path, "a") as file:
        file["latitude"][...] = file["latitude"][...] + 0.1
    after = read(copy, "pixel_sza")
    assert abs(float(after.lat.mean() - before.lat.mean())) < 0.06  # another window
    assert not after.lat.equals(before.lat)
    assert after.attrs["source_grid"] != before.attrs["source_grid"]


def test_no_search_tree_stays(archive: Path, counts: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    trees: list[weakref.ref[QuadSearch]] = []
    search = QuadSearch.__init__

    def build(self: QuadSearch, vectors: np.ndarray) -> None:
        trees.append(weakref.ref(self))
        search(self, vectors)

    monkeypatch.setattr(QuadSearch, "__init__", build)
    read(archive, "pixel_sza")
    gc.collect()
    assert len(trees) == 2
    assert [tree() for tree in trees] == [None, None]
