"""An engine in another process of the same user, over a private Unix socket."""
