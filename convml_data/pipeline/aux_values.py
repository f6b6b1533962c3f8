"""An auxiliary field in each tile of a set of embeddings, as numbers beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from convml_data.embeddings.reductions import Reduction
from convml_data.embeddings.transforms.rows import EmbeddingRows, texts
from convml_data.errors import ConvmlError, PlanError
from convml_data.fingerprints import fingerprint
from convml_data.meta.aux_values import AuxValues
from convml_data.pipeline.embedding_plots import Drawn, about, keep_picture
from convml_data.pipeline.embeddings import TILE_STAGE
from convml_data.pipeline.plots import regridded_scene
from convml_data.report.distribution_plot import distribution_plot
from convml_data.store.arrays import DAMAGED
from convml_data.store.dataset import DatasetStore
from convml_data.store.embeddings import EmbeddingStore
from convml_data.store.transforms import TransformStore

FloatArray = npt.NDArray[np.floating]

#: Raised whenever the same fields and tiles would give other numbers.
CODE_VERSION = 1


@dataclass(frozen=True)
class MadeValues:
    """Numbers on disk.

    Parameters
    ----------
    url
        Where they lie.
    attributes
        What they say about themselves.
    kept
        Whether they were there already.
    """

    url: str
    attributes: Mapping[str, Any]
    kept: bool


def make_aux_values(store: DatasetStore, embeddings: EmbeddingStore, asked: AuxValues) -> MadeValues:
    """Reduce an auxiliary field in each tile of a set to numbers, and keep them.

    They are ``<aux name>__<reduction>`` with the dimensions of the tiles and all coordinates of the embeddings, and
    ``<aux name>__valid_share``. Where too few cells have a value, or the scene has no image of the product, a number
    is NaN.

    Parameters
    ----------
    store
        Of the dataset.
    embeddings
        The set.
    asked
        Which product, and which reductions.

    Raises
    ------
    PlanError
        There is no such product or function, the field has several bands, or a function fails.
    StoreError
        The embeddings or the result of the transform are not there.
    """
    aux = store.aux(asked.aux_name)
    results = TransformStore.of(embeddings).aux_values
    if asked.transform is not None:
        TransformStore.of(embeddings).open_result(asked.transform).close()  # one that is not there replaces nothing
    with embeddings.open_all() as data:
        rows = EmbeddingRows(data, embeddings.files.url(embeddings.folder))
        fields = _fields_of_windows(aux, rows) if rows.places else _fields_of_tiles(aux, rows)
        made_from = fingerprint(
            [
                CODE_VERSION,
                asked.model_dump(mode="json", exclude={"transform"}),
                rows.identity(np.ones(rows.count, bool)),
                fields.made_from,
            ]
        )
        attributes = results.attributes(asked.aux_name)
        if attributes is not None and attributes.get("fingerprint") == made_from:
            return MadeValues(results.url(asked.aux_name), attributes, kept=True)
        if not any(fields.made_from):
            raise PlanError(
                f"no scene of the set has a field of {asked.aux_name}",
                where=aux.files.url(aux.scenes(["regridded"]).place),
                remedy=f"Run `convml-data {'regrid' if rows.places else 'tiles'} --aux-name {asked.aux_name}` first",
            )
        values = _reduced(rows, fields, asked)
        results.write(asked.aux_name, values.assign_attrs(fingerprint=made_from))
    attributes = results.attributes(asked.aux_name)
    assert attributes is not None  # they were just written
    return MadeValues(results.url(asked.aux_name), attributes, kept=False)


def draw_distributions(store: DatasetStore, embeddings: EmbeddingStore, asked: AuxValues) -> Iterator[Drawn]:
    """How each number is distributed over the first two components of a transform, or of the embeddings.

    Raises
    ------
    PlanError
        The transform has fewer than two components, or no tile has a number.
    StoreError
        The numbers or the result of the transform are not there.
    """
    transforms = TransformStore.of(embeddings)
    name = asked.transform or "embeddings"
    opened = embeddings.open_all() if asked.transform is None else transforms.open_result(asked.transform)
    with opened as data, transforms.aux_values.open(asked.aux_name) as values:
        if "emb" not in data or data["emb"].shape[1] < 2:
            raise PlanError(
                f"{name} has fewer than two components to draw distributions over",
                where=store.files.url(embeddings.folder),
                remedy="Name a transform such as pca",
            )
        leading = str(data["emb"].dims[0])
        if texts(data[leading]) != texts(values[leading]):
            raise PlanError(
                f"{name} and the numbers of {asked.aux_name} are of other tiles",
                where=transforms.aux_values.url(asked.aux_name),
                remedy="Run `convml-data transform` and then `convml-data aux-values` again",
            )
        positions = np.moveaxis(data["emb"][:, :2].values, 1, -1).reshape(-1, 2)
        dim = data["emb"].dims[1]
        axes = [f"{dim} {number} [1]" for number in (0, 1)]
        title = f"{about(data.attrs)}; {asked.transform or 'embeddings as they are'}"
        for variable in values.data_vars.values():
            if str(variable.name).endswith("__valid_share"):
                continue
            numbers = variable.values.ravel()
            if not (np.isfinite(numbers) & np.isfinite(positions).all(axis=1)).any():
                raise PlanError(
                    f"no tile has a value of {variable.name}",
                    where=transforms.aux_values.url(asked.aux_name),
                    remedy="Lower min_valid_share (--min-valid-share), or take more scenes",
                )
            units = variable.attrs.get("units")
            label = f"{variable.name} [{units}]" if units else str(variable.name)
            about_all = f"{variable.attrs['long_name']}\n{title}"
            picture = distribution_plot(positions, numbers, label, about_all, axes)
            yield keep_picture(transforms, name, f"{variable.name}.distribution", picture)


@dataclass(frozen=True)
class _Fields:
    """The fields of a set's tiles.

    Parameters
    ----------
    made_from
        For each scene or tile that the set has, what its field was made from; empty where there is none.
    of_part
        The fields of the tiles of a scene, or of one tile, by its number: None where there is none.
    """

    made_from: Sequence[str]
    of_part: Callable[[int], Sequence[xr.DataArray] | None]


def _fields_of_windows(aux: DatasetStore, rows: EmbeddingRows) -> _Fields:
    scene_ids, data, arrays = texts(rows.data["scene_id"]), rows.data, aux.scenes(["regridded"])
    made_from = [str((arrays.attributes(scene_id) or {}).get("fingerprint", "")) for scene_id in scene_ids]
    n = int(data.attrs["tile_nx"])

    def of_scene(number: int) -> Sequence[xr.DataArray] | None:
        if not made_from[number]:
            return None
        field = _field(regridded_scene(aux, scene_ids[number]), arrays.url(scene_ids[number]))
        first = [_first_cells(data[axis].values, field[axis].values, n) for axis in ("y", "x")]
        return [field[j : j + n, i : i + n] for j in first[0] for i in first[1]]

    return _Fields(made_from, of_scene)


def _fields_of_tiles(aux: DatasetStore, rows: EmbeddingRows) -> _Fields:
    stage = TILE_STAGE[rows.data.attrs["tiles_kind"]]
    names = [tile_id.rpartition("/")[::2] for tile_id in texts(rows.data["tile_id"])]
    made_from = [
        str((aux.shown_tiles(stage, collection).attributes(name) or {}).get("fingerprint", ""))
        for collection, name in names
    ]

    def of_tile(number: int) -> Sequence[xr.DataArray] | None:
        if not made_from[number]:
            return None
        collection, name = names[number]
        shown = aux.shown_tiles(stage, collection)
        try:
            with shown.open(name) as tile:
                return [_field(tile.load(), shown.url(name))]
        except DAMAGED as error:
            raise PlanError(
                f"this tile cannot be read ({error})", where=shown.url(name), remedy="Delete it and cut it again"
            ) from error

    return _Fields(made_from, of_tile)


def _field(data: xr.Dataset, where: str) -> xr.DataArray:
    (field,) = data.data_vars.values()
    if field.dims != ("y", "x"):
        raise PlanError(
            f"the field {field.name} is {field.dims}, and numbers are made of fields (y, x)",
            where=where,
            remedy="Take an auxiliary product of one band",
        )
    return field


def _first_cells(centres: FloatArray, axis: FloatArray, n: int) -> list[int]:
    """The first cells of windows of n cells along an axis, by the windows' centres."""
    step = (axis[-1] - axis[0]) / max(1, len(axis) - 1)
    return [round(float(at)) for at in (centres - axis[0]) / step - (n - 1) / 2]


