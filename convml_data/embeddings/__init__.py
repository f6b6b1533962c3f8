"""Embeddings: what a neural network makes of tiles."""
