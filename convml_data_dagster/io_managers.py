"""IO managers: where gridded results lie and in which format.

The scene chain writes through the store that a dataset's IO manager gives it, and any other asset
can take ``cropped`` or ``regridded`` as an input or return a field to be kept:

.. code-block:: python

    @dg.asset(
        key=["tropics", "brightness"],
        ins={"scene": dg.AssetIn(["tropics", "regridded"])},
        partitions_def=scene_partitions("tropics"),
        io_manager_key="tropics_io",
    )
    def brightness(scene: xr.DataArray) -> xr.DataArray:
        return scene.mean("bands")

An input for one partition is the scene. Annotated ``Mapping[str, xr.DataArray]`` it is a mapping of
scene ID to scene in time order, whether a run has one partition or many, and for an asset without
partitions it holds all scenes; each is opened when it is looked up and its values are read when they
are used. Scenes come as ``xr.DataArray`` where the annotation says so, as ``xr.Dataset`` otherwise.
Several partitions in one run return a mapping of scene ID to field.
"""

from __future__ import annotations

import typing
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from convml_data_dagster.failures import errors_as_failures

if TYPE_CHECKING:
    import xarray as xr

    from convml_data.store.arrays import ArrayStore, Format
    from convml_data.store.dataset import DatasetStore

#: Input metadata that lets scenes be missing from a mapping, as in Dagster's own file managers.
ALLOW_MISSING = "allow_missing_partitions"


def io_manager_key(dataset_name: str) -> str:
    """Resource key of a dataset's IO manager."""
    return f"{dataset_name}_io"


def store_of(context: dg.AssetExecutionContext, dataset_name: str) -> DatasetStore:
    """The files of a dataset as its IO manager keeps them, for steps that write for themselves."""
    manager: SceneIOManager = getattr(context.resources, io_manager_key(dataset_name))
    return manager.store()


