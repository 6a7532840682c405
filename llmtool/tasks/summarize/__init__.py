"""Summarize texts: chunks to notes, notes to a summary with checked length and facts."""
