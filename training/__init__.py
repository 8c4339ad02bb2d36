"""Training of the weights. Modules of this folder are commands; its sub-folders contain what they use."""
