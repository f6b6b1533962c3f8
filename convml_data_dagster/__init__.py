"""Dagster's view of a dataset: assets, partitions, IO managers.

Only orchestration belongs here: what depends on what, which scenes are partitions, where results
are recorded. What a stage computes is in ``convml_data``. Modules import what computes inside
their functions, so that a code server starts without it.
"""
