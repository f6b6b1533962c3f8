"""Transforms of embeddings: fewer dimensions, clusters, scaling; how they are named, fitted, kept and applied."""
