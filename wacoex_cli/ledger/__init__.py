"""The ledger: broadcasts, their rows, and what happened to each of them."""
