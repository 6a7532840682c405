"""The HTTP server: OpenAI's API and others over the functions of a `Toolbox`."""
