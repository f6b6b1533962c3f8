"""The rules that finished data must meet.

Each is held against what is known of a scene or tile without its values, against the scenes or tiles among
each other, or against a plan. ``convml-data validate`` prints those that apply to a dataset, stages hold what
they make against them, and Dagster shows them as asset checks. Nothing here reads or writes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import combinations, pairwise
from math import isclose
from typing import Any, Generic, Literal, TypeVar

from convml_data.meta.data import MODELS
from convml_data.meta.dataset import Dataset
from convml_data.meta.level2 import Level2
from convml_data.meta.products import Channels, Composite, ModelFields, Truecolor, UserFunction, band_units, n_bands
from convml_data.scenes.ids import parse_scene_id
from convml_data.scenes.ledger import too_little
from convml_data.tiles.splits import TOO_NEAR, in_words

#: What follows where a rule is broken. ``stops``: nothing more is made of the scene, nor by later steps
#: of the run. ``drops``: the scene is left out, as the ledger then says. ``fails`` and ``warns``: it is shown.
Consequence = Literal["stops", "drops", "fails", "warns"]

#: Instead of a number of bands, where a field is to be (y, x).
NO_BANDS = 0

E = TypeVar("E")

#: What broke a rule, by name, and why.
Broken = Mapping[str, str]


@dataclass(frozen=True)
class Form:
    """How a field lies in its file.

    Parameters
    ----------
    dims
        Of the field.
    shape
        Of rows and columns.
    bands
        How many fields it holds, None where it has no bands.
    units
        Of each band, or one for all.
    y_ascending
        Whether rows go from south to north.
    grid
        What the file says of the grid, without its kind; None where it says nothing.
    centre
        Latitude and longitude of the projection's origin, None where there is none.
    """

    dims: tuple[str, ...]
    shape: tuple[int, int]
    bands: int | None
    units: tuple[str, ...]
    y_ascending: bool
    grid: Mapping[str, Any] | None
    centre: tuple[float, float] | None


@dataclass(frozen=True)
class Asked:
    """How a field is to lie in its file; None where anything goes, :data:`NO_BANDS` where bands do not."""

    bands: int | None
    units: tuple[str, ...] | None
    shape: tuple[int, int] | None = None
    grid: Mapping[str, Any] | None = None
    centre: tuple[float, float] | None = None


@dataclass(frozen=True)
class Content:
    """What is known of a scene's field or of a tile, without its values.

    Parameters
    ----------
    name
        The scene's ID, or collection and name of the tile.
    image
        Start of the image that it shows, which several scenes may share in an auxiliary product.
    place
        Centre of the tile, None for a scene.
    valid_share
        Of the area, with values.
    digest
        Of the values, the same for the same ones; empty where they are all alike or missing, or of older files.
    offset_s, limit_s
        Seconds from the scene to the image of an auxiliary product, and how many there may be.
    form, asked
        How it lies in its file and is to; None where that was judged when it was written.
    problem
        Why its file does not open, None where it does.
    """

    name: str
    image: datetime
    place: tuple[float, float] | None = None
    valid_share: float = 1.0
    digest: str = ""
    offset_s: float | None = None
    limit_s: float | None = None
    form: Form | None = None
    asked: Asked | None = None
    problem: str | None = None


@dataclass(frozen=True)
class TileState:
    """Where a tile is: ``shown`` in its collection, ``waiting`` for its triplet, ``missing`` or still ``to_come``.

    ``triplet`` names what must be whole to be shown, None where tiles come one by one.
    """

    name: str
    state: Literal["shown", "waiting", "missing", "to_come"]
    triplet: str | None = None


@dataclass(frozen=True)
class Rule(Generic[E]):
    """A rule, and the function that says what breaks it.

    Parameters
    ----------
    name
        Of the asset check too.
    stages
        Whose results it is about.
    sentence
        What must hold.
    consequence
        Where it is broken.
    remedy
        What a user can do then.
    judge
        Gives what is broken in some evidence.
    """

    name: str
    stages: tuple[str, ...]
    sentence: str
    consequence: Consequence
    remedy: str
    judge: Callable[[E], Broken] = field(repr=False)

    @property
    def blocking(self) -> bool:
        """Whether what would be made of it is not made."""
        return self.consequence in ("stops", "drops")


@dataclass(frozen=True)
class Rules:
    """The rules that apply to a dataset or one of its auxiliary products.

    Parameters
    ----------
    of_one
        On scenes and tiles one by one, each as it is made.
    of_many
        On the scenes or tiles of a stage among each other, in time order.
    of_tiles
        On what is there of the planned tiles.
    of_plan
        On the scenes of each collection.
    """

    of_one: tuple[Rule[Content], ...]
    of_many: tuple[Rule[Sequence[Content]], ...]
    of_tiles: tuple[Rule[Sequence[TileState]], ...]
    of_plan: tuple[Rule[Mapping[str, Sequence[str]]], ...]

    @property
    def all(self) -> tuple[Rule[Any], ...]:
        """All of them."""
        return (*self.of_one, *self.of_many, *self.of_tiles, *self.of_plan)

    def of_stage(self, stage: str) -> tuple[Rule[Any], ...]:
        """Those on a stage's results that are known when it is done; that a file opens is seen later."""
        return tuple(rule for rule in self.all if stage in rule.stages and rule.name != "file_opens")


