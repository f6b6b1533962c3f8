"""What assets, their groups, kinds and steps are called, and which pools of runs they are in."""

from collections.abc import Iterable

import dagster as dg

from convml_data.meta.data import MODELS
from convml_data.meta.dataset import Dataset
from convml_data.meta.embeddings import Embeddings
from convml_data.meta.transforms import Transform


def asset_key(dataset: Dataset, asset: str) -> dg.AssetKey:
    """Key of an asset of a dataset or of its auxiliary product."""
    return dg.AssetKey([dataset.name, *([] if dataset.aux_name is None else ["aux", dataset.aux_name]), asset])


def group_name(dataset: Dataset, group: str) -> str:
    """Name of a group of a dataset's assets; those of an auxiliary product are all in one."""
    if dataset.aux_name is not None:
        group = f"aux_{dataset.aux_name.replace('-', '_')}"
    return f"{dataset.name}_{group}"


def op_name(dataset: Dataset, what: str) -> str:
    """Name of a step of an auxiliary product, which no other product's step has: names of steps take no hyphens."""
    return f"{dataset.name}__aux_{escaped(dataset.aux_name or '')}__{what}"


def embeddings_key(dataset: Dataset, entry: Embeddings, *, of_all: bool = False) -> dg.AssetKey:
    """Key of a set of embeddings: ``<dataset>/[aux/<name>/]embeddings/<model>/<kind>``, ``…/all`` of all scenes."""
    product = [] if entry.aux_name is None else ["aux", entry.aux_name]
    of_set = ["embeddings", entry.model_name, entry.kind_name]
    return dg.AssetKey([dataset.name, *product, *of_set, *(["all"] if of_all else [])])


def transform_key(dataset: Dataset, entry: Embeddings, transform: Transform, *parts: str) -> dg.AssetKey:
    """Key of a transform of a set of embeddings, or of its pictures: that of the set, its name, ``maps``."""
    return dg.AssetKey([*embeddings_key(dataset, entry).path, transform.name, *parts])


def aux_values_key(dataset: Dataset, entry: Embeddings, aux_name: str) -> dg.AssetKey:
    """Key of an auxiliary field in each tile of a set of embeddings."""
    return dg.AssetKey([*embeddings_key(dataset, entry).path, "aux_values", aux_name])


def escaped(name: str) -> str:
    """A name of an auxiliary product or model where only letters, digits and _ may be, another one for each."""
    return name.replace("_", "__").replace("-", "_d").replace(".", "_p")


def kinds(dataset: Dataset, *formats: str, reads_archive: bool = False, on_cluster: bool = False) -> set[str]:
    """What marks an asset in the graph: what its files are, and where they lie and the work is done."""
    found = set(formats)
    if dataset.root.startswith("s3://") or (reads_archive and _archive(dataset).startswith("s3://")):
        found.add("s3")
    if on_cluster and dataset.meta.dask.cluster is not None:
        found.add("dask")
    return found


def uri(dataset: Dataset, name: str) -> dict[str, str]:
    """Metadata that links to a file or folder below the root."""
    return {"dagster/uri": f"{dataset.root}/{name}"}


def archive_pool(dataset: Dataset) -> str | None:
    """The pool of runs that read the archive of a dataset's source, None for files of one's own."""
    source = dataset.meta.source
    if source in MODELS:
        return None
    return "ceres-archive" if source.startswith("ceres") else "goes-archive"


def run_tags(dataset: Dataset, stages: Iterable[str]) -> dict[str, str]:
    """By what runs are found in the UI."""
    product = dataset.meta.product if dataset.aux_name is None else dataset.aux_name
    return {"convml/dataset": dataset.name, "convml/stage": ",".join(sorted(stages)), "convml/product": product}


def _archive(dataset: Dataset) -> str:
    if dataset.meta.source in MODELS:
        return ""
    from convml_data.sources import archive_of

    return archive_of(dataset)
