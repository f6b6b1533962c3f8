"""The way of the data through the stages, free of any orchestrator."""
