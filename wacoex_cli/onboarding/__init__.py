"""Connecting a channel and letting it go, step by step."""
