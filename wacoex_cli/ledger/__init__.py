"""The ledger: broadcasts, their rows, and what became of each of them."""
