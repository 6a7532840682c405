"""Analyze text without a model: language detection, syntax checks, splitting."""
