"""The 14-day rule and its reminder."""
