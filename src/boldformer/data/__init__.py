"""Recordings, the store of prepared runs, windows and splits; sources and audit."""
