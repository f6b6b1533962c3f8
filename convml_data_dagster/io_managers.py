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

An input for one partition is the scene, for several a mapping of scene ID to scene; scenes are
opened when they are looked up and their values read when they are used. They come as
``xr.DataArray`` where the annotation says so, as ``xr.Dataset`` otherwise. Several partitions in one
run return a mapping of scene ID to field.
"""

from __future__ import annotations

import typing
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    import xarray as xr

    from convml_data.store.arrays import ArrayStore, Format
    from convml_data.store.dataset import DatasetStore

#: Input metadata that lets scenes be missing from a mapping, as in Dagster's own file managers.
ALLOW_MISSING = "allow_missing_partitions"


def io_manager_key(dataset_name: str) -> str:
    """Resource key of a dataset's IO manager."""
    return f"{dataset_name}_io"


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

        return DatasetStore(load_dataset(Path(self.directory)), self.format)

    def _arrays(self, asset_key: dg.AssetKey) -> ArrayStore:
        store = self.store()
        parts = list(asset_key.path)
        return store.scenes(parts[1:] if parts[0] == store.dataset.name and len(parts) > 1 else parts)

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write what an asset returned, each partition whole or not at all."""
        arrays = self._arrays(context.asset_key)
        if not context.has_asset_partitions:
            context.add_output_metadata(self._write(arrays, "data", obj))
            return
        keys = list(context.asset_partition_keys)
        fields = obj if isinstance(obj, Mapping) else {keys[0]: obj}
        if (len(keys) > 1 and not isinstance(obj, Mapping)) or set(fields) != set(keys):
            returned = sorted(fields) if isinstance(obj, Mapping) else type(obj).__name__
            raise dg.Failure(
                f"{context.asset_key.to_user_string()} was asked for the partitions {keys} and returned "
                f"{returned}; return a field for one partition, a mapping of scene ID to field for several."
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
        arrays.write(key, field)
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

        arrays = self._arrays(context.asset_key)
        wanted = context.dagster_type.typing_type
        as_array = xr.DataArray in {wanted, *_arguments(wanted)}
        if not context.has_asset_partitions:
            return _opened(arrays, "data", as_array)
        keys = list(context.asset_partition_keys)
        many = len(keys) > 1 or typing.get_origin(wanted) in (dict, Mapping)
        if not many:
            return _opened(arrays, keys[0], as_array)
        stored = set(arrays.stored())
        missing = [key for key in keys if key not in stored]
        if missing and not (context.definition_metadata or {}).get(ALLOW_MISSING):
            raise dg.Failure(
                f"{context.asset_key.to_user_string()} has no file for {len(missing)} of {len(keys)} partitions, "
                f"the first being {missing[0]}; materialize them, or set the input's metadata "
                f"{{'{ALLOW_MISSING}': True}} to go on without them."
            )
        return Scenes(arrays, tuple(key for key in keys if key in stored), as_array)


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


class Scenes(Mapping[str, "xr.Dataset | xr.DataArray"]):
    """Scenes by their IDs, each opened when it is looked up."""

    def __init__(self, arrays: ArrayStore, scene_ids: tuple[str, ...], as_array: bool) -> None:
        self._arrays = arrays
        self._scene_ids = scene_ids
        self._as_array = as_array

    def __getitem__(self, scene_id: str) -> xr.Dataset | xr.DataArray:
        if scene_id not in self._scene_ids:
            raise KeyError(scene_id)
        return _opened(self._arrays, scene_id, self._as_array)

    def __iter__(self) -> Iterator[str]:
        return iter(self._scene_ids)

    def __len__(self) -> int:
        return len(self._scene_ids)


def _arguments(annotation: Any) -> tuple[Any, ...]:
    return typing.get_args(annotation)


def _opened(arrays: ArrayStore, key: str, as_array: bool) -> xr.Dataset | xr.DataArray:
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
