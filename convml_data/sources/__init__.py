"""Where data come from: one module or package for each source, behind one protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convml_data.meta.dataset import Dataset
    from convml_data.sources.base import Source


def source_of(dataset: Dataset) -> Source:
    """The source that ``meta.yaml`` names, set up for the dataset's product."""
    from convml_data.meta.products import USER_FUNCTION

    meta = dataset.meta
    if meta.product != USER_FUNCTION:
        return _source_of(dataset, meta.product)
    from convml_data.sources.user_function import UserFunctionSource

    names = tuple(meta.input or ())
    # One file of CERES holds all fields, on one grid.
    products = names if meta.source.startswith("ceres") else (f"multichannel__{'__'.join(names)}",)
    sources = tuple(_source_of(dataset, product) for product in products)
    return UserFunctionSource(sources, dict(meta.input or {}), dataset.functions_file, dataset.function_name)


def _source_of(dataset: Dataset, product: str) -> Source:
    meta = dataset.meta
    if meta.source == "LES":
        return _gridded_source(dataset, product)
    if meta.source.startswith("ceres"):
        from convml_data.sources.ceres import archive as ceres_archive
        from convml_data.sources.ceres.source import CeresSource

        cache = f"{dataset.root}/source_data/{meta.source}/raw"
        return CeresSource(product, ceres_archive.archive_url(dataset.archive), cache)
    from convml_data.sources.goes.archive import archive_url
    from convml_data.sources.goes.operational import SERVICES, OperationalSource
    from convml_data.sources.goes.source import GoesSource

    tables = f"{dataset.root}/source_data/{meta.source}/{product}/chunk_tables"
    choices = (meta.product_options.rayleigh_correction, meta.quality.flags, tables)
    if meta.source in SERVICES:
        return OperationalSource(meta.source, product, meta.sector, dataset.archive, *choices)
    return GoesSource(meta.source, product, meta.sector, archive_url(meta.source, dataset.archive), *choices)


def _gridded_source(dataset: Dataset, product: str) -> Source:
    from convml_data.meta.products import ModelFields, parse_product
    from convml_data.sources.gridded.coordinates import Coordinates, TimeSteps
    from convml_data.sources.gridded.source import GriddedSource

    meta = dataset.meta
    fields = parse_product(meta.source, product)
    assert isinstance(fields, ModelFields)
    coordinates = Coordinates()
    if (given := meta.coordinates) is not None:
        time: str | TimeSteps | None = None if given.time is None else given.time.name
        if given.time is not None and given.time.start is not None:
            time = TimeSteps(given.time.start, given.time.step, given.time.name)
        coordinates = Coordinates(time, given.x, given.y, given.lon, given.lat)
    return GriddedSource(
        dataset.directory, meta.files, fields.names, fields.stacked, coordinates, meta.level, name=meta.source
    )


def archive_of(dataset: Dataset) -> str:
    """Where the source's files lie; ``{satellite}`` is in it where that depends on the time."""
    from convml_data.meta.data import MODELS

    source = dataset.meta.source
    if source in MODELS:
        from convml_data.sources.gridded.files import DEFAULT_PATTERN, FOLDERS

        return str(dataset.directory / FOLDERS[0] / (dataset.meta.files or DEFAULT_PATTERN))
    if source.startswith("ceres"):
        from convml_data.sources.ceres.archive import archive_url as ceres_url

        return ceres_url(dataset.archive)
    from convml_data.sources.goes.archive import archive_url

    return archive_url("{satellite}" if source in ("goes_east", "goes_west") else source, dataset.archive)


def check_functions(dataset: Dataset) -> None:
    """See that what ``meta.yaml`` names exists: the user's functions, and satpy's composite where satpy is installed.

    Of auxiliary products too.

    Raises
    ------
    MetaError
        It does not.
    """
    meta = dataset.meta
    for each in (dataset, *map(dataset.aux, meta.aux_products)):
        _check_functions_of_product(each)
    accept = meta.sampling.accept
    if accept is not None and accept.cloud_mask is not None and accept.cloud_mask not in meta.aux_products:
        from convml_data.user_functions import ARGUMENT, load_function

        load_function(dataset.functions_file, accept.cloud_mask, (ARGUMENT.format("scene"),))


def _check_functions_of_product(dataset: Dataset) -> None:
    from convml_data.meta.products import Composite, UserFunction

    meta, product = dataset.meta, dataset.product
    if isinstance(product, UserFunction):
        from convml_data.user_functions import ARGUMENT, load_function

        arguments = tuple(ARGUMENT.format(name) for name in meta.input or ())
        load_function(dataset.functions_file, dataset.function_name, arguments)
    if meta.image_function not in ("default", None):
        from convml_data.user_functions import ARGUMENT, load_function

        load_function(dataset.functions_file, meta.image_function, (ARGUMENT.format("scene"),))
    if isinstance(product, Composite):
        from convml_data.errors import MetaError
        from convml_data.meta.load import META_NAME
        from convml_data.sources.goes.composites import check_composite

        try:
            check_composite(product.name)
        except MetaError as error:
            section = "" if dataset.aux_name is None else f"aux_products.{dataset.aux_name}."
            where = f"{dataset.directory / META_NAME}: {section}{error.where}"
            raise MetaError(error.what, where=where, remedy=error.remedy) from error


def notices_of(dataset: Dataset) -> list[str]:
    """What a user should know of the source at the dataset's times, a sentence each."""
    from convml_data.sources.goes.operational import SERVICES, notices

    if dataset.meta.source not in SERVICES or dataset.meta.time is None:
        return []
    return notices(dataset.meta.source, dataset.meta.time.spans())
