"""Decoding while the scanner runs."""
