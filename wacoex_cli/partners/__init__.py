"""Who holds the WABA: the partner that is expected, and who else is seen there."""
