"""Sub-commands of ``convml-data`` that work through Dagster, which each imports once it is called."""
