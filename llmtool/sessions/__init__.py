"""Save, search and export conversations."""
