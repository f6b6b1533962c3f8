"""One factory for each group of assets of a dataset."""
