"""The tasks, over the `Engine` protocol; nothing here prints or reads the environment."""
