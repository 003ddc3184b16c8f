"""A pretend Meta on this machine: strict where Meta is strict, broken where it is told to be."""
