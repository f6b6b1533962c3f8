"""Fitted transforms on disk: ``<name>.skops`` and, beside it, ``<name>.json``, which says what it is.

The first is read without running code: it holds estimators of scikit-learn's own and arrays, and nothing else is
accepted. Files of joblib run code when they are read, so they are read only for those who say that they trust them.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from convml_data.embeddings.transforms.fitting import Estimator, PcaDensityClusters, gives_labels, takes
from convml_data.embeddings.transforms.neighbours import DensityClusters, FittedPositions, NeighbourMean
from convml_data.embeddings.transforms.spec import FitOn, TransformSpec
from convml_data.errors import StoreError

SUFFIX = ".skops"
SIDECAR = ".json"
JOBLIB = (".joblib", ".model.joblib")

#: Raised whenever a file is written in a way that older ones are not.
FORMAT_VERSION = 2

#: Packages by which a transform was fitted.
PACKAGES = ("numpy", "scikit-learn", "skops", "umap-learn")

_ARRAYS = {kind.__name__: kind for kind in (FittedPositions, NeighbourMean, DensityClusters)}


@dataclass(frozen=True)
class Provenance:
    """What a transform was fitted on, and by what.

    Parameters
    ----------
    type
        Of the transform.
    arguments
        Those that were given.
    fit_on
        Which embeddings.
    embedding_set
        Name of the set that they are of.
    model, model_sha256
        Name of the neural network that gave them, and hash of its file.
    normalisation
        Of the pictures that it got.
    emb_dim
        Dimensions of an embedding.
    n_fitted
        How many embeddings.
    n_scenes
        Of how many scenes.
    seed
        Of the methods that draw at random.
    fingerprint
        Changes with anything the transform follows from.
    notes
        What the method warned of.
    versions
        Of :data:`PACKAGES`.
    """

    type: str
    arguments: Mapping[str, int | float]
    fit_on: FitOn
    embedding_set: str
    model: str
    model_sha256: str
    normalisation: str
    emb_dim: int
    n_fitted: int
    n_scenes: int
    seed: int
    fingerprint: str
    notes: tuple[str, ...]
    versions: Mapping[str, str]

    @property
    def spec(self) -> TransformSpec:
        """What was asked for."""
        return TransformSpec.of(self.type, self.arguments, self.fit_on)

    def to_json(self, sha256: str) -> str:
        """The written form, with the hash of the file that it is about."""
        return json.dumps({"format_version": FORMAT_VERSION, "sha256": sha256, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, sha256: str, where: str) -> Provenance:
        """What :meth:`to_json` wrote.

        Raises
        ------
        StoreError
            It is none, of another version, or about a file with another hash than ``sha256``.
        """
        remedy = "Delete both files and run `convml-data transform` to fit it again"
        try:
            values = json.loads(text)
            version, of = values.pop("format_version"), values.pop("sha256")
            if version != FORMAT_VERSION:
                raise StoreError(f"this has format {version}, not {FORMAT_VERSION}", where=where, remedy=remedy)
            found = cls(**values | {"notes": tuple(values["notes"])})
            TransformSpec.of(found.type, found.arguments)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"this says nothing of a transform ({error})", where=where, remedy=remedy) from error
        if of != sha256:
            raise StoreError("this is about another file than the one beside it", where=where, remedy=remedy)
        return found


def versions() -> dict[str, str]:
    """Of the packages that are installed among :data:`PACKAGES`."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def to_bytes(estimator: Estimator) -> bytes:
    """A fitted transform as a file of skops."""
    import skops.io

    return bytes(skops.io.dumps(_plain(estimator)))


def from_bytes(content: bytes, where: str) -> Estimator:
    """The fitted transform that :func:`to_bytes` wrote; ``where`` names its file in errors.

    Raises
    ------
    StoreError
        It is no such file, it is damaged, or it holds more than estimators of scikit-learn's and arrays.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return _estimator(skops.io.loads(content))
    except UntrustedTypesFoundException as error:
        raise StoreError(
            f"this holds objects that run code of their own ({error})",
            where=where,
            remedy="Fit it again with `convml-data transform`",
        ) from error
    except Exception as error:  # whatever scikit-learn raises for estimators of another version
        raise StoreError(
            f"this transform cannot be read ({type(error).__name__}: {error})",
            where=where,
            remedy="Fit it again with `convml-data transform`, or install the versions that the file beside it names",
        ) from error


def sha256_of(content: bytes) -> str:
    """Of a file's content."""
    return hashlib.sha256(content).hexdigest()


#: Types of transforms by the classes that files of joblib have of them.
_TYPES_OF_CLASSES = {"PCA": "pca", "KMeans": "kmeans", "Isomap": "isomap", "StandardScaler": "standard_scaler"}
_TYPES_OF_METHODS = {"standard": "lle", "ltsa": "ltsa", "hessian": "hessian_lle", "modified": "modified_lle"}


def from_joblib(content: bytes, where: str, *, trusted: bool) -> tuple[str, Estimator]:
    """The type of a transform of older software, and the transform.

    Raises
    ------
    StoreError
        It is not trusted, it cannot be read, or it is none that can be applied.
    """
    if not trusted:
        raise StoreError(
            "files of joblib run code when they are read, with your rights",
            where=where,
            remedy="Give --trust-pickle if you know who made it, or fit it again with `convml-data transform`",
        )
    import joblib  # type: ignore[import-untyped]

    try:
        estimator = joblib.load(io.BytesIO(content))
    except Exception as error:  # whatever the code in it raises
        raise StoreError(f"this cannot be read ({type(error).__name__}: {error})", where=where) from error
    name = type(estimator).__name__
    type_ = _TYPES_OF_CLASSES.get(name, _TYPES_OF_METHODS.get(getattr(estimator, "method", "")))
    if type_ is None or not hasattr(estimator, "predict" if gives_labels(estimator) else "transform"):
        raise StoreError(
            f"this holds a {name}, which cannot be applied to embeddings",
            where=where,
            remedy=f"Give one of scikit-learn's {', '.join(_TYPES_OF_CLASSES)} or LocallyLinearEmbedding",
        )
    takes(estimator)  # or an error, where it is not fitted
    return type_, estimator


def _plain(estimator: Estimator) -> Any:
    """An estimator of scikit-learn's as it is, others as mappings of arrays."""
    if isinstance(estimator, PcaDensityClusters):
        return {"kind": "PcaDensityClusters", "pca": estimator.pca, "clusters": _plain(estimator.clusters)}
    if type(estimator).__name__ not in _ARRAYS:
        return estimator
    return {
        "kind": type(estimator).__name__,
        **{field.name: getattr(estimator, field.name) for field in fields(estimator)},
    }


def _estimator(plain: Any) -> Estimator:
    if not isinstance(plain, dict):
        takes(plain)  # or an error
        return plain
    values = dict(plain)
    kind = values.pop("kind")
    if kind == "PcaDensityClusters":
        return PcaDensityClusters(values["pca"], _estimator(values["clusters"]))
    found = _ARRAYS[kind](**values)
    arrays = [value for value in values.values() if isinstance(value, np.ndarray)]
    if len({len(array) for array in arrays}) != 1:
        raise ValueError("arrays of different lengths")
    return found
