"""Sends the rows of planned broadcasts: who may send, when each row leaves, what became of it."""
