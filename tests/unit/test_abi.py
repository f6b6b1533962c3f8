"""What a radiance file says of itself, its windows, its calibration, and its being broken."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from abi_files import CHANNELS, PERSPECTIVE_HEIGHT, radiance_of, source_file, textured_counts, write_abi

from convml_data.errors import ConvmlError, SceneError
from convml_data.geometry.windows import Window
from convml_data.scenes.ledger import SourceFile
from convml_data.sources.goes import calibration
from convml_data.sources.goes import granule as granule_module
from convml_data.sources.goes import ranges as ranges_module
from convml_data.sources.goes.abi import AbiFile, SatellitePosition
from convml_data.sources.goes.chunk_tables import ChunkTables
from convml_data.sources.goes.parts import Parts
from convml_data.sources.goes.ranges import RangeFile

START = datetime(2020, 2, 2, 15, 0, 16, 100_000)


@pytest.fixture
def counts() -> np.ndarray:
    values = textured_counts((256, 320), 100, 900, seed=1)
    values[10:20, 30:40] = CHANNELS[1][2]
    return values


@pytest.fixture
def file(tmp_path: Path, counts: np.ndarray) -> SourceFile:
    dqf = np.where(counts == CHANNELS[1][2], 255, 0)
    dqf[0, :4] = [1, 2, 3, 4]
    return write_abi(tmp_path, 1, counts, START, dqf=dqf)


def path_of(file: SourceFile) -> Path:
    return Path(file.url.removeprefix("file://"))


def test_metadata_are_those_of_the_file(file: SourceFile) -> None:
    with AbiFile(file) as abi:
        channel = abi.channel
        assert (channel.number, channel.wavelength, channel.satellite) == (1, 0.47, "goes16")
        assert (channel.start, channel.end) == (START, datetime(2020, 2, 2, 15, 0, 21))
        assert channel.position == SatellitePosition(-75.2, 0.0, 35786023.0)
        assert channel.esun == pytest.approx(2041.6865)
        assert channel.planck is None
        assert abi.grid.view.perspective_height == PERSPECTIVE_HEIGHT
        # whole microradians, although the file has float32
        assert (abi.grid.x0, abi.grid.y0) == (-0.027986, 0.083986)
        assert (abi.grid.dx, abi.grid.dy, abi.grid.shape) == (2.8e-05, -2.8e-05, (256, 320))


def test_grids_of_a_sector_nest_exactly(tmp_path: Path) -> None:
    grids = []
    for channel, size in ((2, 128), (1, 64), (13, 32)):
        file = write_abi(tmp_path, channel, np.full((size, size), 200), START)
        with AbiFile(file) as abi:
            grids.append(abi.grid)
    fine, middle, coarse = grids
    assert (fine.coarsening_to(middle), fine.coarsening_to(coarse), middle.coarsening_to(coarse)) == (2, 4, 2)


def test_axes_stored_as_scan_angles_give_the_same_grid(file: SourceFile) -> None:
    with AbiFile(file) as abi:
        packed = abi.grid
    path = path_of(file)
    with h5py.File(path, "r+") as hdf5:
        for name in "xy":
            scale, offset = (np.float32(hdf5[name].attrs[key]) for key in ("scale_factor", "add_offset"))
            angles = hdf5[name][()].astype(np.float32) * scale + offset
            del hdf5[name]
            hdf5[name] = angles
    with AbiFile(source_file(path)) as abi:
        assert abi.grid == packed


def test_a_window_holds_the_files_own_counts_and_flags(file: SourceFile, counts: np.ndarray) -> None:
    window = Window(5, 200, 25, 320)
    with AbiFile(file) as abi:
        read, dqf = abi.read_counts(window)
        np.testing.assert_array_equal(read, counts[window.slices])
        assert read.dtype == np.uint16
        assert (dqf[5:15, 5:15] == 255).all()
        assert abi.read_counts(Window(0, 1, 0, 5))[1].tolist() == [[1, 2, 3, 4, 0]]
        with pytest.raises(ValueError, match="beyond"):
            abi.read_counts(Window(0, 257, 0, 5))


def test_only_the_chunks_under_the_window_are_fetched(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 4000, (2048, 2048))  # does not compress: 4 MiB or more
    file = write_abi(tmp_path, 2, noise, START, chunk=128)
    assert file.size > 5_000_000
    with AbiFile(file) as abi:
        read, _ = abi.read_counts(Window(1000, 1100, 1000, 1100))
        np.testing.assert_array_equal(read, noise[1000:1100, 1000:1100])
        assert abi.bytes_read < 0.4 * file.size
        assert abi.requests <= 12


def test_unstored_chunks_are_fill(tmp_path: Path) -> None:
    path = path_of(write_abi(tmp_path, 1, np.full((128, 128), 300), START))
    with h5py.File(path, "r+") as hdf5:
        attributes = dict(hdf5["Rad"].attrs)
        del hdf5["Rad"]
        sparse = hdf5.create_dataset(
            "Rad", (128, 128), np.int16, chunks=(64, 64), fillvalue=CHANNELS[1][2], compression="gzip"
        )
        for key in ("_FillValue", "_Unsigned", "scale_factor", "add_offset"):
            sparse.attrs[key] = attributes[key]
        sparse[:64, :64] = 300
    with AbiFile(source_file(path)) as abi:
        counts, dqf = abi.read_counts(Window(0, 128, 0, 128))
        radiance = radiance_of(counts, dqf, abi.channel.packing)
    assert np.isfinite(radiance[:64, :64]).all()
    assert np.isnan(radiance[64:]).all()
    assert np.isnan(radiance[:, 64:]).all()


def test_fill_and_no_value_are_nan_and_other_flags_are_kept() -> None:
    packing = calibration.Packing(0.5, -10.0, 1023)
    counts = np.array([[0, 20, 1023, 30, 30, 30]], np.uint16)
    dqf = np.array([[0, 1, 255, 2, 3, 4]], np.uint8)
    radiance = radiance_of(counts, dqf, packing)
    np.testing.assert_array_equal(radiance, [[-10, 0, np.nan, 5, np.nan, 5]])
    assert radiance.dtype == np.float32
    kept = np.zeros(256, np.bool_)
    kept[[0, 3]] = True
    told = calibration.sort_out(counts, dqf, packing, kept)
    np.testing.assert_array_equal(told.counts, [[0, 1023, 1023, 1023, 1023, 1023]])
    np.testing.assert_array_equal(told.missing, [[False, False, True, False, True, False]])
    np.testing.assert_array_equal(told.rejected, [[False, True, False, True, False, True]])
    assert list(told.dqf_shares.values()) == pytest.approx([1 / 6] * 5)


def test_counts_above_the_signed_range_are_unsigned(tmp_path: Path) -> None:
    with AbiFile(write_abi(tmp_path, 2, np.full((8, 8), 40_000), START)) as abi:
        counts, dqf = abi.read_counts(Window(0, 8, 0, 8))
        assert (radiance_of(counts, dqf, abi.channel.packing) > 6000).all()


def test_brightness_temperature_inverts_plancks_law() -> None:
    planck = calibration.Planck(10803.3, 1392.74, 0.0755, 0.99975)
    kelvin = np.array([180.0, 250.0, 330.0])
    radiance = planck.fk1 / np.expm1(planck.fk2 / (planck.bc1 + planck.bc2 * kelvin))
    found = calibration.brightness_temperature(radiance.astype(np.float32), planck)
    np.testing.assert_allclose(found, kelvin, atol=1e-3)
    cold = calibration.brightness_temperature(np.array([0, -0.01, np.nan], np.float32), planck)
    assert np.isnan(cold).all()


def test_reflectance_of_the_sun_itself_is_all() -> None:
    white = np.array([2041.6865 / np.pi], np.float32)  # a Lambertian surface, sun in the zenith, 1 AU
    np.testing.assert_allclose(calibration.reflectance(white, 2041.6865, 1.0), 100, rtol=1e-6)
    np.testing.assert_allclose(calibration.reflectance(white, 2041.6865, 2.0), 400, rtol=1e-6)


def broken(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "text":
        path.write_text("<Error><Code>NoSuchKey</Code></Error>")
    elif how == "zeros":
        path.write_bytes(bytes(len(content)))
    else:
        with h5py.File(path, "r+") as hdf5:
            if how == "without Rad":
                del hdf5["Rad"]
            elif how == "without projection":
                del hdf5["goes_imager_projection"]
            elif how == "without esun":
                hdf5["esun"][()] = -999
            elif how == "another shape":
                del hdf5["x"]
                hdf5["x"] = np.arange(17, dtype=np.int16)
            elif how == "time":
                hdf5.attrs["time_coverage_start"] = "yesterday"


@pytest.mark.parametrize(
    "how",
    [
        "empty",
        "truncated",
        "text",
        "zeros",
        "without Rad",
        "without projection",
        "without esun",
        "another shape",
        "time",
    ],
)
def test_a_broken_file_is_named_with_a_remedy(file: SourceFile, how: str) -> None:
    path = path_of(file)
    broken(path, how)
    with pytest.raises(SceneError) as caught:
        AbiFile(source_file(path))
    assert caught.value.where == file.url
    assert "again" in str(caught.value.remedy)


def test_a_broken_chunk_is_found_when_it_is_read(file: SourceFile) -> None:
    path = path_of(file)
    with h5py.File(path, "r") as hdf5:
        chunk = hdf5["Rad"].id.get_chunk_info_by_coord((64, 64))
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + 20 : chunk.byte_offset + 60] = bytes(40)
    path.write_bytes(content)
    with AbiFile(source_file(path)) as abi:
        abi.read_counts(Window(0, 10, 0, 10))
        with pytest.raises(SceneError, match="no readable ABI"):
            abi.read_counts(Window(60, 70, 60, 70))


@pytest.mark.parametrize("listed", [1000, 20_000, 10**9])
def test_a_file_that_was_mended_since_it_was_listed_opens_as_it_is_now(file: SourceFile, listed: int) -> None:
    with AbiFile(SourceFile(file.url, listed)) as now, AbiFile(file) as always:
        assert now.channel == always.channel


def test_a_file_that_was_cut_off_since_it_was_listed_is_an_error(file: SourceFile) -> None:
    path = Path(file.url.removeprefix("file://"))
    path.write_bytes(path.read_bytes()[: file.size // 2])
    with pytest.raises(SceneError, match="no readable ABI"):
        AbiFile(file)


@pytest.fixture(params=[True, False], ids=["by its index", "by HDF5"])
def found_by_index(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether chunks are found without HDF5, as those of the archives' files are."""
    if not request.param:
        monkeypatch.setattr(granule_module, "stored_image", lambda *_: None)
    return bool(request.param)


