"""The only package that writes to standard output or standard error, or asks a person."""
