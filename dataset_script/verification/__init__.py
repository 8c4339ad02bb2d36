"""The checks that `dataset_script.verify` runs."""
