"""Local language models as a command-line toolbox and a function library."""

__version__ = "0.1.0"
