"""The model card and the sample grid of a trained pipeline."""
