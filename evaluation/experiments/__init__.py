"""The experiments of the report, one module each, with a function `run` that returns a `Result`."""
