"""The ``convml-data`` command: its frame, and the sub-commands that need no Dagster.

Whoever adds sub-commands takes the parser from :func:`build_parser`, gives each a default ``command``
(a function of the parsed arguments that returns the exit status) and hands the parser to :func:`run`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convml_data import __version__
from convml_data.errors import ConvmlError

if TYPE_CHECKING:
    from convml_data.meta.dataset import Dataset
    from convml_data.rules import Rule

    SubParsers = argparse._SubParsersAction[argparse.ArgumentParser]


#: Exit status after Ctrl-C, as shells have it.
INTERRUPTED = 130


def build_parser() -> tuple[argparse.ArgumentParser, SubParsers]:
    """The parser with the sub-commands of this module, and where to add more."""
    parser = argparse.ArgumentParser(
        prog="convml-data",
        description="Make machine-learning datasets of satellite images, as a meta.yaml describes them.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    command = commands.add_parser("validate", help="check a meta.yaml and say what it describes")
    add_data_path(command)
    command.set_defaults(command=_validate)

    command = commands.add_parser("schema", help="print the JSON schema of meta.yaml")
    command.set_defaults(command=_schema)
    return parser, commands


def add_data_path(parser: argparse.ArgumentParser) -> None:
    """The option that names the dataset's folder, as ``data_path``."""
    parser.add_argument(
        "--data-path",
        type=Path,
        default=Path(),
        metavar="FOLDER",
        help="folder that holds the meta.yaml (default: the current one)",
    )


def run(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name.

    Returns
    -------
    The exit status: the command's own, 1 for an error that the user can mend (printed as one
    ``error: …``), 130 when interrupted, 141 when the reader of the output has gone.
    """
    arguments = parser.parse_args(argv)
    try:
        status: int = arguments.command(arguments)
        sys.stdout.flush()
        return status
    except ConvmlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)  # on a line of its own, below a progress bar
        return INTERRUPTED
    except BrokenPipeError:
        # What is still buffered would fail again when the interpreter closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _validate(arguments: argparse.Namespace) -> int:
    from convml_data.meta.dataset import load_dataset
    from convml_data.sources import check_functions
    from convml_data.tiles.fitting import check_tiles_fit

    dataset = load_dataset(arguments.data_path)
    if not dataset.is_located:
        from convml_data.store.dataset import DatasetStore

        dataset = DatasetStore.of(dataset).dataset
    check_functions(dataset)
    if dataset.is_located:
        check_tiles_fit(dataset)
    print(_summary(dataset))
    return 0


def _schema(arguments: argparse.Namespace) -> int:
    from convml_data.meta.schema import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0


def _summary(dataset: Dataset) -> str:
    """What a dataset's description means, a fact a line."""
    from convml_data.meta.data import GOES_SOURCES
    from convml_data.sources import archive_of, notices_of

    meta = dataset.meta
    sector = f", sector {meta.sector}" if meta.source in GOES_SOURCES else ""
    rows = [
        ("dataset", dataset.name),
        ("source", f"{meta.source}{sector}"),
        ("archive", archive_of(dataset)),
        ("product", meta.product),
        *([] if meta.input is None else [("", f"{dataset.name} of {', '.join(meta.input)}")]),
        *_time_facts(dataset),
        *(("notice", notice) for notice in notices_of(dataset)),
        *_area_facts(dataset),
    ]
    triplets, tile_length = meta.sampling.triplets, dataset.tile_length
    if triplets is not None and tile_length is not None:
        counts = ", ".join(f"{name} {count}" for name, count in triplets.N_triplets.items())
        rows += [
            ("triplets", counts),
            ("", f"tiles of {triplets.tile_N} × {triplets.tile_N} cells"),
            ("", f"that is {_kilometres(tile_length, tile_length)}"),
        ]
    cut_from_pixels = triplets is not None or meta.sampling.trajectories is not None
    if cut_from_pixels and dataset.is_located and dataset.read_domain != dataset.domain:
        read = dataset.read_domain
        beyond = f"data is read from {_kilometres(read.l_zonal, read.l_meridional)}"
        rows.append(("warning", f"tiles reach beyond the domain, so that {beyond}"))
    rows.append(("storage", f"{meta.storage.format} in {dataset.root}"))
    rows += _rule_facts(dataset)
    return "\n".join(f"{name:<9} {fact}" for name, fact in rows)


