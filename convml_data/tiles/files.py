"""What the files of a tile say about it: its yml, and the attributes of its netCDF file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from convml_data.tiles.plan import TileSpec


def tile_attributes(tile: TileSpec, fingerprint: str) -> dict[str, str | int | float]:
    """Attributes of a tile's netCDF file, besides those of its scene; the same keys for every tile.

    Scalars only, since convml_tt makes a table column of each. Its own columns ``triplet_id`` and
    ``tile_type`` are left to it: here ``tile`` names both.

    Parameters
    ----------
    tile
        As planned.
    fingerprint
        Of what the tile's files follow from (:meth:`TileSpec.fingerprint`).
    """
    return {
        "tile": tile.name,
        "triplet_collection": tile.collection,
        "scene_id": tile.scene_id,
        "distant_from_same_scene": int(tile.distant_from_same_scene),
        **_location(tile),
        "resolution": tile.resolution,
        "tile_N": tile.grid.shape[0],
        "fingerprint": fingerprint,
    }


def tile_yml(tile: TileSpec, attributes: Mapping[str, Any]) -> str:
    """The text of a tile's yml, with the same keys for every tile.

    Parameters
    ----------
    tile
        As planned.
    attributes
        Of its data, of which ``scene_time`` (ISO 8601, UTC), ``valid_share`` (0 to 1) and
        ``fingerprint`` go into the yml.
    """
    return yaml.safe_dump(
        {
            "loc": _location(tile),
            "tile_type": tile.tile_type,
            "triplet_id": tile.triplet_id,
            "triplet_collection": tile.collection,
            "scene_id": tile.scene_id,
            "scene_time": str(attributes["scene_time"]),
            "distant_from_same_scene": tile.distant_from_same_scene,
            "resolution": tile.resolution,
            "tile_N": tile.grid.shape[0],
            "valid_share": float(attributes["valid_share"]),
            "fingerprint": str(attributes["fingerprint"]),
        },
        sort_keys=False,
        allow_unicode=True,
    )


def _location(tile: TileSpec) -> dict[str, float]:
    location = {"x_c": tile.x_c, "y_c": tile.y_c, "l_zonal": tile.length, "l_meridional": tile.length}
    if tile.central_latitude is not None and tile.central_longitude is not None:
        location |= {"central_latitude": tile.central_latitude, "central_longitude": tile.central_longitude}
    return location
