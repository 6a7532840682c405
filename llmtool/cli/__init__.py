"""The command line: commands, their options, and what a terminal or a pipe shows."""
