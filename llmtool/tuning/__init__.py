"""Tune a template on labelled records: choose examples, form, wording and calibration."""
