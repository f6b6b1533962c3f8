"""Tiles: where they are taken from, and what their files say about them."""
