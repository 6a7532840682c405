"""Translate documents: segments to requests, checked replies to segments."""
