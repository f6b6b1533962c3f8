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
        help="write a simulated archive of GOES files with a known, moving cloud field",
        description="Write simulated GOES-R ABI level 1b files in the layout of the public archive. Satellite, "
        "sector, channels, times and place are those of the meta.yaml where there is one; options override it.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="gets a folder noaa-<satellite>")
    add_data_path(parser)
    parser.add_argument("--t-start", metavar="TIME", help="first moment at which a scan may start, UTC")
    parser.add_argument("--t-end", metavar="TIME", help="last moment at which a scan may start, UTC, included")
    parser.add_argument("--channels", metavar="1,2,3", help="ABI channels (default: those of the product)")
    parser.add_argument("--sector", metavar="NAME", help="F, C, M1 or M2 (default: F)")
    parser.add_argument("--satellite", metavar="NAME", help="goes16 to goes19")
    parser.add_argument("--lat", metavar="DEGREES", help="latitude of the centre, north")
    parser.add_argument("--lon", metavar="DEGREES", help="longitude of the centre, east")
    parser.add_argument("--extent", metavar="METRES", help="length of the square's sides")
    parser.set_defaults(command=_simulate)


def _simulate(arguments: argparse.Namespace) -> int:
    from convml_data.meta.dataset import load_dataset
    from convml_data.meta.load import META_NAME
    from convml_data.simulate.archive import bucket_of, simulate_archive

    has_meta = (arguments.data_path / META_NAME).exists()
    dataset = load_dataset(arguments.data_path) if has_meta else None
    satellite = arguments.satellite or _given(dataset, "satellite", lambda found: str(found.meta.source))
    sector = arguments.sector or (dataset.meta.sector if dataset else "F")
    channels = _channels(arguments, dataset)
    spans = _spans(arguments, dataset)
    domain = _domain(arguments, dataset)

    directory = arguments.directory.resolve()
    paths = simulate_archive(
        directory, satellite=satellite, sector=sector, channels=channels, spans=spans, domain=domain
    )
    if not paths:
        raise ConvmlError(
            f"no scan of sector {sector} starts between {spans[0].start} and {spans[-1].end}",
            remedy="Give a longer span",
        )
    size = sum(path.stat().st_size for path in paths) / 1e6
    bucket = bucket_of(directory, "{satellite}")
    print(f"{len(paths)} files, {size:.1f} MB, in {bucket_of(directory, satellite)}")
    print(f"To use them: export CONVML_GOES_ARCHIVE='file://{bucket}'")
    return 0


def _channels(arguments: argparse.Namespace, dataset: Dataset | None) -> Sequence[int]:
    if arguments.channels is None:
        from convml_data.meta.products import parse_product

        return _given(dataset, "channels", lambda found: parse_product(found.meta.product).channels)
    from convml_data.meta.values import whole

    return [_parsed("channels", text, whole) for text in arguments.channels.split(",")]


def _spans(arguments: argparse.Namespace, dataset: Dataset | None) -> Sequence[Interval]:
    given = _together(arguments, "t_start", "t_end")
    if given is None:
        return _given(dataset, "t_start", lambda found: found.meta.time.spans())
    from convml_data.meta.values import utc_time
    from convml_data.sources.base import Interval

    start, end = (_parsed(name, text, utc_time) for name, text in given.items())
    if end < start:
        raise ConvmlError(
            f"{end} is before the start {start}", where="--t-end", remedy="Give a later time, or swap the two"
        )
    return [Interval(start, end)]


def _domain(arguments: argparse.Namespace, dataset: Dataset | None) -> LocalDomain:
    given = _together(arguments, "lat", "lon", "extent")
    if given is None:
        return _given(dataset, "lat", lambda found: found.read_domain)
    from convml_data.geometry.local import LocalDomain
    from convml_data.meta.models import LONGEST_SIDE
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
