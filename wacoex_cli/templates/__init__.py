"""Message templates: what they hold, what has to be filled in, and the body Meta is sent."""
