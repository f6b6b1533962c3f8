"""Datasets for machine learning from satellite imagery, described by one ``meta.yaml``."""

__version__ = "0.1.0"
