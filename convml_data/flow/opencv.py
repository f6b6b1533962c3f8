"""OpenCV, which not everyone has."""

from __future__ import annotations

from types import ModuleType

from convml_data.errors import ConvmlError


def opencv() -> ModuleType:
    """The module ``cv2``; ConvmlError where it is not installed."""
    try:
        import cv2
    except ImportError as error:
        raise ConvmlError(
            f"clouds are followed by OpenCV, which cannot be loaded ({error})",
            where="flow",
            remedy="Run `pip install 'convml-data[flow]'`",
        ) from error
    return cv2
