"""What the networks are trained on: prepared photographs, labelled examples, the order of the rows."""
