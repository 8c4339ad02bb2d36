"""What the training commands share: their arguments and the dry run."""
