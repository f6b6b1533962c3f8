"""GOES-R series ABI: level 1b radiances and level 2 products from the public archive or one laid out like it."""
