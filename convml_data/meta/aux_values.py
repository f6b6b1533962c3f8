"""The key ``aux_values`` of a set of embeddings: an auxiliary field as numbers beside them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from convml_data.meta import values
from convml_data.meta.aux_products import AuxName
from convml_data.meta.fields import Given, Section


class AuxValues(Section):
    """What becomes of an auxiliary field in each tile."""

    aux_name: AuxName = Field(description="Of the auxiliary product.", examples=["cloud_top_height"])
    reduce: tuple[Annotated[str, Field(strict=True)], ...] = Field(
        default=("mean",),
        description="mean, std, min, max, median, p0 to p100, cloud_fraction, or package.module.function.",
        examples=[["mean", "p90"]],
    )
    min_valid_share: Annotated[float, Field(ge=0, le=1), BeforeValidator(values.number)] = Field(
        default=0.5,
        description="Tiles in which a smaller share of cells has a value have none, 0 to 1.",
        examples=[0.9],
    )
    transform: Annotated[str | None, Field(strict=True, min_length=1), Given] = Field(
        default=None,
        description="Over whose first two components distributions are drawn (default: the embeddings' own).",
        examples=["pca_transform"],
    )

    @field_validator("reduce")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        from convml_data.embeddings.reductions import Reduction

        if not names:
            raise ValueError("[] is an empty list", "write for example [mean, std]")
        variables = [Reduction.of(name).variable for name in names]
        if len(set(variables)) < len(variables):
            raise ValueError(f"{values.show(list(names))} names one twice", "name each once")
        return names
