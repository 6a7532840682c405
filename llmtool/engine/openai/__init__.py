"""The engine of models on servers with OpenAI's API."""
