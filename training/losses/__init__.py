"""The losses of the autoencoder."""
