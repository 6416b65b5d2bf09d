"""Where in the brain a decoder looks: maps as NIfTI images."""
