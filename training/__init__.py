"""Training of the weights: the commands stand in this folder, what they use in its sub-folders."""
