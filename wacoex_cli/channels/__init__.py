"""What a channel is: one number, with all its ids and its owner."""
