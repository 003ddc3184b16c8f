"""Secrets, settings and the state file: given, looked at, looked after."""