def rules_of(dataset: Dataset) -> Rules:
    """The rules that apply to a dataset or an auxiliary product."""
    tile_stages = dataset.tile_stages
    scene_stages = ("cropped", "regridded")
    return Rules(
        of_one=(
            Rule(
                "file_opens",
                (*scene_stages, *tile_stages),
                "Every file opens",
                "fails",
                "Run the stage again, which makes files anew that do not open",
                _does_not_open,
            ),
            Rule(
                "as_specified",
                (*scene_stages, *tile_stages),
                "Dims, units and projection are those that meta.yaml asks for",
                "stops",
                "Mend what makes the field, or delete the file and run the stage again",
                _not_as_specified,
            ),
            *_coverage_rule(dataset),
            *_offset_rule(dataset),
        ),
        of_many=(
            Rule(
                "not_frozen",
                ("cropped",),
                "No scene shows exactly what the image before it showed",
                "fails" if _may_repeat_itself(dataset) else "stops",
                "Leave the time out by `time.intervals` if the instrument or the archive stood still",
                _frozen,
            ),
            *_units_rule(dataset),
            *_twice_rule(dataset, tile_stages),
        ),
        of_tiles=_completeness_rule(tile_stages),
        of_plan=_plan_rules(dataset),
    )


def asked_of(dataset: Dataset) -> Asked:
    """What the dataset's product asks of its fields on any grid."""
    product = dataset.product
    match product:
        case Truecolor() | Channels(stacked=True) | ModelFields(stacked=True):
            return Asked(n_bands(product), band_units(product))
        case Composite() | UserFunction():
            return Asked(None, None)
        case _:
            return Asked(NO_BANDS, band_units(product))


def _may_repeat_itself(dataset: Dataset) -> bool:
    """Whether two images may be the same and right: a model at rest, codes of a few pixels, what a user makes."""
    product = dataset.product
    codes = isinstance(product, Level2) and product.variable.categories
    return bool(codes) or dataset.meta.source in MODELS or isinstance(product, UserFunction)


def _coverage_rule(dataset: Dataset) -> tuple[Rule[Content], ...]:
    least = dataset.meta.quality.min_valid_share
    if least == 0:
        return ()

    def judge(content: Content) -> Broken:
        reason = too_little(content.valid_share, least)
        return {} if reason is None else {content.name: reason}

    return (
        Rule(
            "enough_values",
            ("cropped",),
            f"Every scene has values in at least {100 * least:g} % of the domain",
            "drops",
            "Lower `quality.min_valid_share` to keep the scene",
            judge,
        ),
    )


