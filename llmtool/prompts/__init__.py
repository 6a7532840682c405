"""Prompt templates: the format, where they are, how they are rendered and checked."""
