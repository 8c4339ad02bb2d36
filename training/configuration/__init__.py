"""What a training run is: the YAML file, the presets, the networks it describes, the command line."""
