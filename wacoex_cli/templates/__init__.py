"""Message templates: what they hold, what has to be filled in, and the bodies that are sent."""
