"""Plans: which labels and which noise each row of a dataset has."""
