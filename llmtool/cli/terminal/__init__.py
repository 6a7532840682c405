"""Standard streams, signals, progress, input and output files."""
