"""What a model sees of a conversation, and what is done when it does not fit any more."""