def test_the_network_is_never_waited_for_inside_hdf5(
    file: SourceFile, counts: np.ndarray, found_by_index: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock is one for all threads, and who brings the bytes may need it."""
    fetch = RangeFile.fetch

    def fetch_while_another_thread_uses_hdf5(ranges: RangeFile, *arguments: Any) -> None:
        thread = threading.Thread(target=h5py.h5f.get_obj_count, daemon=True)
        thread.start()
        thread.join(5)
        assert not thread.is_alive(), "the lock of h5py is held during a fetch"
        fetch(ranges, *arguments)

    monkeypatch.setattr(RangeFile, "fetch", fetch_while_another_thread_uses_hdf5)
    for name, size in {"HEAD": 500, "TAIL": 500, "GAP": 0}.items():
        monkeypatch.setattr(ranges_module, name, size)
    monkeypatch.setattr(granule_module, "PAGE", 100)
    with AbiFile(file) as abi:
        read, _ = abi.read_counts(Window(0, 256, 0, 320))
        np.testing.assert_array_equal(read, counts)
        assert abi.requests > 4


@pytest.mark.parametrize("head", [700, 5000, 1 << 20])
def test_any_size_of_requests_and_batches_gives_the_same(
    file: SourceFile, counts: np.ndarray, head: int, found_by_index: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AbiFile(file) as abi:
        channel = abi.channel
        abi.read_counts(Window(3, 250, 5, 319))
        bytes_read = abi.bytes_read
    for name, size in {"HEAD": head, "TAIL": head, "GAP": head, "LONGEST": head}.items():
        monkeypatch.setattr(ranges_module, name, size)
    monkeypatch.setattr(granule_module, "_CHUNKS_AT_ONCE", 7)
    with AbiFile(file) as abi:
        assert abi.channel == channel
        read, dqf = abi.read_counts(Window(3, 250, 5, 319))
        assert abi.bytes_read == bytes_read or not found_by_index
    np.testing.assert_array_equal(read, counts[3:250, 5:319])
    np.testing.assert_array_equal(dqf == 255, counts[3:250, 5:319] == CHANNELS[1][2])


@pytest.fixture
def tables(tmp_path: Path) -> ChunkTables:
    return ChunkTables(str(tmp_path / "tables"))


@pytest.fixture
def large(tmp_path: Path) -> tuple[SourceFile, np.ndarray]:
    """A file of which the ends that are fetched first are a small part."""
    noise = np.random.default_rng(3).integers(0, 4000, (1024, 1024))  # does not compress
    return write_abi(tmp_path, 2, noise, START, chunk=64), noise


def test_what_is_known_of_a_file_is_not_fetched_again(
    large: tuple[SourceFile, np.ndarray], tables: ChunkTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges_module, "GAP", 1 << 14)  # small as the file is
    file, noise = large
    amounts = []
    for window in (Window(300, 400, 100, 200), Window(300, 400, 100, 200), Window(700, 900, 0, 64)):
        with AbiFile(file, tables) as abi:
            read, _ = abi.read_counts(window)
            abi.keep_table()
            amounts.append((abi.bytes_read, abi.bytes_fetched, abi.requests))
        np.testing.assert_array_equal(read, noise[window.slices])
    first, again, elsewhere = amounts
    assert again[0] == first[0], "what a scene follows from does not depend on what is known"
    assert again[1] < first[0] - 5000 < first[1]
    assert again[2] <= 4 < first[2]
    assert elsewhere[2] < first[2] + 4, "the nodes on the way there"


def test_what_is_known_and_does_not_hold_is_fetched_again(
    large: tuple[SourceFile, np.ndarray], tables: ChunkTables
) -> None:
    file, noise = large
    window = Window(300, 400, 100, 200)
    with AbiFile(file, tables) as abi:
        abi.read_counts(window)
        abi.keep_table()
    (table,) = Path(tables.folder).rglob("*.parts")
    known = Parts.unpacked(table.read_bytes())
    wrong = Parts((start, content.replace(b"TREE", b"tree")) for start, content in known)
    for damage in (wrong.packed(), Parts([(0, b"x" * 9000)]).packed(), b"not even parts"):
        table.write_bytes(damage)
        with AbiFile(file, tables) as abi:
            np.testing.assert_array_equal(abi.read_counts(window)[0], noise[window.slices])
            abi.keep_table()
        with AbiFile(file, tables) as abi:
            abi.read_counts(window)
            assert abi.requests <= 4, "what holds is kept instead"


def test_a_file_that_was_replaced_by_a_larger_one_since_it_was_known(
    large: tuple[SourceFile, np.ndarray], tables: ChunkTables, tmp_path: Path
) -> None:
    file, noise = large
    window = Window(300, 400, 100, 200)
    with AbiFile(file, tables) as abi:
        abi.read_counts(window)
        abi.keep_table()
    finer = np.random.default_rng(4).integers(0, 4000, noise.shape)
    larger = write_abi(tmp_path, 2, finer, START, chunk=32)
    assert larger.url == file.url
    assert larger.size > file.size
    with AbiFile(file, tables) as abi:
        np.testing.assert_array_equal(abi.read_counts(window)[0], finer[window.slices])


def test_a_file_without_chunks(file: SourceFile, counts: np.ndarray) -> None:
    path = path_of(file)
    with h5py.File(path, "r+") as hdf5:
        attributes = dict(hdf5["Rad"].attrs)
        del hdf5["Rad"]
        hdf5["Rad"] = counts.astype(np.int16)
        for key in ("_FillValue", "_Unsigned", "scale_factor", "add_offset"):
            hdf5["Rad"].attrs[key] = attributes[key]
    with AbiFile(source_file(path)) as abi:
        np.testing.assert_array_equal(abi.read_counts(Window(9, 200, 9, 300))[0], counts[9:200, 9:300])


def test_damaged_bytes_never_raise_anything_else(file: SourceFile) -> None:
    path, generator = path_of(file), np.random.default_rng(5)
    content = path.read_bytes()
    for _ in range(30):
        damaged = bytearray(content)
        for place in generator.integers(0, len(content), 50):
            damaged[place] = int(generator.integers(0, 256))
        path.write_bytes(damaged)
        try:
            with AbiFile(source_file(path)) as abi:
                abi.read_counts(Window(0, *abi.grid.shape[:1], 0, abi.grid.shape[1]))
        except ConvmlError:
            pass


def with_shares(file: SourceFile, **shares: float) -> SourceFile:
    """The file with flags explained, and what it says of how many pixels have which; by default all are good."""
    meanings = [f"{meaning}_qf" for meaning in ("good_pixel", "out_of_range_pixel", "no_value_pixel")]
    with h5py.File(path_of(file), "r+") as hdf5:
        attributes = hdf5["DQF"].attrs
        attributes["flag_meanings"] = " ".join(meanings)
        attributes["flag_values"] = np.array([0, 2, 3], np.int8)
        for meaning in meanings:
            share = shares.get(meaning.removesuffix("_pixel_qf"), float(meaning == "good_pixel_qf"))
            attributes[f"percent_{meaning}"] = np.float32(share)
    return source_file(path_of(file))


def test_flags_of_which_all_are_good_are_not_read(large: tuple[SourceFile, np.ndarray]) -> None:
    file, _ = large
    window = Window(300, 400, 100, 200)
    with AbiFile(file) as abi:
        with_flags, dqf = abi.read_counts(window)
        requests = abi.requests
    with AbiFile(with_shares(file)) as abi:
        without, made_up = abi.read_counts(window)
        assert abi.requests < requests
    np.testing.assert_array_equal(without, with_flags)
    np.testing.assert_array_equal(made_up, dqf)
    assert made_up.dtype == dqf.dtype


def test_pixels_without_a_count_have_no_flag(file: SourceFile, counts: np.ndarray) -> None:
    with AbiFile(with_shares(file)) as abi:
        read, dqf = abi.read_counts(Window(0, 256, 0, 320))
    np.testing.assert_array_equal(read, counts)
    np.testing.assert_array_equal(dqf, np.where(counts == CHANNELS[1][2], 255, 0))


@pytest.mark.parametrize("shares", [{"good": 1 - 1e-9, "no_value": 1e-9}, {"out_of_range": 2e-9}, {"good": 0.5}])
def test_flags_are_read_where_one_pixel_may_have_another(file: SourceFile, shares: dict[str, float]) -> None:
    with AbiFile(with_shares(file, **shares)) as abi:
        assert abi.read_counts(Window(0, 1, 0, 5))[1].tolist() == [[1, 2, 3, 4, 0]]


def test_real_files_that_say_so_have_good_flags_alone(shared_data: Path) -> None:
    said = []
    for path in sorted(shared_data.glob("noaa-goes1*/ABI-L1b*/**/*.nc")):
        with h5py.File(path) as hdf5, AbiFile(source_file(path)) as abi:
            everything = Window(0, abi.grid.shape[0], 0, abi.grid.shape[1])
            dqf = hdf5["DQF"][:].view(np.uint8)
            np.testing.assert_array_equal(abi.read_counts(everything)[1], dqf)
            said.append(bool(set(np.unique(dqf)) <= {0, 255}))
    assert sum(said) > 20
    assert not all(said)
