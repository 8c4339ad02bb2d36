"""What the commands of both stages share: their arguments, and the dry run."""
