"""One small class for each remote API, in the words of that API."""
