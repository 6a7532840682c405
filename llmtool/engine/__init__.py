"""Engines: requests in, tokens and events out."""
