"""Sources of recordings, the store of prepared runs, windows, splits and audit."""
