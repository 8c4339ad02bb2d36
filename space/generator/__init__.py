"""The generator behind the page: loading it, checking requests, and sampling as a stream of frames."""
