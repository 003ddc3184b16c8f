"""A pretend Meta on this machine: strict where Meta is strict, broken where a test wants it."""
