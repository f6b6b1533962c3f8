"""``meta.yaml``: its models, reading it, and the dataset it describes."""
