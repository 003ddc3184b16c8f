"""People: who wants no more messages."""
