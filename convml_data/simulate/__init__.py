"""Simulated archives: files as the satellites' archives hold them, with content that is known exactly."""
