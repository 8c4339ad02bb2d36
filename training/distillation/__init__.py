"""Distillation of a generator to few evaluations: its settings, the guided teacher, the loss and the comparison."""
