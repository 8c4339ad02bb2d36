"""What a visitor receives: image files, tables, links and difference maps."""
