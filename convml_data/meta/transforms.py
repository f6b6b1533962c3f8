"""The key ``transforms`` of a set of embeddings: what else is made of them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from convml_data.embeddings.transforms.spec import FitOn, TransformSpec
from convml_data.meta.fields import Given, Section


class Transform(Section):
    """A transform to fit, or one that is fitted already."""

    type: Annotated[str | None, Field(strict=True), Given] = Field(
        default=None,
        description="pca, kmeans, hdbscan, pca_hdbscan, isomap, lle, ltsa, hessian_lle, modified_lle, mds, tsne, umap "
        "or standard_scaler.",
        examples=["pca"],
    )
    args: dict[str, int | float | str] = Field(
        default_factory=dict, description="Arguments of the transform, by name.", examples=[{"n_components": 8}]
    )
    fit_on: FitOn = Field(
        default="train",
        description="Which embeddings it is fitted on: those of the collection train, or all.",
        examples=["all"],
    )
    pretrained: Annotated[str | None, Field(strict=True, min_length=1), Given] = Field(
        default=None,
        description="Name of a fitted transform to apply, in place of type; <set>/<name> for one of another set.",
        examples=["pca_transform"],
    )
    trust_pickle: bool = Field(
        default=False,
        strict=True,
        description="Read a pretrained transform of joblib, which may run any code when it is read.",
        examples=[True],
    )
    format: Literal["zarr", "netcdf"] = Field(default="zarr", description="Of the result.", examples=["zarr"])

    @model_validator(mode="after")
    def _fitted_or_to_fit(self) -> Self:
        if (self.type is None) == (self.pretrained is None):
            which = "neither is" if self.type is None else "both are"
            raise ValueError(f"type: and pretrained: {which} given", "write for example `type: pca`")
        if self.pretrained is not None:
            for key in ("args", "fit_on"):
                if key in self.model_fields_set:
                    raise ValueError(f"{key}: is for fitting, and {self.pretrained} is fitted", "leave it out")
        if self.type is not None:
            try:
                TransformSpec.of(self.type, self.args, self.fit_on)
            except ValueError as error:
                raise ValueError(f"args: {error.args[0]}", *error.args[1:]) from error
        return self

    @property
    def spec(self) -> TransformSpec | None:
        """What is to be fitted, None where that is done."""
        return None if self.type is None else TransformSpec.of(self.type, self.args, self.fit_on)

    @property
    def name(self) -> str:
        """What the result is called; in it a fitted transform of another set has that set's name."""
        spec = self.spec
        return spec.name if spec is not None else str(self.pretrained).replace("/", "__")
