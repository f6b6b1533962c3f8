"""A function of the user as a source of scenes: other sources bring its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from convml_data.errors import SceneError
from convml_data.geometry.local import Domain
from convml_data.geometry.source_grids import grid_of
from convml_data.scenes.ledger import Scan
from convml_data.sources.base import Interval, Source
from convml_data.sources.shares import valid_share
from convml_data.user_functions import call_field_function

#: Attributes that say how a variable lies in its file, which is for us to say.
_OF_THE_FILE = frozenset(
    {"_FillValue", "missing_value", "scale_factor", "add_offset", "dtype", "_Unsigned", "coordinates", "grid_mapping"}
)


@dataclass(frozen=True)
class UserFunctionSource:
    """What a function makes of fields of other sources.

    Parameters
    ----------
    of_fields
        Sources of the fields: one that stacks all of them, or one for each, of one file and on one grid.
    inputs
        Names of the fields in the order of the sources' bands, and the units they must have, None
        for any.
    file, function
        The user's function.
    """

    of_fields: tuple[Source, ...]
    inputs: Mapping[str, str | None]
    file: Path
    function: str

    @property
    def archive(self) -> str:
        """Where the fields come from."""
        return self.of_fields[0].archive

    def find(self, intervals: Sequence[Interval] | None) -> list[Scan]:
        """The scans of the fields; see :class:`~convml_data.sources.base.Source`."""
        return self.of_fields[0].find(intervals)

    def whole_domain(self, scan: Scan) -> Domain:
        """That of the fields."""
        return self.of_fields[0].whole_domain(scan)

    def read(self, scan: Scan, domain: Domain) -> xr.Dataset:
        """The function's result on the fields' grid; see :class:`~convml_data.sources.base.Source`.

        Raises
        ------
        ArchiveError, SceneError
            As the sources of the fields.
        MetaError
            There is no such function.
        SceneError
            A field has other units than those that were asked for, or the function failed or broke
            its contract.
        """
        scenes = [source.read(scan, domain) for source in self.of_fields]
        fields = dict(zip(self.inputs, (band for scene in scenes for band in _bands_of(scene)), strict=True))
        for name, units in self.inputs.items():
            found = fields[name].attrs.get("units")
            if units is not None and units != found:
                raise SceneError(
                    f"{name} has the units {found!r}, and {units!r} are asked for",
                    where=f"{self.file.with_name('meta.yaml')}: input",
                    remedy=f"Write `{name}: {found}`, or name the field without units",
                )
        made = call_field_function(self.file, self.function, fields)
        scene = scenes[0]
        (original,) = scene.data_vars.values()
        attributes = {
            key: int(value) if isinstance(value, bool) else value
            for key, value in made.attrs.items()
            if isinstance(value, (str, int, float)) and key not in _OF_THE_FILE
        }
        if "grid_mapping" in original.attrs:
            attributes["grid_mapping"] = original.attrs["grid_mapping"]
        of_inputs = [name for name, coordinate in scene.coords.items() if "bands" in coordinate.dims]
        result = scene.drop_vars([original.name, *of_inputs])
        result[self.function] = (made.dims, made.values, attributes)
        if "bands" in made.coords:
            result = result.assign_coords(bands=made["bands"])
        valid = made.notnull().all("bands") if "bands" in made.dims else made.notnull()
        return result.assign_attrs(
            product="user_function",
            title=f"{self.function} of {', '.join(self.inputs)}, cropped to a domain",
            user_function=self.function,
            inputs=", ".join(self.inputs),
            valid_share=valid_share(domain, grid_of(scene), valid.values),
        )


def _bands_of(scene: xr.Dataset) -> list[xr.DataArray]:
    """The fields of a scene, each (y, x) with its own units and long name."""
    (field,) = scene.data_vars.values()
    plain = field.drop_vars([name for name, c in field.coords.items() if not set(c.dims) <= {"y", "x", "bands"}])
    if "bands" not in field.dims:
        return [plain]
    singles = []
    for index, name in enumerate(field["bands"].values):
        single = plain.isel(bands=index, drop=True).drop_vars(["band_units", "band_long_name"], errors="ignore")
        attributes = {
            "units": str(field["band_units"].values[index]),
            "long_name": str(field["band_long_name"].values[index]),
        }
        singles.append(single.rename(str(name)).assign_attrs(attributes))
    return singles
