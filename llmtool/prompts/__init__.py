"""Prompt templates: file format, lookup, rendering and validation."""
