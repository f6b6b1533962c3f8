"""A dataset for others: an index of its samples and a card that describes it."""
