"""Labels by their probabilities: asked, corrected for what a model favours, measured."""
