"""Composites of ABI channels by satpy's recipes, made from windows instead of whole images.

satpy's configuration says what a composite is made from and how its picture looks; satpy itself makes both
(https://satpy.readthedocs.io/en/stable/composites.html). It is an optional dependency and takes a second to load,
so it is imported where it is used.
"""

from __future__ import annotations

import difflib
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from convml_data.errors import ArchiveError, ConvmlError, MetaError, SceneError
from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.sources.goes import rayleigh
from convml_data.sources.goes.calibration import Float32Array
from convml_data.sources.goes.crops import Crop
from convml_data.sources.goes.fields import Made

if TYPE_CHECKING:
    from pyresample import AreaDefinition
    from satpy import Scene

_SETTING_UP = threading.Lock()

_READER = "abi_l1b"
_SENSOR = "abi"
_CONSTANT = {"sensor": _SENSOR, "reader": _READER}

#: Attributes of a composite's variable that its picture is drawn by, and what satpy calls them.
_DRAWN_BY = {"satpy_name": "name", "satpy_standard_name": "standard_name", "satpy_platform_name": "platform_name"}


@dataclass(frozen=True)
class _Recipe:
    """What satpy's configuration says of a composite.

    Parameters
    ----------
    channels
        That it is made from.
    standard_name
        satpy's own, by which it finds the enhancement; None where there is none.
    needs_tables
        Whether pyspectral's tables are needed.
    blends
        Whether it is blended from enhanced pictures and so has values from 0 to 1.
    """

    channels: tuple[int, ...]
    standard_name: str | None
    needs_tables: bool
    blends: bool


def check_composite(name: str) -> None:
    """See that satpy can make a composite from ABI radiances alone; nothing is checked where satpy is not installed.

    Raises
    ------
    MetaError
        As :func:`channels_of` does.
    """
    if _is_installed():
        _recipe(name)


def channels_of(name: str) -> tuple[int, ...]:
    """The ABI channels that a composite is made from, in ascending order.

    What satpy uses where all 16 channels are there, those that it can do without included.

    Raises
    ------
    ConvmlError
        satpy is not installed.
    MetaError
        There is no such composite, or it needs more than the channels: what is wrong, and a remedy.
    """
    _require_satpy()
    return _recipe(name).channels


@lru_cache(1)
def composite_names() -> tuple[str, ...]:
    """All composites that can be made from ABI radiances, in alphabetical order.

    Raises
    ------
    ConvmlError
        satpy is not installed.
    """
    _require_satpy()
    return tuple(name for name in _configured_names() if _can_be_made(name))


def has_fixed_enhancement(name: str) -> bool:
    """Whether satpy shows equal values alike in all pictures of a composite.

    Some composites have no enhancement of their own, or one whose limits follow the values of each image.

    Raises
    ------
    ConvmlError, MetaError
        As :func:`channels_of` does.
    """
    _require_satpy()
    return _is_fixed({"name": name, "standard_name": _recipe(name).standard_name})


def make_composite(crops: Sequence[Crop], name: str) -> Made:
    """A composite on the grid of its finest channel, before any enhancement.

    Where channels have different resolutions, satpy's `native` resampler repeats the coarser pixels.

    Parameters
    ----------
    crops
        Of the composite's channels, all over one area.
    name
        Of the composite.

    Returns
    -------
    Made
        Dims (bands, y, x); the bands are those of satpy: R, G and B, or L, and A where the composite has an
        opacity. NaN where satpy has no value and where the composite is wholly transparent. Composites that are
        blended from enhanced pictures, such as those of day and night, are NaN where any channel is missing:
        satpy would show some of these pixels black.

    Raises
    ------
    ConvmlError
        satpy is not installed.
    MetaError
        As :func:`channels_of` does.
    ArchiveError
        The composite needs tables of pyspectral that are not there and cannot be downloaded.
    SceneError
        satpy cannot make the composite of these crops.
    """
    _require_satpy()
    recipe = _recipe(name)
    satellite = crops[0].channel.satellite
    if recipe.needs_tables:
        _require_tables(satellite, name)
    made = _by_satpy(_scene(crops), name, recipe)
    grid = min((crop.grid for crop in crops), key=lambda grid: grid.dx)
    bands, values = _bands_and_values(made)
    if bands[-1] == "A":
        values[:-1, ~(values[-1] > 0)] = np.nan
    if recipe.blends:
        values[:, _missing_in_any(crops, grid.shape)] = np.nan
    attributes = {
        "long_name": f"composite {name} of satpy, {'blended from pictures' if recipe.blends else 'before enhancement'}",
        "units": made.attrs.get("units"),
        "satpy_name": name,
        "satpy_standard_name": recipe.standard_name,
        "satpy_platform_name": _platform(satellite),
    }
    made_by = [f"{package} {version(package)}" for package in ("satpy", "pyspectral")[: 1 + recipe.needs_tables]]
    return Made(
        f"composite_{name}",
        grid,
        xr.Variable(
            ("bands", "y", "x"), values, {key: value for key, value in attributes.items() if value is not None}
        ),
        {"bands": xr.Variable("bands", bands)},
        {"composite_by": ", ".join(made_by)},
    )


