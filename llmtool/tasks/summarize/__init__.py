"""Summing: a document's chunks to notes, notes to a summary that keeps to its length and facts."""
