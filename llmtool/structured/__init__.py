"""Structured output: from a schema, regex or grammar to a constraint and a checked value."""
