"""How many messages a second a number may send, and what is known about that."""
