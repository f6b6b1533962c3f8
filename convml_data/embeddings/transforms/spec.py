"""Which transforms there are, which arguments each takes, and what one that is asked for is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from convml_data.meta import values

#: Raised whenever the same embeddings and arguments would give another transform or other results than before.
CODE_VERSION = 1

#: Which embeddings a transform is fitted on: those of the scenes that a network is trained on, or all.
FitOn = Literal["train", "all"]

Value = int | float


@dataclass(frozen=True)
class Argument:
    """What a value may be.

    Parameters
    ----------
    kind
        ``int`` or ``float``.
    least, most
        Limits, both included.
    """

    kind: type[int] | type[float]
    least: float
    most: float | None = None

    def read(self, name: str, value: Any) -> Value:
        """A value from YAML or text; ValueError of what is wrong and a remedy."""
        try:
            number: Value = values.whole(value) if self.kind is int else values.number(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error.args[0]}", f"write for example {name}={self.least:g}") from error
        if number < self.least or (self.most is not None and number > self.most):
            limits = f"from {self.least:g}" if self.most is None else f"from {self.least:g} to {self.most:g}"
            raise ValueError(f"{name}: {number:g} is out of range", f"give a number {limits}")
        return number


@dataclass(frozen=True)
class TransformType:
    """What can be asked of a transform.

    Parameters
    ----------
    defaults
        Arguments that have one; other arguments that are not ``required`` are left to the method.
    places_new
        Whether it can be applied to embeddings that it was not fitted on.
    gives_labels
        Whether it gives each embedding the number of a cluster instead of a position.
    most
        How many embeddings it can be fitted on in reasonable time and memory, None if any number.
    """

    arguments: Mapping[str, Argument]
    defaults: Mapping[str, Value]
    required: tuple[str, ...] = ()
    places_new: bool = True
    gives_labels: bool = False
    most: int | None = None


_COUNT = Argument(int, 1)
_N_FIT = {"n_fit": Argument(int, 2)}
_CLUSTERS = {"min_cluster_size": Argument(int, 2), "min_samples": _COUNT, **_N_FIT}
_PLANE = {"n_components": _COUNT, "n_neighbors": Argument(int, 2), **_N_FIT}


_LOCAL = TransformType(_PLANE, {"n_components": 2, "n_neighbors": 12}, most=5_000)


#: Every type by its name. Limits to the number of embeddings are those that two cores fit in minutes and
#: 2 GiB: docs/decisions/013-transforms.md.
TYPES: Mapping[str, TransformType] = {
    "pca": TransformType({"n_components": _COUNT}, {}),
    "standard_scaler": TransformType({}, {}),
    "kmeans": TransformType({"n_clusters": Argument(int, 2), **_N_FIT}, {"n_clusters": 8}, gives_labels=True),
    "hdbscan": TransformType(_CLUSTERS, {"min_cluster_size": 5}, gives_labels=True, most=50_000),
    "pca_hdbscan": TransformType(
        {"pca__n_components": _COUNT, **_CLUSTERS},
        {"min_cluster_size": 5},
        required=("pca__n_components",),
        gives_labels=True,
        most=50_000,
    ),
    "isomap": TransformType(_PLANE, {"n_components": 2, "n_neighbors": 5}, most=5_000),
    "lle": _LOCAL,
    "ltsa": _LOCAL,
    "hessian_lle": _LOCAL,
    "modified_lle": _LOCAL,
    "mds": TransformType(
        {"n_components": _COUNT, "max_iter": _COUNT, "n_init": _COUNT, **_N_FIT},
        {"n_components": 2, "max_iter": 100, "n_init": 1},
        places_new=False,
        most=5_000,
    ),
    "tsne": TransformType(
        {"n_components": Argument(int, 1, 3), "perplexity": Argument(float, 1), **_N_FIT},
        {"n_components": 2, "perplexity": 30.0},
        places_new=False,
        most=50_000,
    ),
    "umap": TransformType(
        {**_PLANE, "min_dist": Argument(float, 0, 1)},
        {"n_components": 2, "n_neighbors": 15, "min_dist": 0.1},
        most=200_000,
    ),
}


@dataclass(frozen=True)
class TransformSpec:
    """A transform as it is asked for.

    Parameters
    ----------
    type
        One of :data:`TYPES`.
    arguments
        Those that were given, by name.
    fit_on
        Which embeddings it is fitted on.
    """

    type: str
    arguments: tuple[tuple[str, Value], ...] = ()
    fit_on: FitOn = "train"

    @classmethod
    def of(cls, type_: str, arguments: Mapping[str, Any] | None = None, fit_on: FitOn = "train") -> TransformSpec:
        """A transform of arguments as YAML or text gives them.

        Raises
        ------
        ValueError
            There is no such type, it has no such argument, lacks one or a value is none of its own: of one or
            two arguments, what is wrong and a remedy.
        """
        if type_ not in TYPES:
            raise ValueError(f"there is no transform {values.show(type_)}", f"there are {', '.join(TYPES)}")
        known, given = TYPES[type_].arguments, dict(arguments or {})
        for name in given:
            if name not in known:
                takes = f"it takes {', '.join(known)}" if known else "it takes none"
                raise ValueError(f"{name}: is no argument of {type_}", takes)
        for name in TYPES[type_].required:
            if name not in given:
                raise ValueError(f"{name}: is missing, and {type_} needs it", f"write for example {name}=10")
        read = {name: known[name].read(name, value) for name, value in given.items()}
        return cls(type_, tuple(sorted(read.items())), fit_on)

    @property
    def settings(self) -> dict[str, Value]:
        """The arguments, with defaults where none were given."""
        return {**TYPES[self.type].defaults, **dict(self.arguments)}

    @property
    def extra_args(self) -> str:
        """The given arguments as :func:`read_extra_args` reads them."""
        return ",".join(f"{name}={_text(value)}" for name, value in self.arguments)

    @property
    def name(self) -> str:
        """What its files are called: ``pca_transform__n_components_8``."""
        parts = [f"{self.type}_transform", *(f"{name}_{_text(value)}" for name, value in self.arguments)]
        return "__".join(parts if self.fit_on == "train" else [*parts, f"fit_on_{self.fit_on}"])


def read_extra_args(text: str) -> dict[str, str]:
    """Arguments by name, of text such as ``n_components=8,n_neighbors=10``.

    Raises
    ------
    ValueError
        It is of another form, or names an argument twice: what is wrong, and a remedy.
    """
    found: dict[str, str] = {}
    for part in text.split(",") if text.strip() else []:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise ValueError(f"{values.show(part)} is no argument", "write for example n_components=8,n_neighbors=10")
        if name in found:
            raise ValueError(f"{name}: is given twice", "give it once")
        found[name] = value
    return found


def _text(value: Value) -> str:
    """A number in the fewest digits that are this number again."""
    return repr(value).removesuffix(".0")
