"""Batches: read records, process them, write rows to a file that can be resumed."""
