"""Readers of documents for `sum` and others: the text of web pages, e-mail and PDF files."""
