"""How many messages one person, one number and one business get in a time."""