def composite_picture(data: xr.Dataset) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """A composite as satpy's enhancement shows it; pictures can be compared if :func:`has_fixed_enhancement`.

    Parameters
    ----------
    data
        One variable as :func:`make_composite` gives it, on any grid.

    Returns
    -------
    rgb
        Shape (y, x, 3), rows in the order of the data; what is half transparent lies on black.
    missing
        Shape (y, x): where a band has no value or the composite is wholly transparent.
    """
    _require_satpy()
    from satpy.enhancements.enhancer import get_enhanced_image

    (field,) = data.data_vars.values()
    bands = [str(band) for band in field["bands"].values]
    missing = ~np.isfinite(field.values).all(axis=0)
    attributes = {theirs: field.attrs[ours] for ours, theirs in _DRAWN_BY.items() if ours in field.attrs}
    # A copy, and in one chunk: some enhancements work in place, some look at neighbouring pixels.
    composite = xr.DataArray(
        da.from_array(field.values.copy(), chunks=-1),  # type: ignore[no-untyped-call]
        dims=("bands", "y", "x"),
        coords={"bands": bands},
        attrs={**_CONSTANT, **attributes, "mode": "".join(bands)},
    )
    image, mode = get_enhanced_image(composite, enhance=_enhancer()).finalize()
    shades = image.transpose("bands", "y", "x").data.compute(scheduler="synchronous")
    colours, opacity = shades[:-1], shades[-1]
    assert mode.endswith("A")  # which finalize adds where the composite has none
    missing |= opacity == 0
    rgb = np.rint(np.where(missing, 0, colours * (opacity / 255))).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(np.broadcast_to(rgb, (3, *rgb.shape[1:])), 0, -1)), missing


def _refused(what: str, remedy: str) -> MetaError:
    return MetaError(what, where="product", remedy=remedy[0].upper() + remedy[1:])


def _is_installed() -> bool:
    return find_spec("satpy") is not None and find_spec("pyresample") is not None


def _require_satpy() -> None:
    if not _is_installed():
        raise ConvmlError(
            "composites are made by satpy, which is not installed",
            where="product",
            remedy="Run `pip install 'convml-data[satpy]'`",
        )


@lru_cache(1)
def _configuration() -> tuple[Mapping[str, Any], Mapping[str, Any], Any]:
    """Composites and modifiers of ABI as configured, and a reader that knows the channels without any file."""
    from satpy.composites.config_loader import load_compositor_configs_for_sensors
    from satpy.readers.core.config import configs_for_reader
    from satpy.readers.core.loading import load_reader

    # satpy warns of every composite that waits for its channels to be resampled.
    logging.getLogger("satpy.scene").addFilter(lambda record: "may require resampling" not in record.getMessage())
    composites, modifiers = load_compositor_configs_for_sensors([_SENSOR])
    (files,) = configs_for_reader(_READER)
    return composites, modifiers, load_reader(files)


@lru_cache(1)
def _configured_names() -> tuple[str, ...]:
    composites, _, _ = _configuration()
    # Names that begin with an underscore are parts of others.
    return tuple(sorted({key["name"] for key in composites[_SENSOR] if not key["name"].startswith("_")}))


def _can_be_made(name: str) -> bool:
    try:
        _recipe(name)
    except MetaError:
        return False
    return True


