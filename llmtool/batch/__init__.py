"""Batches: records as they come, rows as they are answered, a file that can be resumed."""
