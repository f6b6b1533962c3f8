"""Clouds that are followed from scene to scene: their trajectories, and plots of them."""

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from convml_data.markdown import markdown_table
from convml_data.meta.dataset import Dataset
from convml_data_dagster.assets.names import asset_key, group_name, kinds, uri
from convml_data_dagster.failures import errors_as_failures
from convml_data_dagster.io_managers import io_manager_key, store_of

if TYPE_CHECKING:
    from convml_data.meta.flow import Flow
    from convml_data.pipeline.flow import Trajectories
    from convml_data.store.dataset import DatasetStore

#: Longest side of the pictures in metadata, pixels.
PICTURE_SIDE = 640


class FlowConfig(dg.Config):
    """Which scenes, and what is to be other than in ``meta.yaml``."""

    prefix: str | None = Field(None, description="What the scenes' IDs begin with; by default each day by itself.")
    band: str | None = Field(None, description="Name of the field that is followed.")
    max_num_trajectories: int | None = Field(None, description="Points that are followed at a time, at most.")
    min_point_distance: float | None = Field(None, description="From a new point to any other, metres.")
    dt_max: str | None = Field(None, description="Longest time that clouds are followed across, ISO 8601.")
    plot_dt_max: str | None = Field(None, description="How far back and forward plots show, ISO 8601.")

    def of(self, store: "DatasetStore") -> tuple[list[str], "Flow"]:
        """The prefixes that are meant, and the options."""
        from convml_data.pipeline.flow import day_prefixes, flow_options

        prefixes = day_prefixes(store) if self.prefix is None else [self.prefix]
        return prefixes, flow_options(store.dataset, self.model_dump(exclude={"prefix"}))


def flow_assets(dataset: Dataset) -> list[dg.AssetsDefinition]:
    """``<dataset>/flow/trajectories`` and ``<dataset>/flow/plots``."""
    name = dataset.name
    common: dict[str, Any] = {
        "group_name": group_name(dataset, "flow"),
        "required_resource_keys": {io_manager_key(name)},
    }

    @dg.asset(
        key=[name, "flow", "trajectories"],
        deps=[asset_key(dataset, "regridded")],
        kinds=kinds(dataset, "netcdf"),
        metadata=uri(dataset, "flow"),
        code_version=dataset.fingerprint("flow"),
        description=(
            "Where clouds went: points that are followed from scene to scene by optical flow, with x and y (metres), "
            "longitude and latitude, and velocities (m/s), one netCDF file for each day or prefix of scene IDs. "
            "A later dataset can cut tiles around them (`trajectories.filepath`)."
        ),
        **common,
    )
    def trajectories(context: dg.AssetExecutionContext, config: FlowConfig) -> dg.MaterializeResult[Any]:
        from convml_data.pipeline.flow import draw_middle, make_trajectories

        with errors_as_failures():
            store = store_of(context, name)
            prefixes, options = config.of(store)
            made = []
            for prefix in prefixes:
                made.append(make_trajectories(store, prefix, options))
                context.log.info(f"{prefix}: {made[-1].count} trajectories")
            fullest = max(made, key=lambda each: each.points)
            picture = draw_middle(store, fullest.prefix, options)
        unreadable = [scene_id for each in made for scene_id in each.unreadable]
        if unreadable:
            context.log.warning(f"passed over, since they cannot be read: {', '.join(unreadable)}")
        # A number that is none is an error to the UI.
        speed = {"median_speed": fullest.median_speed} if fullest.points else {}
        return dg.MaterializeResult(
            metadata={
                "path": dg.MetadataValue.path(store.files.url("flow")),
                "trajectories": sum(each.count for each in made),
                "points": sum(each.points for each in made),
                "scenes": sum(each.scenes for each in made),
                **speed,
                "files": dg.MetadataValue.md(_table(made)),
                "picture": _picture(fullest.prefix, picture),
            }
        )

    @dg.asset(
        key=[name, "flow", "plots"],
        deps=[dg.AssetKey([name, "flow", "trajectories"]), asset_key(dataset, "regridded")],
        kinds=kinds(dataset, "png"),
        metadata=uri(dataset, "flow/plots"),
        code_version=dataset.code_version("flow_plots"),
        description=(
            "Each scene with the trajectories through it, back (opaque) and forward (faint), in km and coloured by "
            "speed in m/s, and a film of each day or prefix of scene IDs."
        ),
        **common,
    )
    def plots(context: dg.AssetExecutionContext, config: FlowConfig) -> dg.MaterializeResult[Any]:
        from convml_data.pipeline.flow import make_plots

        with errors_as_failures():
            store = store_of(context, name)
            prefixes, options = config.of(store)
            made = [make_plots(store, prefix, options) for prefix in prefixes]
        return dg.MaterializeResult(
            metadata={
                "path": dg.MetadataValue.path(store.files.url("flow/plots")),
                "plots": sum(len(each.urls) for each in made),
                "films": dg.MetadataValue.md("\n".join(f"- `{each.film}`" for each in made)),
                "picture": _picture(prefixes[-1], made[-1].middle),
            }
        )

    return [trajectories, plots]


def _table(made: "Sequence[Trajectories]") -> str:
    rows = [
        [each.prefix, f"{each.scenes}", f"{each.count}", f"{each.points}", f"{each.median_speed:.1f}"] for each in made
    ]
    return markdown_table(["prefix", "scenes", "trajectories", "points", "median speed (m/s)"], rows)


def _picture(name: str, content: bytes) -> dg.MarkdownMetadataValue:
    import io

    from PIL import Image

    from convml_data.images.picture import thumbnail

    encoded = base64.b64encode(thumbnail(Image.open(io.BytesIO(content)).convert("RGB"), PICTURE_SIDE)).decode()
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{encoded})")
