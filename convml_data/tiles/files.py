"""What the files of a tile say about it: its yml, and the attributes of its netCDF file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from convml_data.tiles.tile import Tile

#: In C, a quarter of the time, where PyYAML was built with it, as its wheels are; the text is the same.
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

#: What tiles of auxiliary products say besides.
OF_AUX = ("aux_name", "aux_offset_s")

#: Columns that convml_tt makes itself.
_OF_THE_READER = ("tile_type", "triplet_id")


def tile_attributes(tile: Tile, fingerprint: str) -> dict[str, str | int | float]:
    """Attributes of a tile's netCDF file, besides those of its scene; the same keys for every tile of a kind.

    Scalars only, since convml_tt makes a table column of each. Its own columns ``triplet_id`` and
    ``tile_type`` are left to it: here ``tile`` names both.

    Parameters
    ----------
    tile
        As planned.
    fingerprint
        Of what the tile's files follow from (:meth:`Tile.fingerprint`).
    """
    facts = {name: int(fact) if isinstance(fact, bool) else fact for name, fact in tile.facts().items()}
    return {
        "tile": tile.name,
        **{name: fact for name, fact in facts.items() if name not in _OF_THE_READER},
        "scene_id": tile.scene_id,
        **tile.location,
        "resolution": tile.resolution,
        "tile_N": tile.grid.shape[0],
        "fingerprint": fingerprint,
    }


def tile_yml(tile: Tile, attributes: Mapping[str, Any]) -> str:
    """The text of a tile's yml, with the same keys for every tile of a kind.

    Parameters
    ----------
    tile
        As planned.
    attributes
        Of its data, of which ``scene_time`` (ISO 8601, UTC), ``valid_share`` (0 to 1) and
        ``fingerprint`` go into the yml, and those of :data:`OF_AUX` that there are.
    """
    return yaml.dump(
        {
            "loc": tile.location,
            **tile.facts(),
            "scene_id": tile.scene_id,
            "scene_time": str(attributes["scene_time"]),
            "resolution": tile.resolution,
            "tile_N": tile.grid.shape[0],
            "valid_share": float(attributes["valid_share"]),
            "fingerprint": str(attributes["fingerprint"]),
            **{name: attributes[name] for name in OF_AUX if name in attributes},
        },
        Dumper=_DUMPER,
        sort_keys=False,
        allow_unicode=True,
    )
