"""The tables of the state file, as steps that are only ever added to."""
