"""GOES-R series ABI: level 1b radiances from the public archive or one laid out like it."""
