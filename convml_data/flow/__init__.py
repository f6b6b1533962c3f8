"""Clouds that are followed from scene to scene by optical flow."""
