"""The tile plan: which scene gives which tile of which triplet, and where."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from convml_data.draws import named_uniforms
from convml_data.errors import PlanError
from convml_data.geometry.local import Domain
from convml_data.geometry.windows import Window
from convml_data.json_rows import reading, written
from convml_data.tiles.placement import CentreBox, PairPlacement, Point, centre_box, fits_along
from convml_data.tiles.scene_draws import draw_scene_pairs
from convml_data.tiles.splits import RandomByRelativeSampleSize, Split, split_scenes
from convml_data.tiles.tile import Tile

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

#: Whether the tile of a scene (its ID) that is centred on a point (x, y) is accepted.
Accepts = Callable[[str, float, float], bool]

#: Raised whenever a plan is written in a way that older ones are not.
FORMAT_VERSION = 3

#: What a triplet is made of, in its order.
TILE_TYPES = ("anchor", "neighbor", "distant")

#: Draws of a collection that are looked at together at most, unless there are more triplets.
DRAWS_TOGETHER = 10_000

#: Tiles that stick out of the domain by less than this many metres are not worth a warning.
NEGLIGIBLE = 1.0


@dataclass(frozen=True)
class TileSpec(Tile):
    """A tile of a triplet.

    Parameters
    ----------
    collection
        ``train``, ``study``, …
    triplet_id
        Number of its triplet in the collection, from 0.
    tile_type
        ``anchor``, ``neighbor`` or ``distant``.
    scene_id
        Where its data comes from.
    x_c, y_c
        Its centre on the domain's plane, metres to the east and to the north of the domain's centre.
    central_latitude, central_longitude
        Its centre, degrees north and east, None where the domain has no place on the earth.
    length
        Of its sides on its own plane, metres.
    resolution
        Side of a cell, metres.
    distant_from_same_scene
        Whether the distant tile of its triplet comes from the scene of the anchor.
    i0, j0
        Its first column and row of the domain's grid, where it is a slice of the scene there.
    """

    collection: str
    triplet_id: int
    tile_type: str
    scene_id: str
    x_c: float
    y_c: float
    central_latitude: float | None
    central_longitude: float | None
    length: float
    resolution: float
    distant_from_same_scene: bool
    i0: int | None = None
    j0: int | None = None

    @property
    def name(self) -> str:
        """What its files are called, without folder and ending."""
        return f"{self.triplet_id:05d}_{self.tile_type}"

    @property
    def window(self) -> Window | None:
        """Its cells of the scene on the domain's grid, None where it has a grid of its own."""
        if self.i0 is None or self.j0 is None:
            return None
        side = self.grid.shape[0]
        return Window(self.j0, self.j0 + side, self.i0, self.i0 + side)

    def facts(self) -> dict[str, Any]:
        """Its part in its triplet."""
        return {
            "tile_type": self.tile_type,
            "triplet_id": self.triplet_id,
            "triplet_collection": self.collection,
            "distant_from_same_scene": self.distant_from_same_scene,
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return dict(vars(self))  # not `asdict`, which takes ten times as long to copy deeply

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TileSpec:
        """The tile that :meth:`to_dict` described."""
        return cls(**values)


@dataclass(frozen=True)
class TilePlan:
    """All tiles of a dataset's triplets.

    Parameters
    ----------
    fingerprint
        Of what the plan follows from.
    scenes
        The scenes of each collection in time order, those that no triplet drew included.
    left_over
        Scenes of no collection, each with the reason.
    accepted
        By collection the share of draws whose tiles met the conditions; empty where there are none.
    warnings
        What a user should know about the plan, a sentence each.
    tiles
        By collection, triplet and type.
    """

    fingerprint: str
    scenes: Mapping[str, tuple[str, ...]]
    left_over: Mapping[str, str]
    accepted: Mapping[str, float]
    warnings: tuple[str, ...]
    tiles: tuple[TileSpec, ...]

    @property
    def scenes_seen(self) -> frozenset[str]:
        """All scenes that the plan was drawn from."""
        return frozenset(self.left_over).union(*self.scenes.values())

    def tiles_of(self, scene_id: str) -> tuple[TileSpec, ...]:
        """The tiles that a scene gives, in the plan's order."""
        return self._tiles_by_scene.get(scene_id, ())

    @cached_property
    def _tiles_by_scene(self) -> dict[str, tuple[TileSpec, ...]]:
        tiles: defaultdict[str, list[TileSpec]] = defaultdict(list)
        for tile in self.tiles:
            tiles[tile.scene_id].append(tile)
        return {scene_id: tuple(of_scene) for scene_id, of_scene in tiles.items()}

    def to_json(self) -> str:
        """The plan's written form, one tile a line."""
        head = {
            "fingerprint": self.fingerprint,
            "warnings": list(self.warnings),
            "scenes": {collection: list(scene_ids) for collection, scene_ids in self.scenes.items()},
            "left_over": dict(self.left_over),
            "accepted": dict(self.accepted),
        }
        return written(FORMAT_VERSION, head, "tiles", (tile.to_dict() for tile in self.tiles))

    @classmethod
    def from_json(cls, text: str, where: str) -> TilePlan:
        """The plan that :meth:`to_json` wrote; ``where`` names its file in errors.

        Raises
        ------
        StoreError
            The text is no tile plan, or one of another format version.
        """
        remedy = "Delete it and run `convml-data tiles` to make it anew"
        with reading(
            text, where, FORMAT_VERSION, has="this tile plan has", is_no="this is no tile plan", remedy=remedy
        ) as values:
            return cls(
                values["fingerprint"],
                {collection: tuple(scene_ids) for collection, scene_ids in values["scenes"].items()},
                dict(values["left_over"]),
                dict(values["accepted"]),
                tuple(values["warnings"]),
                tuple(TileSpec.from_dict(tile) for tile in values["tiles"]),
            )


def box_for_triplets(domain: Domain, length: float, distance: float) -> CentreBox:
    """Where the centres of a triplet's tiles may lie.

    Parameters
    ----------
    domain
        Where the tiles are taken from.
    length
        Of a tile's sides, metres.
    distance
        From an anchor's centre to its neighbor's, metres.

    Raises
    ------
    PlanError
        No two tiles at that distance fit into the domain.
    """
    box = centre_box(domain, length)
    if distance > box.diagonal * (1 + 1e-9):
        raise _neighbor_does_not_fit(domain, length, distance, box)
    return box


def plan_triplets(
    domain: Domain,
    resolution: float,
    tile_n: int,
    n_triplets: Mapping[str, int],
    neigh_dist_scaling: float,
    seed: int,
    scene_ids: Collection[str],
    fingerprint: str,
    split: Split = RandomByRelativeSampleSize(),  # noqa: B008  # a value that nothing can change
    snap_to_grid: bool = False,
    accepts: Accepts | None = None,
    max_draws: int = 1,
) -> TilePlan:
    """Plan all triplets of a dataset.

    Every draw is named by the seed, its purpose, the collection and the triplet, so that the same
    arguments give the same plan, and more triplets keep the ones there were as long as the scenes
    are shared out alike.

    Parameters
    ----------
    domain
        Where the tiles are taken from.
    resolution
        Side of a cell, metres.
    tile_n
        Cells along a side of a tile.
    n_triplets
        Triplets by collection.
    neigh_dist_scaling
        Distance from an anchor to its neighbor over the length of a tile.
    seed
        Of the dataset.
    scene_ids
        All scenes of the dataset, in any order.
    fingerprint
        To be kept with the plan.
    split
        How scenes are shared out to the collections.
    snap_to_grid
        Move each tile by up to half a cell, so that it is a slice of the scene on the domain's grid.
    accepts
        Whether a tile of a scene, centred on a point of the domain's plane in metres, is worth cutting;
        None takes every tile.
    max_draws
        How often a triplet is drawn until its tiles are accepted.

    Raises
    ------
    PlanError
        There are too few scenes, no two tiles at the neighbor's distance fit into the domain, or too few
        draws are accepted.
    """
    length = tile_n * resolution
    distance = neigh_dist_scaling * length
    box = box_for_triplets(domain, length, distance)
    shared = split_scenes(split, scene_ids, n_triplets, seed)
    scenes = shared.scenes
    pairs = PairPlacement(box, distance)
    drawn = {
        collection: _drawn(collection, of_collection, n_triplets[collection], box, pairs, seed, accepts, max_draws)
        for collection, of_collection in scenes.items()
    }
    triplets = [
        (collection, triplet_id, draw.scenes)
        for collection, of_collection in drawn.items()
        for triplet_id, draw in enumerate(of_collection.triplets)
    ]
    centres = [centre for of_collection in drawn.values() for draw in of_collection.triplets for centre in draw.centres]

    x, y = np.array(centres).T
    i0 = j0 = None
    if snap_to_grid:
        (i0, x), (j0, y) = (
            _snapped(along, axis, tile_n) for along, axis in zip((x, y), _axes(domain, resolution), strict=True)
        )
    on_earth = domain.crs is not None
    lon, lat = domain.to_world(x, y)
    tiles = [
        TileSpec(
            collection=collection,
            triplet_id=triplet_id,
            tile_type=tile_type,
            scene_id=near if tile_type != "distant" else far,
            x_c=float(x[i]),
            y_c=float(y[i]),
            central_latitude=float(lat[i]) if on_earth else None,
            central_longitude=float(lon[i]) if on_earth else None,
            length=length,
            resolution=resolution,
            distant_from_same_scene=near == far,
            i0=None if i0 is None else int(i0[i]),
            j0=None if j0 is None else int(j0[i]),
        )
        for first, (collection, triplet_id, (near, far)) in enumerate(triplets)
        for i, tile_type in enumerate(TILE_TYPES, start=len(TILE_TYPES) * first)
    ]
    warnings = _warnings_about_places(domain, length, box) + _warnings_about_scenes(scenes)
    accepted = (
        {} if accepts is None else {name: found.accepted_share for name, found in drawn.items() if found.triplets}
    )
    return TilePlan(fingerprint, scenes, shared.left_over, accepted, tuple(warnings), tuple(tiles))


@dataclass(frozen=True)
class _Draw:
    """The scenes of a triplet, of anchor and neighbor and of the distant tile, and the centres of its tiles.

    ``attempt`` says how often the triplet was drawn before.
    """

    triplet_id: int
    attempt: int
    scenes: tuple[str, str]
    centres: tuple[Point, Point, Point]


@dataclass(frozen=True)
class _Drawn:
    """The triplets of a collection, and the share of all draws that was accepted."""

    triplets: list[_Draw]
    accepted_share: float


def _drawn(
    collection: str,
    scenes: Sequence[str],
    count: int,
    box: CentreBox,
    pairs: PairPlacement,
    seed: int,
    accepts: Accepts | None,
    max_draws: int,
) -> _Drawn:
    """Draw each triplet of a collection until its tiles are accepted, each draw by a name of its own.

    Each triplet takes its first draw that is accepted. The more draws are looked at together, the less
    often scenes are read and the more draws are made in vain, which are never more than those before.

    Raises
    ------
    PlanError
        A triplet is not accepted in ``max_draws`` draws.
    """
    found: dict[int, _Draw] = {}
    attempts = 0
    while attempts < max_draws and len(found) < count:
        pending = [triplet_id for triplet_id in range(count) if triplet_id not in found]
        together = max(1, min(attempts, DRAWS_TOGETHER // len(pending)))
        drawn = [
            draw
            for attempt in range(attempts, min(attempts + together, max_draws))
            for draw in _draw_once(collection, scenes, pending, box, pairs, seed, attempt)
        ]
        for draw in drawn if accepts is None else _accepted(drawn, accepts):
            found.setdefault(draw.triplet_id, draw)
        attempts += together
    draws = sum(draw.attempt + 1 for draw in found.values()) + max_draws * (count - len(found))
    if len(found) < count:
        raise PlanError(
            f"{count - len(found)} of the {count} triplets of {collection} were drawn {max_draws} times and not "
            f"accepted once; {len(found) / max(1, draws):.2%} of all draws were accepted",
            where="sampling.accept",
            remedy="Loosen the conditions, raise max_draws, or take more scenes",
        )
    return _Drawn([found[triplet_id] for triplet_id in range(count)], len(found) / max(1, draws))


def _draw_once(
    collection: str,
    scenes: Sequence[str],
    triplet_ids: Sequence[int],
    box: CentreBox,
    pairs: PairPlacement,
    seed: int,
    attempt: int,
) -> list[_Draw]:
    """One draw of each of some triplets."""
    again = () if attempt == 0 else (attempt,)
    of_scenes = (
        [(scenes[0], scenes[0])] * len(triplet_ids)
        if len(scenes) == 1
        else draw_scene_pairs(scenes, collection, triplet_ids, seed, attempt)
    )
    draws = []
    for triplet_id, of_triplet in zip(triplet_ids, of_scenes, strict=True):
        anchor, neighbor = pairs.points(*named_uniforms(seed, "pair", collection, triplet_id, *again, count=4))
        distant = box.point(*named_uniforms(seed, "distant", collection, triplet_id, *again, count=2))
        draws.append(_Draw(triplet_id, attempt, of_triplet, (anchor, neighbor, distant)))
    return draws


def _accepted(draws: Iterable[_Draw], accepts: Accepts) -> list[_Draw]:
    """Those of which all tiles are accepted, by attempt; asked about scene by scene, since scenes are read for it."""
    draws = [
        draw
        for draw in sorted(draws, key=lambda draw: draw.scenes[0])
        if all(accepts(draw.scenes[0], *centre) for centre in draw.centres[:2])
    ]
    draws = [
        draw for draw in sorted(draws, key=lambda draw: draw.scenes[1]) if accepts(draw.scenes[1], *draw.centres[2])
    ]
    return sorted(draws, key=lambda draw: draw.attempt)


def _axes(domain: Domain, resolution: float) -> tuple[FloatArray, FloatArray]:
    grid = domain.grid(resolution)
    return grid.x, grid.y


def _snapped(centres: FloatArray, axis: FloatArray, tile_n: int) -> tuple[IntArray, FloatArray]:
    """The first cells of the tiles nearest to some centres along an axis, and their own centres."""
    if tile_n > len(axis):
        raise PlanError(
            f"tiles of {tile_n} cells do not fit into the domain's {len(axis)}",
            where="sampling.snap_to_grid",
            remedy="Leave snap_to_grid out, or give a smaller tile_N or a larger domain",
        )
    middle = axis[:tile_n].mean()  # of the tile that begins with the first cell
    step = (axis[-1] - axis[0]) / max(1, len(axis) - 1)
    first = np.clip(np.rint((centres - middle) / step if step else 0 * centres), 0, len(axis) - tile_n).astype(np.intp)
    return first, np.asarray(middle + first * step, np.float64)


def _warnings_about_places(domain: Domain, length: float, box: CentreBox) -> list[str]:
    warnings = []
    for side, overlap, ends in (
        (domain.l_zonal, box.overlap_zonal, "west to east"),
        (domain.l_meridional, box.overlap_meridional, "south to north"),
    ):
        if not fits_along(side, length):
            warnings.append(
                f"The tiles are {_km(length)} long and the domain only {_km(side)} from {ends}: "
                f"their centres lie inside it, and data is read up to {_km(overlap)} beyond it."
            )
        elif overlap > NEGLIGIBLE:
            warnings.append(
                f"The tiles are {_km(length)} long and the domain {_km(side)} from {ends}: "
                f"as north turns from place to place, tiles reach up to {_km(overlap)} beyond it."
            )
    return warnings


def _warnings_about_scenes(scenes: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [
        f"The collection {collection!r} has one scene, {of_collection[0]}: the distant tiles of its "
        f"triplets come from the scene of their anchors."
        for collection, of_collection in scenes.items()
        if len(of_collection) == 1
    ]


def _neighbor_does_not_fit(domain: Domain, length: float, distance: float, box: CentreBox) -> PlanError:
    largest = math.floor(1000 * box.diagonal / length) / 1000
    remedies = []
    if largest > 0:
        remedies.append(f"set neigh_dist_scaling to at most {largest}")
    larger = _domain_that_fits(domain, length, distance)
    if larger is not None:
        remedies.append(
            f"widen the domain to l_zonal: {larger.l_zonal:.0f} and l_meridional: {larger.l_meridional:.0f}"
        )
    remedies.append("take smaller tiles")
    remedy = ", or ".join(remedies)
    return PlanError(
        f"neighbors {_km(distance)} from their anchors (neigh_dist_scaling {distance / length:g}) do not "
        f"fit: in the domain of {_km(domain.l_zonal)} by {_km(domain.l_meridional)} the centres of tiles "
        f"of {_km(length)} can be {_km(box.diagonal)} apart at most",
        where="sampling.triplets",
        remedy=remedy[0].upper() + remedy[1:],
    )


def _domain_that_fits(domain: Domain, length: float, distance: float) -> Domain | None:
    """A slightly too large domain around the same centre in which the neighbors fit."""
    for percent in range(100, 160, 2):
        side = math.ceil((length + distance / math.sqrt(2)) * percent / 100)
        larger = domain.resized(max(domain.l_zonal, side), max(domain.l_meridional, side))
        if centre_box(larger, length).diagonal >= distance:
            return larger
    return None


def _km(metres: float) -> str:
    return f"{metres / 1000:.4g} km"
