"""Builds the Parquet shards of a dataset: images from a generator, encoded, written and resumable."""