@lru_cache(None)
def _recipe(name: str) -> _Recipe:
    from satpy.aux_download import DataDownloadMixin
    from satpy.composites.fill import BackgroundCompositor, DayNightCompositor
    from satpy.modifiers import NIRReflectance, PSPRayleighReflectance
    from satpy.node import CompositorNode, ReaderNode

    nodes = _nodes(name)
    compositors = [node.compositor for node in nodes if isinstance(node, CompositorNode)]
    for compositor in compositors:
        if isinstance(compositor, DataDownloadMixin):
            raise _refused(
                f"composite {name!r} needs a file from the internet beside the channels (for satpy's "
                f"{type(compositor).__name__} {compositor.attrs.get('standard_name') or compositor.attrs['name']!r})",
                "choose a composite of ABI channels alone",
            )
    blending = [
        node
        for node in nodes
        if isinstance(node, CompositorNode) and isinstance(node.compositor, BackgroundCompositor | DayNightCompositor)
    ]
    for part in (part for node in blending for part in node.required_nodes):
        if not (isinstance(part, CompositorNode) and _is_fixed(part.compositor.attrs)):
            raise _refused(
                f"composite {name!r} blends {part.name['name']!r}, whose brightness satpy takes from the values of "
                "each image, so that it would differ from window to window",
                f"choose another composite, {part.name['name']} alone for example",
            )
    channels = {node.name["name"] for node in nodes if isinstance(node, ReaderNode)}
    return _Recipe(
        tuple(sorted(int(channel.removeprefix("C")) for channel in channels)),
        nodes[0].compositor.attrs.get("standard_name"),
        any(isinstance(compositor, NIRReflectance | PSPRayleighReflectance) for compositor in compositors),
        bool(blending),
    )


def _nodes(name: str) -> list[Any]:
    """The composite's node in satpy's dependency tree, and those of all that it is made from."""
    from satpy.dependency_tree import DependencyTree
    from satpy.node import MissingDependencies

    if name not in _configured_names():
        close = difflib.get_close_matches(name, composite_names())
        raise _refused(
            f"satpy {version('satpy')} has no ABI composite {name!r}",
            (f"did you mean {' or '.join(close)}? " if close else "") + f"There are {len(composite_names())}, which "
            "`python -c 'from convml_data.sources.goes import composites; print(*composites.composite_names())'` lists",
        )
    composites, modifiers, reader = _configuration()
    tree = DependencyTree({_READER: reader}, composites, modifiers)
    wanted = {name}
    try:
        tree.populate_with_keys(wanted)
    except MissingDependencies as error:
        raise _refused(
            f"composite {name!r} needs {', '.join(sorted(set(_absent(error.missing_dependencies))))}, "
            "which ABI radiances do not give",
            "choose a composite of ABI channels alone",
        ) from None
    (composite,) = wanted
    return [*tree.trunk(limit_nodes_to=[composite]), *tree.leaves(limit_nodes_to=[composite])]


def _absent(missing: Any) -> Iterator[str]:
    """What satpy lacks in the end, of what it tells: lists and mappings of what each thing lacks."""
    from satpy import DataQuery

    if isinstance(missing, DataQuery):
        wavelength = missing.get("wavelength")
        yield missing["name"] if wavelength is None else f"a channel at {wavelength:g} um"
        return
    for part in missing.values() if isinstance(missing, Mapping) else missing:
        yield from _absent(part)


@lru_cache(1)
def _enhancer() -> Any:
    from satpy.enhancements.enhancer import Enhancer

    enhancer = Enhancer()
    enhancer.add_sensor_enhancements(_SENSOR)
    return enhancer


def _is_fixed(attributes: Mapping[str, Any]) -> bool:
    """Whether the enhancement that satpy finds for data with some attributes treats equal values alike."""
    from satpy.enhancements.contrast import stretch

    query = {key: attributes[key] for key in ("name", "standard_name") if attributes.get(key) is not None}
    operations = _enhancer().enhancement_tree.find_match(**_CONSTANT, **query)["operations"]
    return all(
        _has_limits(operation.get("args", ()), operation.get("kwargs", {}))
        for operation in operations
        if operation["method"] is stretch
    )


def _has_limits(arguments: Sequence[Any], options: Mapping[str, Any]) -> bool:
    """Whether a stretch with these options is between given limits, not between those of the data."""
    return (
        not arguments
        and options.get("stretch", "crude") in ("crude", "crude-stretch", "log", "logarithmic")
        and options.get("min_stretch") is not None
        and options.get("max_stretch") is not None
    )


def _require_tables(satellite: str, name: str) -> None:
    try:
        rayleigh.require_tables(satellite)
    except ArchiveError as error:
        raise _without_tables(name, error.what) from error