def _offset_rule(dataset: Dataset) -> tuple[Rule[Content], ...]:
    if dataset.aux_name is None:
        return ()
    return (
        Rule(
            "offset_within_limit",
            ("cropped",),
            f"Every image of {dataset.aux_name} is at most half of dt_aux from its scene",
            "stops",
            f"Run `convml-data scene-ids --aux-name {dataset.aux_name}`, or materialize `matches`",
            _beyond_limit,
        ),
    )


def _units_rule(dataset: Dataset) -> tuple[Rule[Sequence[Content]], ...]:
    if band_units(dataset.product) is not None:
        return ()
    return (
        Rule(
            "same_units",
            ("cropped",),
            "All scenes have the same units",
            "stops",
            "Mend what makes the field, or the files that it is read from",
            _other_units,
        ),
    )


def _twice_rule(dataset: Dataset, stages: tuple[str, ...]) -> tuple[Rule[Sequence[Content]], ...]:
    if not stages:
        return ()
    return (
        Rule(
            "no_tile_twice",
            stages,
            "No tile is identical to another",
            "fails",
            "Delete the tile that is wrong and run `convml-data tiles`; move `seed` if a small domain gave one place "
            "twice",
            _twice if dataset.aux_name is None else _twice_elsewhere,
        ),
    )


def _completeness_rule(stages: tuple[str, ...]) -> tuple[Rule[Sequence[TileState]], ...]:
    if not stages:
        return ()
    return (
        Rule(
            "tiles_complete",
            stages,
            "Every planned tile is there, and shown once its triplet is whole",
            "fails",
            "Run `convml-data tiles`, or materialize the tiles of the scenes that are named",
            _incomplete,
        ),
    )


def _plan_rules(dataset: Dataset) -> tuple[Rule[Mapping[str, Sequence[str]]], ...]:
    triplets = dataset.meta.sampling.triplets
    if triplets is None or dataset.aux_name is not None or len(triplets.N_triplets) < 2:
        return ()
    if triplets.scene_collections_splitting == "by_time_block":
        guard = triplets.guard or timedelta(hours=6)
        return (
            Rule(
                "guard_held",
                ("tile_plan",),
                f"Scenes of different collections start at least {in_words(guard)} apart, the guard",
                "stops",
                "Delete the tile plan and run `convml-data tiles`",
                lambda scenes: _too_near(scenes, guard),
            ),
        )
    return (
        Rule(
            "collections_apart",
            ("tile_plan",),
            f"Scenes of different collections start at least {in_words(TOO_NEAR)} apart",
            "warns",
            "Use `scene_collections_splitting: by_time_block` with a guard of an hour or more",
            lambda scenes: _too_near(scenes, TOO_NEAR),
        ),
    )


def _does_not_open(content: Content) -> Broken:
    return {} if content.problem is None else {content.name: content.problem}


def _not_as_specified(content: Content) -> Broken:
    form, asked = content.form, content.asked
    if form is None or asked is None:
        return {}
    wrong = []
    dims = ("y", "x") if form.bands is None else ("bands", "y", "x")
    if form.dims != dims:
        wrong.append(f"dims are {_listed(form.dims)}, not {_listed(dims)}")
    if asked.bands is not None and (form.bands or NO_BANDS) != asked.bands:
        wrong.append(f"there are {_bands(form.bands)}, not {_bands(asked.bands)}")
    if asked.units is not None and set(form.units) != {*asked.units}:
        wrong.append(f"units are {_quoted(form.units)}, not {_quoted(asked.units)}")
    if asked.shape is not None and form.shape != asked.shape:
        wrong.append(f"y and x are {_listed(form.shape)} long, not {_listed(asked.shape)}")
    if asked.grid is not None and form.grid != asked.grid:
        wrong.append(f"the grid is {form.grid}, not {asked.grid}")
    if asked.grid is not None and not form.y_ascending:
        wrong.append("y does not ascend")
    if asked.centre is not None and not _same_place(form.centre, asked.centre):
        wrong.append(f"the projection's origin is {form.centre}, not {asked.centre}")
    return {content.name: "; ".join(wrong)} if wrong else {}


