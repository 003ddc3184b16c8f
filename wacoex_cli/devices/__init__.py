"""Companion devices."""
