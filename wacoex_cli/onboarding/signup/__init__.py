"""The signup page for an own Meta app: served on this machine, once, for one channel."""
