"""What a training run is: the YAML file, the presets, and the networks it describes."""