#: What becomes of what breaks a rule, by its consequence.
_CONSEQUENCES = {
    "stops": "nothing more is made of it",
    "drops": "the scene is left out",
    "fails": "an error in the UI",
    "warns": "a warning",
}


def _follows(rule: Rule[Any], is_of_one: bool) -> str:
    """What becomes of what breaks a rule; what only many together show is known when they are made."""
    if rule.consequence == "stops" and not is_of_one:
        return "the run fails, and its later steps do not begin"
    return _CONSEQUENCES[rule.consequence]


def _rule_facts(dataset: Dataset) -> list[tuple[str, str]]:
    """The rules on the dataset's data, and those on its auxiliary products that are theirs alone."""
    from convml_data.rules import rules_of

    alone = {rule.name for rule in rules_of(dataset).of_one}
    rules = [(rule.name, rule) for rule in rules_of(dataset).all]
    names = {rule.name for _, rule in rules}
    for aux_name in dataset.meta.aux_products:
        of_aux = rules_of(dataset.aux(aux_name)).all
        rules += [(f"{rule.name} of {aux_name}", rule) for rule in of_aux if rule.name not in names]
    return [
        ("rules" if number == 0 else "", f"{name}: {rule.sentence} (else {_follows(rule, rule.name in alone)})")
        for number, (name, rule) in enumerate(rules)
    ]


def _time_facts(dataset: Dataset) -> list[tuple[str, str]]:
    time = dataset.meta.time
    if time is None:
        return [("time", "all times in the files")]
    spans = time.spans()
    length = sum((span.end - span.start for span in spans if not span.is_open), timedelta())
    ends = "going on" if time.is_open else f"{_duration(length)} in all"
    facts = [("time", f"{len(spans)} span{'s' if len(spans) > 1 else ''}, {ends} (UTC)")]
    if time.source is not None:
        facts = [("time", f"from the first to the last of the {time.source}")]
    for span in spans:
        facts.append(("", f"{span}, {'scenes keep coming' if span.is_open else _duration(span.end - span.start)}"))
    if time.filters.N_hours_from_zenith is not None:
        facts.append(("", f"less than {time.filters.N_hours_from_zenith:g} h from local solar noon"))
    facts += [("", f"{part} {', '.join(map(str, allowed))}") for part, allowed in time.filters.time_parts.items()]
    if time.filters.using_trajectory_sampling:
        facts.append(("", "scenes nearest to the times of the trajectories"))
    return facts


def _area_facts(dataset: Dataset) -> list[tuple[str, str]]:
    sampling = dataset.meta.sampling
    if not dataset.is_located:
        area = "all that the source shows" if dataset.domain_kind == "as_source" else "around all trajectories"
        return [
            ("domain", f"{area}, known once there are scene IDs"),
            ("grid", f"cells of {sampling.resolution:g} m, {sampling.method}"),
        ]
    domain, grid = dataset.domain, dataset.grid
    centre = domain.to_dict()
    return [
        ("domain", f"{_kilometres(domain.l_zonal, domain.l_meridional)} (zonal × meridional)"),
        (
            "",
            f"centred on latitude {centre['central_latitude']:g}°, longitude {centre['central_longitude']:g}°"
            if domain.crs is not None
            else "on the model's own plane",
        ),
        ("grid", f"{grid.shape[1]} × {grid.shape[0]} cells of {grid.resolution:g} m, {sampling.method}"),
    ]


def _kilometres(zonal: float, meridional: float) -> str:
    return f"{zonal / 1e3:g} km × {meridional / 1e3:g} km"


def _duration(length: timedelta) -> str:
    """Days, hours, minutes and seconds without the zeros."""
    minutes, seconds = divmod(length.total_seconds(), 60)
    hours, minutes = divmod(int(minutes), 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    return " ".join(f"{count:g} {unit}" for count, unit in parts if count) or "one instant"
