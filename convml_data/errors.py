"""Errors that a user can act on.

Every error raised on purpose is a :class:`ConvmlError`: it says what is wrong with which value,
where, and what to do about it. The command line and the Dagster steps print them without a
traceback; anything else that is raised is a defect of this program.
"""

from __future__ import annotations


class ConvmlError(Exception):
    """What is wrong, where it is wrong and how to mend it.

    Parameters
    ----------
    what
        One sentence without a full stop, naming the offending value.
    where
        File, key path or object that the sentence is about.
    remedy
        What the user can do, one sentence without a full stop.
    """

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        super().__init__(what, where, remedy)

    def __reduce__(self) -> tuple[object, ...]:
        # Errors travel between worker processes, and keyword arguments are lost by default.
        return _rebuild, (type(self), self.what, self.where, self.remedy)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}. {self.remedy}." if self.remedy else f"{text}."


def _rebuild(kind: type[ConvmlError], what: str, where: str | None, remedy: str | None) -> ConvmlError:
    return kind(what, where=where, remedy=remedy)


class MetaError(ConvmlError):
    """A ``meta.yaml`` that cannot be read or does not describe a dataset."""


class ArchiveError(ConvmlError):
    """An archive that cannot be listed or read."""


class ArchiveUnreachableError(ArchiveError):
    """An archive that does not answer or asks to wait, and may answer when it is tried again later."""


class SceneError(ConvmlError):
    """A scene whose files are there but cannot give the product."""


class PlanError(ConvmlError):
    """A tile plan that the scenes or the domain cannot satisfy."""


class StoreError(ConvmlError):
    """A file of the dataset that cannot be read or written."""


class ModelError(ConvmlError):
    """A neural network that cannot be read, or does not fit what it is applied to."""
