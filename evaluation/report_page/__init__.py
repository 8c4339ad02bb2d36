"""Results as tables and figures, and the report as HTML and Markdown."""
