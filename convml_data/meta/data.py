"""The keys that say whose data are taken and what is made of them, of a dataset and of its auxiliary products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from convml_data.meta import values
from convml_data.meta.fields import ArchiveTemplate, Given, Section
from convml_data.meta.level2 import Level2
from convml_data.meta.model_files import CoordinateNames
from convml_data.meta.pictures import ImageOptions
from convml_data.meta.products import (
    CERES_PATTERN,
    GOES_PATTERN,
    MODEL_PATTERN,
    USER_FUNCTION,
    has_colours,
    n_bands,
    parse_product,
)

#: Satellites by name, and the one in service at a time in the east and in the west.
GoesName = Literal["goes16", "goes17", "goes18", "goes19", "goes_east", "goes_west"]
SourceName = Literal[GoesName, "LES", "ceres", "ceres_geo"]
GOES_SOURCES = get_args(GoesName)
CERES_SOURCES = ("ceres", "ceres_geo")
MODELS = ("LES",)

#: Keys that mean something for some sources only, and for some products only.
KEYS_OF_SOURCES = {
    "sector": (GOES_SOURCES, "GOES"),
    "sensor": (GOES_SOURCES, "GOES"),
    "archive": ((*GOES_SOURCES, *CERES_SOURCES), "GOES and CERES, and a model's files lie in source_data/LES"),
    "files": (MODELS, "files of a model (source: LES)"),
    "coordinates": (MODELS, "files of a model (source: LES)"),
    "level": (MODELS, "files of a model (source: LES)"),
}
KEYS_OF_PRODUCTS = {"product_options": "truecolor_rgb", "input": USER_FUNCTION}

#: Sources that older software had and this one has not.
UNSUPPORTED_SOURCES = ("ceres_syn1deg", "ceres_syn1deg_modis", "era5")

#: Keys of the top level that mean another one.
SYNONYMS = {"type": "product"}

FlagName = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9_]+$")]


def _as_flags(value: Any) -> Any:
    if value == []:
        raise ValueError("[] is an empty list, which no pixel would pass")
    if isinstance(value, str) and value not in ("good", "any"):
        raise ValueError(f"{values.show(value)} is not good or any", f"write a list for flags by name: [{value}]")
    return tuple(value) if isinstance(value, list) else value


def _as_quality(value: Any) -> Any:
    return {"flags": value} if isinstance(value, (str, list)) else value


class ProductOptions(Section):
    """Choices within the product."""

    rayleigh_correction: bool = Field(
        default=True,
        strict=True,
        description="Take out the light that air molecules scatter; needs pyspectral's tables.",
        examples=[True],
    )


class Quality(Section):
    """Which pixels and which scenes are good enough."""

    flags: Annotated[
        Literal["good", "any"] | Annotated[tuple[FlagName, ...], Field(min_length=1)], BeforeValidator(_as_flags)
    ] = Field(
        default="good",
        description="Pixels that are kept, by their data quality flag: good, any, or a list of the flags' names.",
        examples=["good", ["good_pixel_qf", "conditionally_usable_pixel_qf"]],
    )
    min_valid_share: Annotated[float, Field(ge=0, le=1), BeforeValidator(values.number)] = Field(
        default=0.0,
        description="Scenes of which a smaller share of the domain has values are dropped, 0 to 1.",
        examples=[0.9],
    )


@dataclass(frozen=True)
class _Disagreement:
    """Both ``product`` and its synonym, with different values."""

    product: Any
    synonym: Any


def _agreed(value: Any) -> Any:
    if isinstance(value, _Disagreement):
        raise ValueError(
            f"{values.show(value.product)} differs from type {values.show(value.synonym)}",
            "product and type are synonyms: keep one",
        )
    return value


def _known_product(product: Any, info: ValidationInfo) -> str:
    if not isinstance(product, str):
        raise ValueError(f"{values.show(product)} is not text")
    source = info.data.get("source")
    if source is not None and product != USER_FUNCTION:
        parse_product(source, product)
    return product


Product = Annotated[
    str,
    BeforeValidator(_known_product),
    BeforeValidator(_agreed),
    WithJsonSchema({"type": "string"}),
]


def _known_source(source: Any) -> Any:
    if isinstance(source, str) and source in UNSUPPORTED_SOURCES:
        raise ValueError(f"{values.show(source)} is not supported yet", f"supported: {', '.join(get_args(SourceName))}")
    return source


def _as_input(value: Any) -> dict[str, str | None]:
    """Names of fields, with the units that a mapping says they have."""
    given = value if isinstance(value, dict) else dict.fromkeys(value if isinstance(value, list) else [value])
    if not given:
        raise ValueError(f"{values.show(value)} names no field")
    if isinstance(value, list) and len(given) < len(value):
        raise ValueError(f"{values.show(value)} names a field more than once", "name each field once")
    for name, units in given.items():
        if isinstance(name, bool) or not isinstance(name, (int, str)) or not isinstance(units, (str, NoneType)):
            raise ValueError(
                f"{values.show(value)} is neither a list of fields nor a mapping of fields to their units",
                "write for example `input: [bt_11, bt_14]` or `input: {bt_11: K, bt_14: K}`",
            )
    return {str(name): units for name, units in given.items()}


def _list_or_units(schema: dict[str, Any]) -> None:
    name = {"type": ["string", "integer"]}
    for key in [key for key in schema if key not in ("description", "examples", "title")]:
        schema.pop(key)
    schema["anyOf"] = [
        name,
        {"type": "array", "items": name, "minItems": 1},
        {"type": "object", "additionalProperties": {"type": ["string", "null"]}, "minProperties": 1},
    ]


def _flags_or_section(schema: dict[str, Any]) -> None:
    reference = {key: schema.pop(key) for key in ("$ref", "allOf") if key in schema}
    flags = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    schema["anyOf"] = [reference, {"enum": ["good", "any"]}, flags]


def _nullable(schema: dict[str, Any]) -> None:
    schema["type"] = ["string", "null"]


def schema_of_source(schema: dict[str, Any], required: Sequence[str] = ()) -> None:
    """Add to a JSON schema which keys and products go with which source; GOES and CERES need the ``required`` keys."""
    properties = schema["properties"]
    for synonym, key in SYNONYMS.items():
        properties[synonym] = properties[key] | {
            "title": synonym.title(),
            "description": f"Synonym of {key}; if both are given, they must be equal.",
        }
        schema["required"].remove(key)
        schema["anyOf"] = [{"required": [key]}, {"required": [synonym]}]
    needs = {"required": list(required)} if required else {}
    schema["allOf"] = [
        _of_source(GOES_SOURCES, GOES_PATTERN, needs),
        _of_source(CERES_SOURCES, CERES_PATTERN, needs),
        _of_source(MODELS, MODEL_PATTERN, {}),
    ]


def _of_source(sources: Sequence[str], products: str, then: dict[str, Any]) -> dict[str, Any]:
    """What holds for the keys of some sources."""
    product = {"pattern": f"^({products}|{USER_FUNCTION})$"}
    names = dict.fromkeys(("product", *(name for name, key in SYNONYMS.items() if key == "product")), product)
    if_ = {"properties": {"source": {"enum": list(sources)}}, "required": ["source"]}
    strangers = [key for key, (owners, _) in KEYS_OF_SOURCES.items() if not set(sources) <= set(owners)]
    return {"if": if_, "then": then | {"properties": names | dict.fromkeys(strangers, False)}}


class DataSection(Section):
    """Whose data, what is made of them and how that is drawn."""

    source: Annotated[SourceName, BeforeValidator(_known_source)] = Field(
        description="Where the data come from: a satellite, the satellite in service (goes_east, goes_west), "
        "files of a model (LES) or CERES.",
        examples=["goes16"],
    )
    product: Product = Field(description="What is made of the source's data.", examples=["truecolor_rgb"])
    sector: Literal["F", "C", "M1", "M2"] = Field(
        default="F",
        description="Part of the earth that is scanned: F full disk, C CONUS or PACUS, M1 and M2 mesoscale.",
        examples=["F"],
    )
    archive: Annotated[ArchiveTemplate | None, Given] = Field(
        default=None,
        description=(
            "Where the source's files lie, in the layout of the public buckets: an fsspec URL or a folder, "
            "relative to the folder of meta.yaml. {satellite} stands for the source's name."
        ),
        examples=["s3://noaa-{satellite}"],
    )
    input: Annotated[dict[str, str | None] | None, BeforeValidator(_as_input), Given] = Field(
        default=None,
        description="Fields that a user function gets: a list, or a mapping of fields to the units they must have.",
        examples=[["bt_11", "bt_14", "bt_15"]],
        json_schema_extra=_list_or_units,
    )
    files: Annotated[str | None, Field(strict=True, min_length=1), Given] = Field(
        default=None,
        description="LES: which files in source_data/LES or its folder source_files (default *.nc).",
        examples=["run1_*.nc"],
    )
    coordinates: Annotated[CoordinateNames | None, Given] = Field(
        default=None,
        description="LES: where the files hold time and place, if that cannot be seen from themselves.",
        examples=[{"time": "t"}],
    )
    level: Annotated[float | None, BeforeValidator(values.number), Given] = Field(
        default=None,
        description="LES: the level to take of fields that have several.",
        examples=[500.0],
    )
    quality: Annotated[Quality, BeforeValidator(_as_quality)] = Field(
        default_factory=Quality,
        description="Which pixels and scenes are good enough; a word or a list is that of flags.",
        examples=["good"],
        json_schema_extra=_flags_or_section,
    )
    product_options: ProductOptions = Field(
        default_factory=ProductOptions,
        description="Choices within the product.",
        examples=[{"rayleigh_correction": True}],
    )
    image_function: Annotated[str | None, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", strict=True)] = Field(
        default="default",
        description="Who draws the pictures: default, null for no pictures, or a function in user_functions.py.",
        examples=["default"],
        json_schema_extra=_nullable,
    )
    image: ImageOptions = Field(
        default_factory=ImageOptions,
        description="How pictures of fields are drawn.",
        examples=[{"vmin": 200.0, "vmax": 300.0}],
    )

    @model_validator(mode="before")
    @classmethod
    def _without_synonyms(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        given = dict(given)
        for synonym, key in SYNONYMS.items():
            if synonym in given:
                value = given.pop(synonym)
                if given.setdefault(key, value) != value:
                    given[key] = _Disagreement(given[key], value)
        return given

    @model_validator(mode="after")
    def _keys_of_source(self) -> Self:
        for key, (sources, whose) in KEYS_OF_SOURCES.items():
            if key in self.model_fields_set and self.source not in sources:
                raise ValueError(f"{key}: is for {whose}, and this is {self.source}", "leave it out")
        for key, product in KEYS_OF_PRODUCTS.items():
            if key in self.model_fields_set and self.product != product:
                raise ValueError(f"{key}: is for product: {product}, and this is {self.product}", "leave it out")
        if "flags" in self.quality.model_fields_set and self.source not in GOES_SOURCES:
            raise ValueError(f"quality.flags: is for GOES, and this is {self.source}", "leave it out")
        return self

    @model_validator(mode="after")
    def _user_function_has_input(self) -> Self:
        if self.product != USER_FUNCTION:
            return self
        if self.input is None:
            raise ValueError("input: is missing", "name the fields that the function gets: `input: [bt_11, bt_14]`")
        try:
            parse_product(self.source, USER_FUNCTION, tuple(self.input))
        except ValueError as error:
            raise ValueError(f"input: {error.args[0]}", *error.args[1:]) from error
        return self

    @model_validator(mode="after")
    def _archive_has_satellite(self) -> Self:
        if self.archive is not None and "{" in self.archive and self.source not in GOES_SOURCES:
            raise ValueError(
                f"archive: {values.show(self.archive)} has {{satellite}}, which stands for those of GOES alone",
                "write the folder or URL that the files of CERES are in",
            )
        return self

    @model_validator(mode="after")
    def _sector_has_product(self) -> Self:
        product = parse_product(self.source, self.product, tuple(self.input or ()))
        if isinstance(product, Level2) and self.sector[0] not in product.product.sectors:
            raise ValueError(
                f"sector: {self.sector} has no {product.product.name}",
                f"it is made for {', '.join(product.product.sectors)}",
            )
        return self

    @model_validator(mode="after")
    def _image_fits(self) -> Self:
        product = parse_product(self.source, self.product, tuple(self.input or ()))
        bands = n_bands(product)
        if self.image.model_fields_set and (has_colours(product) or self.image_function != "default"):
            whose = self.product if has_colours(product) else f"image_function {values.show(self.image_function)}"
            raise ValueError(f"image: is for fields, and {whose} says itself how pictures look", "leave it out")
        for key in ("vmin", "vmax"):
            given = getattr(self.image, key)
            if bands is not None and given is not None and len(given) not in (1, bands):
                raise ValueError(
                    f"image.{key}: has {len(given)} values, and the product {bands} band{'s' if bands > 1 else ''}",
                    "give one for each band, or one for all",
                )
        if self.image.cmap is not None and bands not in (1, None):
            raise ValueError(
                f"image.cmap: is for products of one band, and {self.product} has {bands}",
                "leave it out: the first three bands are shown as red, green and blue",
            )
        return self
