"""Pictures from fields."""
