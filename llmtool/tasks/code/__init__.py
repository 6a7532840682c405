"""Tasks on code: generate, repair, format, review, fix, test and complete it."""
