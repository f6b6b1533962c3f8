"""Where the transforms of a set of embeddings lie: fitted ones, and what they make of the embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

from convml_data.embeddings.transforms.fitting import Estimator
from convml_data.embeddings.transforms.model_files import (
    JOBLIB,
    SIDECAR,
    SUFFIX,
    Provenance,
    from_bytes,
    from_joblib,
    sha256_of,
    to_bytes,
)
from convml_data.errors import StoreError
from convml_data.store.arrays import ArrayStore
from convml_data.store.embeddings import FOLDER, AllFormat, EmbeddingStore
from convml_data.store.files import Files

FORMATS: tuple[AllFormat, ...] = ("zarr", "netcdf")


@dataclass(frozen=True)
class KeptTransform:
    """A fitted transform that was read.

    Parameters
    ----------
    type
        Of the transform.
    estimator
        What it is.
    provenance
        What it was fitted on; of files of older software, which do not say, their hash.
    """

    type: str
    estimator: Estimator
    provenance: Provenance | str


@dataclass(frozen=True)
class TransformStore:
    """The transforms of a set.

    Parameters
    ----------
    files
        The dataset's root.
    set_name
        Of the embeddings.
    """

    files: Files
    set_name: str

    @classmethod
    def of(cls, embeddings: EmbeddingStore) -> TransformStore:
        """Beside a set of embeddings."""
        return cls(embeddings.files, embeddings.set_name)

    @property
    def folder(self) -> str:
        """Of the set, relative to the root."""
        return f"{FOLDER}/{self.set_name}"

    def results(self, format_: AllFormat) -> ArrayStore:
        """What transforms made of the embeddings, by the transforms' names."""
        return _Results(self.files, self.folder, format_)

    @property
    def aux_values(self) -> ArrayStore:
        """Auxiliary fields in each tile, as numbers, by the names of the products."""
        return _AuxValues(self.files, f"{self.folder}/aux", "zarr")

    def open_result(self, name: str) -> xr.Dataset:
        """What a transform made of the embeddings; StoreError where it is not there."""
        stores = [self.results(format_) for format_ in FORMATS]
        for results in stores:
            if self.files.exists(results.name(name)):
                return results.open(name)
        there = sorted({name for results in stores for name in results.stored()})
        raise StoreError(
            f"there are no embeddings transformed by {name}",
            where=self.files.url(self.folder),
            remedy=f"There are {', '.join(there)}" if there else "Run `convml-data transform` first",
        )

    def remove_other_formats(self, name: str, format_: AllFormat) -> None:
        """Delete a result in all formats but one, which are of other embeddings or of another fit."""
        for other in FORMATS:
            if other != format_:
                self.files.remove(self.results(other).name(name))

    def plot(self, transform: str, name: str) -> str:
        """A picture of what a transform made of the embeddings."""
        return f"{self.folder}/plots/{transform}/{name}.png"

    def model(self, name: str) -> str:
        """File of a fitted transform, relative to the root."""
        return f"{self.folder}/{name}{SUFFIX}"

    def keep_model(self, name: str, estimator: Estimator, provenance: Provenance) -> None:
        """Write a fitted transform and what it is."""
        content = to_bytes(estimator)
        self.files.write_bytes(self.model(name), content)
        sidecar = provenance.to_json(sha256_of(content))
        self.files.write_bytes(f"{self.folder}/{name}{SIDECAR}", sidecar.encode())

    def read_model(self, name: str, *, trust_pickle: bool = False) -> KeptTransform:
        """A fitted transform, by its name in this set or ``<set>/<name>`` in another.

        Raises
        ------
        StoreError
            There is none of that name (which there are is said), or it cannot be read.
        """
        path = f"{FOLDER}/{name}" if "/" in name else f"{self.folder}/{name}"
        is_name = name.count("/") <= 1 and not set(name.split("/")) & {"", ".", ".."}
        if is_name and self.files.exists(f"{path}{SUFFIX}"):
            content, where = self.files.read_bytes(f"{path}{SUFFIX}"), self.files.url(f"{path}{SUFFIX}")
            text = self.files.read_bytes(f"{path}{SIDECAR}").decode()
            provenance = Provenance.from_json(text, sha256_of(content), self.files.url(f"{path}{SIDECAR}"))
            return KeptTransform(provenance.type, from_bytes(content, where), provenance)
        for suffix in JOBLIB:
            if is_name and self.files.exists(f"{path}{suffix}"):
                content, where = self.files.read_bytes(f"{path}{suffix}"), self.files.url(f"{path}{suffix}")
                return KeptTransform(*from_joblib(content, where, trusted=trust_pickle), sha256_of(content))
        there = self.models()
        raise StoreError(
            f"there is no fitted transform {name!r}",
            where=self.files.url(path),
            remedy=f"There are {', '.join(there)}"
            if there
            else "Fit one with `convml-data transform --transform-type pca`",
        )

    def models(self) -> list[str]:
        """Names of the fitted transforms: of this set, and with their sets those of others."""
        found = []
        for suffix in (SUFFIX, *sorted(JOBLIB, key=len, reverse=True)):
            for path in self.files.names(f"{FOLDER}/*/*{suffix}"):
                _, set_name, file = path.split("/")
                name = file.removesuffix(suffix)
                found.append(name if set_name == self.set_name else f"{set_name}/{name}")
        return sorted(
            dict.fromkeys(name.removesuffix(".model") for name in found), key=lambda name: ("/" in name, name)
        )


class _Results(ArrayStore):
    """``<name>.zarr`` or ``<name>.nc`` in the folder of a set."""

    @property
    def _suffix(self) -> str:
        return ".zarr" if self.format == "zarr" else ".nc"

    def name(self, key: str) -> str:
        return f"{self.folder}/{key}{self._suffix}"

    def stored(self) -> list[str]:
        names = [path.rpartition("/")[2] for path in self.files.names(f"{self.folder}/*_transform*{self._suffix}")]
        return [name.removesuffix(self._suffix) for name in names]


class _AuxValues(ArrayStore):
    """``<aux name>.zarr`` in a folder of the set."""

    def name(self, key: str) -> str:
        return f"{self.folder}/{key}.zarr"
