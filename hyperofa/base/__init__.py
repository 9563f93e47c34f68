"""What every room stands on: files, configs, the console, names of models, keys of words."""
