"""Templates and tasks as functions with typed arguments and results."""
