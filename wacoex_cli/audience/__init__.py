"""The people a broadcast goes to: their file, and those who want no more messages."""
