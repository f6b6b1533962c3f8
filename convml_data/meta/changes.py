"""What files were made of in the words of ``meta.yaml``, and what has changed since."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from convml_data.errors import ConvmlError
from convml_data.geometry.local import domain_from_dict
from convml_data.meta import values
from convml_data.meta.dataset import FUNCTIONS_NAME, Dataset
from convml_data.meta.models import Meta

#: What is said where code is the only difference.
OTHER_CODE = "another version of convml-data made them, and makes them otherwise now"


@dataclass(frozen=True)
class Settings:
    """Everything that a fingerprint of a dataset may follow from.

    Parameters
    ----------
    meta
        What ``meta.yaml`` says, as JSON-ready values; of an auxiliary product too that of the dataset.
    functions_hash, trajectories_hash
        As the dataset has them.
    domain
        The area, where it was found out.
    """

    meta: Mapping[str, Any]
    functions_hash: str | None
    trajectories_hash: str | None
    domain: Mapping[str, Any] | None

    @classmethod
    def of(cls, dataset: Dataset) -> Settings:
        """Those of a dataset or of its auxiliary product."""
        found = dataset.found_domain
        return cls(
            # What was written, without defaults: some keys are refused where they mean nothing.
            dataset.primary.meta.model_dump(mode="json", exclude_unset=True),
            dataset.functions_hash,
            dataset.trajectories_hash,
            None if found is None else found.to_dict(),
        )

    def to_json(self) -> str:
        """The written form."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """The settings that :meth:`to_json` wrote; ValueError, KeyError or TypeError where the text is no such."""
        return cls(**json.loads(text))

    def dataset(self, like: Dataset) -> Dataset:
        """The dataset, or the same auxiliary product, with these settings; ValueError where it cannot be any more."""
        before = replace(
            like.primary,
            meta=Meta.model_validate(self.meta),
            functions_hash=self.functions_hash,
            trajectories_hash=self.trajectories_hash,
            found_domain=None if self.domain is None else domain_from_dict(dict(self.domain)),
        )
        return before if like.aux_name is None else before.aux(like.aux_name)


def what_changed(before: Settings, dataset: Dataset, stage: str) -> tuple[str, ...]:
    """In words of ``meta.yaml`` why the fingerprint of a stage is no longer that of earlier settings.

    A key counts if the stage's fingerprint changes once the key alone has its old value again: no list
    says which key matters to which stage, so none can be out of date.

    Parameters
    ----------
    before
        The earlier settings.
    dataset
        As it is now.
    stage
        One of the dataset's stages.

    Returns
    -------
    Key paths with the old and the new value, and files that changed.
    """
    now, current = Settings.of(dataset), dataset.fingerprint(stage)
    if _fingerprint(before, dataset, stage) == current:
        return (OTHER_CODE,)
    keys = {
        f"{'.'.join(path)}: {_shown(old)} → {_shown(new)}": replace(now, meta=_with_value(now.meta, path, old))
        for path, old, new in _differences(before.meta, now.meta)
    }
    files = {
        f"{FUNCTIONS_NAME} changed": replace(now, functions_hash=before.functions_hash),
        "the file of trajectories changed": replace(now, trajectories_hash=before.trajectories_hash),
        "the domain that follows from the source or from trajectories is another": replace(now, domain=before.domain),
    }
    changes = {text: with_old for text, with_old in (keys | files).items() if with_old != now}
    # A value that goes with other values only, so that it has no fingerprint of its own, counts too.
    found = [text for text, with_old in changes.items() if _fingerprint(with_old, dataset, stage) != current]
    return tuple(found or changes)


def _fingerprint(settings: Settings, dataset: Dataset, stage: str) -> str | None:
    """The stage's fingerprint with other settings, None where there is no such dataset."""
    try:
        return settings.dataset(dataset).fingerprint(stage)
    except (ValueError, ConvmlError):
        return None


def _differences(old: Any, new: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Key path, old and new value of what differs; None where there is no such key."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(old.get(key), new.get(key), (*path, key))
    elif old != new:
        yield path, old, new


def _with_value(document: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy with another value in one place, or without that key where it is None."""
    key, *rest = path
    if rest:
        return {**document, key: _with_value(document[key], tuple(rest), value)}
    return {name: part for name, part in document.items() if name != key} | ({} if value is None else {key: value})


def _shown(value: Any) -> str:
    if value is None:
        return "not given"
    return value if isinstance(value, str) else values.show(value)