def _without_tables(name: str, why: str) -> ArchiveError:
    return ArchiveError(
        f"composite {name!r} needs tables of pyspectral ({why})",
        where="product",
        remedy="Run `python -c 'from pyspectral import rayleigh, rsr_reader; "
        f'rayleigh.check_and_download(aerosol_types=["{rayleigh.AEROSOL}"]); '
        "rsr_reader.check_and_download()'` where there is internet and copy the folders here, or choose a composite "
        "without them, such as those whose names end in `_raw`",
    )


def _scene(crops: Sequence[Crop]) -> Scene:
    """The crops as if satpy had read them."""
    from satpy import Scene
    from satpy.coords import add_crs_xy_coords

    _, _, reader = _configuration()
    ids = {(key["name"], key["calibration"].name): key for key in reader.all_dataset_ids}
    extent = _extent(crops[0].grid)
    scene = Scene()
    for crop in crops:
        name = f"C{crop.channel.number:02d}"
        key = ids[name, "brightness_temperature" if crop.channel.planck else "reflectance"]
        area = _area(crop.grid, extent)
        channel = xr.DataArray(
            da.from_array(_calibrated(crop), chunks=-1),  # type: ignore[no-untyped-call]
            dims=("y", "x"),
            attrs={**reader.all_ids[key], **key.to_dict(), **_CONSTANT, **_attributes(crop), "area": area},
        )
        scene[key] = add_crs_xy_coords(channel, area)
    return scene


def _calibrated(crop: Crop) -> Float32Array:
    return crop.brightness_temperature() if crop.channel.planck else crop.reflectance()


def _attributes(crop: Crop) -> dict[str, Any]:
    """What composites and modifiers ask of a channel beside its values."""
    position, view = crop.channel.position, crop.grid.view
    return {
        "platform_name": _platform(crop.channel.satellite),
        "start_time": crop.channel.start,
        "end_time": crop.channel.end,
        "orbital_parameters": {
            "projection_longitude": view.sub_longitude,
            "projection_latitude": 0.0,
            "projection_altitude": view.perspective_height,
            "satellite_nominal_longitude": position.longitude,
            "satellite_nominal_latitude": position.latitude,
            "satellite_nominal_altitude": position.altitude,
        },
    }


def _extent(grid: FixedGrid) -> tuple[float, float, float, float]:
    """The outer edges in metres: west, south, east, north."""
    rows, columns = grid.shape
    edges_rad = (
        grid.x0 - grid.dx / 2,
        grid.y0 + grid.dy * (rows - 0.5),
        grid.x0 + grid.dx * (columns - 0.5),
        grid.y0 - grid.dy / 2,
    )
    west, south, east, north = (edge * grid.view.perspective_height for edge in edges_rad)
    return west, south, east, north


def _area(grid: FixedGrid, extent: tuple[float, float, float, float]) -> AreaDefinition:
    """A grid with an extent that is the same, to the last digit, for all resolutions: satpy compares them."""
    from pyresample import AreaDefinition

    rows, columns = grid.shape
    return AreaDefinition("window", "window of an ABI sector", "geos", grid.crs, columns, rows, extent)


def _platform(satellite: str) -> str:
    return f"GOES-{satellite.removeprefix('goes')}"


def _by_satpy(scene: Scene, name: str, recipe: _Recipe) -> xr.DataArray:
    try:
        with _SETTING_UP:  # where satpy keeps thresholds in objects that all threads share
            scene.load([name])
            made: xr.DataArray = scene.resample(scene.finest_area(), resampler="native")[name]
        # Not on the default scheduler, which inside a task of dask.distributed is the cluster.
        return made.copy(data=made.data.compute(scheduler="synchronous"))
    except KeyError as error:
        raise SceneError(
            f"satpy could not make composite {name!r} of channels {', '.join(map(str, recipe.channels))} ({error})",
            remedy="Leave this scene out: its files are not of one scan, or report it with satpy's log",
        ) from error
    except OSError as error:
        if not recipe.needs_tables:
            raise
        raise _without_tables(name, str(error)) from error


def _bands_and_values(made: xr.DataArray) -> tuple[list[str], Float32Array]:
    if "bands" not in made.dims:
        return ["L"], np.array(made.transpose("y", "x").values[np.newaxis], np.float32)
    return [str(band) for band in made["bands"].values], np.array(made.transpose("bands", "y", "x").values, np.float32)


def _missing_in_any(crops: Iterable[Crop], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Where a channel has no value, on the finest grid."""
    missing = np.zeros(shape, bool)
    for crop in crops:
        factor = shape[0] // crop.grid.shape[0]
        missing |= np.isnan(_calibrated(crop)).repeat(factor, axis=0).repeat(factor, axis=1)
    return missing
