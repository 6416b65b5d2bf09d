"""Decoding models: one file each, one contract, one registry."""
