"""What the experiments measure with: feature spaces, classifiers, neighbours, metrics and intervals."""