def _beyond_limit(content: Content) -> Broken:
    offset, limit = content.offset_s, content.limit_s
    if offset is None or limit is None or abs(offset) <= limit:
        return {}
    return {content.name: f"the image is {offset:g} s from the scene, and the limit is {limit:g} s"}


def _frozen(contents: Sequence[Content]) -> Broken:
    return {
        scene.name: f"the same values as {before.name}"
        for before, scene in pairwise(contents)
        if scene.digest and scene.digest == before.digest and scene.image != before.image
    }


def _other_units(contents: Sequence[Content]) -> Broken:
    with_form = [content for content in contents if content.form is not None]
    units = [content.form.units for content in with_form if content.form is not None]
    return {
        content.name: f"units are {_quoted(of_scene)}, and {_quoted(units[0])} in {with_form[0].name}"
        for content, of_scene in zip(with_form, units, strict=True)
        if of_scene != units[0]
    }


def _twice(contents: Sequence[Content]) -> Broken:
    return _sharing_values(contents, lambda tile: tile.name)


def _twice_elsewhere(contents: Sequence[Content]) -> Broken:
    """Tiles of one image at one place are the same where several scenes share the image."""
    return _sharing_values(contents, lambda tile: (tile.image, tile.place))


def _sharing_values(contents: Iterable[Content], identity: Callable[[Content], object]) -> Broken:
    by_digest: defaultdict[str, list[Content]] = defaultdict(list)
    for content in contents:
        if content.digest:
            by_digest[content.digest].append(content)
    return {
        tile.name: f"the same values as {alike[0].name}"
        for alike in by_digest.values()
        for tile in alike[1:]
        if identity(tile) != identity(alike[0])
    }


def _incomplete(tiles: Sequence[TileState]) -> Broken:
    whole: defaultdict[str | None, bool] = defaultdict(lambda: True)
    for tile in tiles:
        whole[tile.triplet] &= tile.state in ("shown", "waiting")
    missing = {tile.name: "is not there" for tile in tiles if tile.state == "missing"}
    waiting = {
        tile.name: "waits though its triplet is whole"
        for tile in tiles
        if tile.state == "waiting" and tile.triplet is not None and whole[tile.triplet]
    }
    return missing | waiting


def _too_near(scenes: Mapping[str, Sequence[str]], least: timedelta) -> Broken:
    starts = {
        name: sorted((parse_scene_id(scene_id)[1], scene_id) for scene_id in of_name)
        for name, of_name in sorted(scenes.items())
    }
    broken: dict[str, str] = {}
    for one, other in combinations(starts, 2):
        # Of all scenes in time order, the nearest of two collections are neighbours somewhere.
        line = sorted([(*start, one) for start in starts[one]] + [(*start, other) for start in starts[other]])
        for (early, early_id, early_name), (late, late_id, late_name) in pairwise(line):
            if early_name != late_name and late - early < least:
                broken[late_id] = f"{in_words(late - early)} after {early_id}; one is of {one}, the other of {other}"
    return broken


def _same_place(one: tuple[float, float] | None, other: tuple[float, float]) -> bool:
    """Whether two points are the same but for the digits that writing a projection down loses."""
    return one is not None and all(isclose(a, b, abs_tol=1e-9) for a, b in zip(one, other, strict=True))


def _bands(count: int | None) -> str:
    return f"{count} bands" if count else "no bands"


def _listed(values: Iterable[object]) -> str:
    return f"({', '.join(map(str, values))})"


def _quoted(values: Iterable[str]) -> str:
    return ", ".join(map(repr, dict.fromkeys(values)))
