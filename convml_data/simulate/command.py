"""The sub-command ``convml-data simulate``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from convml_data.cli import add_data_path
from convml_data.errors import ConvmlError

if TYPE_CHECKING:
    from convml_data.geometry.local import LocalDomain
    from convml_data.meta.dataset import Dataset
    from convml_data.sources.base import Interval

T = TypeVar("T")


def add_simulate_command(subparsers: Any) -> None:
    """Add ``simulate`` to the commands, as ``command`` in the parsed arguments."""
    parser = subparsers.add_parser(
        "simulate",
        help="write a simulated archive of GOES or CERES files with a known, moving cloud field",
        description="Write simulated GOES-R ABI level 1b files, or SatCORPS CERES GEO files, in the layout of the "
        "public archives. Satellite, sector, channels, times and place are those of the meta.yaml where there is "
        "one; options override it.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="gets a folder for each satellite")
    add_data_path(parser)
    parser.add_argument("--source", choices=("goes", "ceres"), help="whose files (default: of the meta.yaml, or goes)")
    parser.add_argument("--t-start", metavar="TIME", help="first moment at which a scan may start, UTC")
    parser.add_argument("--t-end", metavar="TIME", help="last moment at which a scan may start, UTC, included")
    parser.add_argument("--channels", metavar="1,2,3", help="ABI channels (default: those of the product)")
    parser.add_argument("--sector", metavar="NAME", help="F, C, M1 or M2 (default: F)")
    parser.add_argument("--satellite", metavar="NAME", help="goes16 to goes19; CERES: goes16n or meteosat9n")
    parser.add_argument("--lat", metavar="DEGREES", help="latitude of the centre, north")
    parser.add_argument("--lon", metavar="DEGREES", help="longitude of the centre, east")
    parser.add_argument("--extent", metavar="METRES", help="length of the square's sides")
    parser.add_argument(
        "--allocate",
        choices=("domain", "full"),
        help="chunks of GOES images to store: those of the domain (default), or all, at the size of real files",
    )
    parser.set_defaults(command=_simulate)


def _simulate(arguments: argparse.Namespace) -> int:
    from convml_data.meta.dataset import load_dataset
    from convml_data.meta.load import META_NAME
    from convml_data.store.dataset import DatasetStore

    has_meta = (arguments.data_path / META_NAME).exists()
    dataset = DatasetStore.of(load_dataset(arguments.data_path)).dataset if has_meta else None
    of_meta = "goes" if dataset is None else _source_of_meta(dataset)
    simulate = _simulate_ceres if (arguments.source or of_meta) == "ceres" else _simulate_goes
    paths, archive, variable = simulate(arguments, dataset)
    if not paths:
        spans = _spans(arguments, dataset)
        raise ConvmlError(f"no scan starts between {spans[0].start} and {spans[-1].end}", remedy="Give a longer span")
    size = sum(path.stat().st_size for path in paths) / 1e6
    print(f"{len(paths)} files, {size:.1f} MB, in {arguments.directory.resolve()}")
    print(f"To use them: export {variable}='{archive}'")
    return 0


def _meta_of(dataset: Dataset) -> str:
    from convml_data.meta.load import META_NAME

    return str(dataset.directory / META_NAME)


def _source_of_meta(dataset: Dataset) -> str:
    from convml_data.meta.data import GOES_SOURCES

    if dataset.meta.source.startswith("ceres"):
        return "ceres"
    if dataset.meta.source in GOES_SOURCES:
        return "goes"
    raise ConvmlError(
        f"files of {dataset.meta.source} are not simulated",
        where=_meta_of(dataset),
        remedy="Use --source goes or --source ceres with --t-start, --t-end, --lat, --lon and --extent",
    )


def _simulate_goes(arguments: argparse.Namespace, dataset: Dataset | None) -> tuple[list[Path], str, str]:
    """The files written, the archive's URL and the variable to give it by."""
    from convml_data.simulate.archive import bucket_of, simulate_archive
    from convml_data.sources.goes.archive import ARCHIVE_VARIABLE

    directory = arguments.directory.resolve()
    spans = _spans(arguments, dataset)
    paths = [
        path
        for satellite, of_satellite in _satellites(arguments, dataset, spans)
        for path in simulate_archive(
            directory,
            satellite=satellite,
            sector=arguments.sector or (dataset.meta.sector if dataset else "F"),
            channels=_channels(arguments, dataset),
            spans=of_satellite,
            domain=_domain(arguments, dataset),
            allocate=arguments.allocate or "domain",
        )
    ]
    return paths, f"file://{bucket_of(directory, '{satellite}')}", ARCHIVE_VARIABLE


def _simulate_ceres(arguments: argparse.Namespace, dataset: Dataset | None) -> tuple[list[Path], str, str]:
    """The files written, the archive's URL and the variable to give it by."""
    from convml_data.meta.products import UserFunction
    from convml_data.simulate.ceres import simulate_ceres
    from convml_data.sources.ceres.archive import ARCHIVE_VARIABLE
    from convml_data.sources.ceres.products import CeresField

    def satellite_of(dataset: Dataset) -> str:
        product = dataset.product
        for field in product.inputs if isinstance(product, UserFunction) else [product]:
            if isinstance(field, CeresField):
                return field.satellite
        raise ConvmlError(
            f"{dataset.meta.source} {dataset.meta.product} names no satellite of CERES",
            where="--satellite",
            remedy="Give --satellite goes16n or --satellite meteosat9n",
        )

    for name in ("channels", "sector", "allocate"):
        if getattr(arguments, name) is not None:
            raise ConvmlError(f"{_option(name)} is for GOES, and files of CERES have none", remedy="Leave it out")
    directory = arguments.directory.resolve()
    paths = simulate_ceres(
        directory,
        satellites=[arguments.satellite or _given(dataset, "satellite", satellite_of)],
        spans=_spans(arguments, dataset),
        domain=_domain(arguments, dataset),
    )
    return paths, f"file://{directory}", ARCHIVE_VARIABLE


