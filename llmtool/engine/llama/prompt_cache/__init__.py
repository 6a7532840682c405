"""Evaluated prompt prefixes on disk."""
