"""The tasks, built on the `Engine` protocol; no module here prints or reads the environment."""
