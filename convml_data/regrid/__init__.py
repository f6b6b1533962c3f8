"""From the grid of a source to a local grid."""