def _satellites(
    arguments: argparse.Namespace, dataset: Dataset | None, spans: Sequence[Interval]
) -> list[tuple[str, Sequence[Interval]]]:
    """The satellites of GOES to simulate, each with its times."""
    from convml_data.sources.goes.operational import SERVICES, satellites

    name = arguments.satellite or _given(dataset, "satellite", lambda found: str(found.meta.source))
    if name not in SERVICES:
        return [(name, spans)]
    return [(part.satellite, [part.interval]) for part in satellites(name, spans)]


def _channels(arguments: argparse.Namespace, dataset: Dataset | None) -> Sequence[int]:
    if arguments.channels is None:
        return _given(dataset, "channels", _channels_of)
    from convml_data.meta.values import whole

    return [_parsed("channels", text, whole) for text in arguments.channels.split(",")]


def _channels_of(dataset: Dataset) -> Sequence[int]:
    from convml_data.meta.products import Channels, Composite, Truecolor, UserFunction

    match dataset.product:
        case Truecolor(channels=channels) | Channels(channels=channels):
            return channels
        case Composite(name=name):
            from convml_data.sources.goes.composites import channels_of

            return channels_of(name)
        case UserFunction(inputs=inputs):
            return [channel for field in inputs if isinstance(field, Channels) for channel in field.channels]
    raise ConvmlError(
        f"files of {dataset.meta.product} are not simulated",
        where=_meta_of(dataset),
        remedy="Give the channels of level 1b files to simulate with --channels",
    )


def _spans(arguments: argparse.Namespace, dataset: Dataset | None) -> Sequence[Interval]:
    given = _together(arguments, "t_start", "t_end")
    if given is None:
        return _given(dataset, "t_start", _spans_of)
    from convml_data.meta.values import utc_time
    from convml_data.sources.base import Interval

    start, end = (_parsed(name, text, utc_time) for name, text in given.items())
    if end < start:
        raise ConvmlError(
            f"{end} is before the start {start}", where="--t-end", remedy="Give a later time, or swap the two"
        )
    return [Interval(start, end)]


def _spans_of(dataset: Dataset) -> Sequence[Interval]:
    spans = () if dataset.meta.time is None else dataset.meta.time.spans()
    if not spans:
        raise ConvmlError(
            "the meta.yaml gives no span of time",
            where=_meta_of(dataset),
            remedy="Give --t-start and --t-end",
        )
    if spans[-1].is_open:
        raise ConvmlError(
            "the time of the meta.yaml goes on (t_end: open), and an archive must end",
            where=_meta_of(dataset),
            remedy="Give --t-start and --t-end",
        )
    return spans


def _domain(arguments: argparse.Namespace, dataset: Dataset | None) -> LocalDomain:
    given = _together(arguments, "lat", "lon", "extent")
    if given is None:
        return _given(dataset, "lat", _domain_of)
    from convml_data.geometry.local import LocalDomain
    from convml_data.meta.fields import LONGEST_SIDE
    from convml_data.meta.values import number

    numbers = {name: _parsed(name, text, number) for name, text in given.items()}
    for name, lowest, highest in (("lat", -90.0, 90.0), ("lon", -180.0, 360.0), ("extent", 1.0, LONGEST_SIDE)):
        if not lowest <= numbers[name] <= highest:
            raise ConvmlError(
                f"{numbers[name]:g} is not between {lowest:g} and {highest:g}",
                where=_option(name),
                remedy="Give degrees north, degrees east and metres",
            )
    return LocalDomain(numbers["lat"], numbers["lon"], numbers["extent"], numbers["extent"])


def _domain_of(dataset: Dataset) -> LocalDomain:
    from convml_data.geometry.local import LocalDomain

    domain = dataset.read_domain if dataset.is_located else None
    if not isinstance(domain, LocalDomain):
        raise ConvmlError(
            f"a domain of kind {dataset.domain_kind} does not say where data are wanted",
            where=_meta_of(dataset),
            remedy="Give --lat, --lon and --extent",
        )
    return domain


def _given(dataset: Dataset | None, name: str, value_of: Callable[[Dataset], T]) -> T:
    """What the dataset says, an error that names the option where there is no dataset."""
    if dataset is None:
        raise ConvmlError(
            f"{_option(name)} is missing, and there is no meta.yaml to take it from",
            remedy=f"Give {_option(name)}, or name the folder of a meta.yaml with --data-path",
        )
    return value_of(dataset)


def _together(arguments: argparse.Namespace, *names: str) -> dict[str, str] | None:
    """The values of options that only mean something together, None where none is given."""
    given = {name: getattr(arguments, name) for name in names}
    missing = [_option(name) for name, text in given.items() if text is None]
    if len(missing) == len(names):
        return None
    if missing:
        raise ConvmlError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing",
            remedy=f"Give {', '.join(map(_option, names))} together",
        )
    return given


def _parsed(name: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except ValueError as error:
        remedy = error.args[1].capitalize() if len(error.args) > 1 else None
        raise ConvmlError(error.args[0], where=_option(name), remedy=remedy) from error


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