class SceneIOManager(dg.ConfigurableIOManager):
    """Keeps fields below a dataset's root, one file or group for each partition."""

    directory: str
    """The folder that holds ``meta.yaml``."""

    @property
    @abstractmethod
    def format(self) -> Format:
        """Format of what is written."""

    def store(self) -> DatasetStore:
        """The dataset's files, in this manager's format."""
        from convml_data.meta.dataset import load_dataset
        from convml_data.store.dataset import DatasetStore

        return DatasetStore.of(load_dataset(Path(self.directory)), self.format)

    def _arrays(self, asset_key: dg.AssetKey) -> ArrayStore:
        store, stage = self._located(asset_key)
        return store.scenes(stage)

    def _located(self, asset_key: dg.AssetKey) -> tuple[DatasetStore, list[str]]:
        """The store that an asset's files are in, and the parts of its key below the dataset's or product's own."""
        store, parts = self.store(), list(asset_key.path)
        if parts[0] == store.dataset.name and len(parts) > 1:
            parts = parts[1:]
        if parts[0] == "aux" and len(parts) > 2 and parts[1] in store.dataset.meta.aux_products:
            return store.aux(parts[1]), parts[2:]
        return store, parts

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write what an asset returned, each partition whole or not at all."""
        import xarray as xr

        with errors_as_failures():
            arrays = self._arrays(context.asset_key)
            if not context.has_asset_partitions:
                context.add_output_metadata(self._write(arrays, "data", obj))
                return
            keys = sorted(context.asset_partition_keys)
            several = isinstance(obj, Mapping) and not isinstance(obj, xr.Dataset)
            fields = obj if several else {keys[0]: obj}
            if set(fields) != set(keys):
                name, returned = context.asset_key.to_user_string(), sorted(map(str, fields))
                raise dg.Failure(
                    f"{name} was to return a mapping of scene ID to field for {_listed(keys)}, and returned "
                    f"{f'one for {_listed(returned)}' if several else f'a {type(obj).__name__}'}."
                )
            for key, field in fields.items():
                metadata = self._write(arrays, key, field)
                context.step_context.add_asset_metadata(metadata, context.asset_key, partition_key=key)

    def _write(self, arrays: ArrayStore, key: str, field: Any) -> dict[str, Any]:
        import numpy as np
        import xarray as xr

        if isinstance(field, xr.DataArray):
            field = field.to_dataset(name=field.name or Path(arrays.folder).name, promote_attrs=False)
        if not isinstance(field, xr.Dataset):
            raise dg.Failure(
                f"{arrays.url(key)}: expected an xarray.DataArray or Dataset to write, got {type(field).__name__}."
            )
        arrays.write(key, _with_grid_mapping(field))
        shares = [
            float(np.isfinite(values).mean())
            for values in field.data_vars.values()
            if np.issubdtype(values.dtype, np.floating)
        ]
        metadata: dict[str, Any] = {"path": dg.MetadataValue.path(arrays.url(key))}
        return metadata | ({"valid_share": min(shares)} if shares else {})

    def load_input(self, context: dg.InputContext) -> Any:
        """Open what an earlier asset wrote."""
        import xarray as xr

        name, wanted = context.asset_key.to_user_string(), context.dagster_type.typing_type
        as_array = xr.DataArray in (wanted, *typing.get_args(wanted))
        with errors_as_failures():
            arrays = self._arrays(context.asset_key)
        # Sorted by ID, which is by time; Dagster gives them in no order.
        keys = sorted(context.asset_partition_keys) if context.has_asset_partitions else ["data"]
        if len(keys) == 1 and typing.get_origin(wanted) is not dict:  # what Dagster makes of any mapping
            if not arrays.files.exists(arrays.name(keys[0])):
                raise dg.Failure(f"{name} is not there ({arrays.url(keys[0])}); materialize it first.")
            self._require_current(context.asset_key, keys)
            return _opened(arrays, keys[0], as_array)
        if wanted in (xr.DataArray, xr.Dataset):
            raise dg.Failure(
                f"{name} comes with {len(keys)} partitions and the input {context.name} is annotated to be one "
                f"xarray.{wanted.__name__}; annotate it as Mapping[str, xarray.{wanted.__name__}], or launch one "
                "partition a run."
            )
        stored = set(arrays.stored())
        missing = [key for key in keys if key not in stored]
        if missing and not (context.definition_metadata or {}).get(ALLOW_MISSING):
            raise dg.Failure(
                f"{name} is not there for {len(missing)} of {len(keys)} partitions, the first being {missing[0]}; "
                f"materialize them first, or set the input's metadata {{'{ALLOW_MISSING}': True}} to go on without "
                "them."
            )
        there = tuple(key for key in keys if key in stored)
        self._require_current(context.asset_key, there)
        return Scenes(arrays, there, as_array)

    def _require_current(self, asset_key: dg.AssetKey, scene_ids: Sequence[str]) -> None:
        """See that scenes of the chain are of the present meta.yaml, so that nothing is made of others unawares."""
        from convml_data.pipeline.made_from import SCENE_STAGES, outdated_scenes

        store, parts = self._located(asset_key)
        stage = next((stage for stage in SCENE_STAGES if parts == [stage]), None)
        if stage is None:
            return
        with errors_as_failures():
            outdated = outdated_scenes(store, stage, scene_ids)
        if outdated:
            raise dg.Failure(
                f"{asset_key.to_user_string()} was made from another meta.yaml or other source files for "
                f"{len(outdated)} of {len(scene_ids)} partitions, the first being {outdated[0]}; materialize it again."
            )


class NetCDFIOManager(SceneIOManager):
    """netCDF files, ``<folder>/<scene ID>.nc``."""

    @property
    def format(self) -> Format:
        """``netcdf``."""
        return "netcdf"


class ZarrIOManager(SceneIOManager):
    """Zarr groups, ``<folder>.zarr/<scene ID>``."""

    @property
    def format(self) -> Format:
        """``zarr``."""
        return "zarr"


IO_MANAGERS: Mapping[str, type[SceneIOManager]] = {"netcdf": NetCDFIOManager, "zarr": ZarrIOManager}


class Scenes(Mapping[str, Any], dict[str, Any]):  # type: ignore[misc, metaclass]
    """Scenes by their IDs, each opened when it is looked up and not held afterwards.

    A dict only because Dagster checks for one where the annotation says ``Mapping``; what a dict has
    beyond a mapping either works on the scenes or is refused.
    """

    def __init__(self, arrays: ArrayStore, scene_ids: tuple[str, ...], as_array: bool) -> None:
        super().__init__()
        self._arrays = arrays
        self._scene_ids = dict.fromkeys(scene_ids)
        self._as_array = as_array

    def __getitem__(self, scene_id: str) -> xr.Dataset | xr.DataArray:
        if scene_id not in self._scene_ids:
            raise KeyError(scene_id)
        return _opened(self._arrays, scene_id, self._as_array)

    def __contains__(self, scene_id: object) -> bool:
        return scene_id in self._scene_ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._scene_ids)

    def __len__(self) -> int:
        return len(self._scene_ids)

    def __repr__(self) -> str:
        return f"<{len(self)} scenes in {self._arrays.folder}>"

    def copy(self) -> dict[str, Any]:
        """A plain dict that holds every scene."""
        return dict(self)

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return self.copy() | dict(other.items())

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return dict(other.items()) | self.copy()

    def _refuse(self, *_: Any, **__: Any) -> typing.NoReturn:
        raise TypeError("scenes that were read cannot be changed; dict(scenes) is a dict that can")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse


def _with_grid_mapping(data: xr.Dataset) -> xr.Dataset:
    """Fields that say which coordinate is their projection, which most calculations forget."""
    projections = [name for name, coordinate in data.coords.items() if "grid_mapping_name" in coordinate.attrs]
    if len(projections) != 1:
        return data
    fields = {name: field for name, field in data.data_vars.items() if {"y", "x"} <= set(field.dims)}
    return data.assign({name: field.assign_attrs(grid_mapping=projections[0]) for name, field in fields.items()})


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "") or "no scene"


def _opened(arrays: ArrayStore, key: str, as_array: bool) -> xr.Dataset | xr.DataArray:
    with errors_as_failures():
        scene = arrays.open(key)
    if not as_array:
        return scene
    if len(scene.data_vars) != 1:
        raise dg.Failure(
            f"{arrays.url(key)} holds {len(scene.data_vars)} variables ({', '.join(map(str, scene.data_vars))}) "
            "and cannot be given as one xarray.DataArray; annotate the input as xarray.Dataset."
        )
    (field,) = scene.data_vars.values()
    return field.assign_attrs({name: value for name, value in scene.attrs.items() if name not in field.attrs})