def _reduced(rows: EmbeddingRows, fields: _Fields, asked: AuxValues) -> xr.Dataset:
    """The numbers of all tiles."""
    reductions = [Reduction.of(name) for name in asked.reduce]
    functions = [reduction.function() for reduction in reductions]
    found = np.full((len(reductions), rows.count), np.nan, np.float32)
    shares = np.full(rows.count, np.nan, np.float32)
    units, long_name = None, asked.aux_name
    of_part = rows.count // rows.data.sizes[rows.leading]
    for part in range(rows.data.sizes[rows.leading]):
        for number, field in enumerate(fields.of_part(part) or (), start=part * of_part):
            units, long_name = field.attrs.get("units"), str(field.attrs.get("long_name", field.name))
            shares[number] = np.isfinite(field.values).mean()
            if shares[number] > 0 and shares[number] >= asked.min_valid_share:
                for row, (reduction, function) in enumerate(zip(reductions, functions, strict=True)):
                    found[row, number] = _number(reduction, function, field)
    dims = (rows.leading, *rows.places)
    shape = [rows.data.sizes[dim] for dim in dims]
    variables = {
        f"{asked.aux_name}__{reduction.variable}": _variable(
            dims, values.reshape(shape), f"tile {reduction.name} of {long_name}", reduction.units(units)
        )
        for reduction, values in zip(reductions, found, strict=True)
    }
    share = _variable(dims, shares.reshape(shape), f"share of the tile's cells with a value of {long_name}", "1")
    coordinates = rows.data.drop_vars("emb").drop_dims("emb_dim", errors="ignore").load()
    described = coordinates.assign(variables | {f"{asked.aux_name}__valid_share": share})
    described.attrs = {
        **{name: rows.data.attrs[name] for name in ("dataset", "model", "model_sha256", "tiles_kind")},
        "aux_name": asked.aux_name,
        "min_valid_share": asked.min_valid_share,
        "tiles": rows.count,
        "tiles_without_field": int(np.count_nonzero(np.isnan(shares))),
        "tiles_with_too_few_values": int(np.count_nonzero((shares < asked.min_valid_share) | (shares == 0))),
    }
    return described


def _variable(
    dims: Sequence[str], values: FloatArray, long_name: str, units: str | None
) -> tuple[Sequence[str], FloatArray, dict[str, str]]:
    return dims, values, {"long_name": long_name} | ({} if units is None else {"units": units})


def _number(reduction: Reduction, function: Callable[[FloatArray], float], field: xr.DataArray) -> float:
    try:
        return function(field.values)
    except ConvmlError:
        raise
    except Exception as error:  # whatever the code of others raises
        raise PlanError(
            f"{reduction.name} of {field.name} failed: {type(error).__name__}: {error}",
            where="the reductions of tiles",
            remedy="Name another reduction, or mend the function",
        ) from error
