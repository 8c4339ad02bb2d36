"""What several folders of this project share: atomic files, and the `synfundus` command."""
