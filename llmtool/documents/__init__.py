"""Documents in their formats: which parts are language, and how a translation goes back."""
