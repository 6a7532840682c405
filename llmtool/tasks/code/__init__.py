"""What `code` is made of: candidates, rounds of repair, formatting, diffs, gaps."""
