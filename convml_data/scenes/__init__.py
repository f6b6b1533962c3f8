"""Scene IDs, the scene ledger and the filters that decide what is a scene."""
