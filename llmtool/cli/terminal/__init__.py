"""Standard streams, signals, progress, and input and output files."""
