"""`classify`: score labels by the model's probabilities, correct for its bias, evaluate."""
