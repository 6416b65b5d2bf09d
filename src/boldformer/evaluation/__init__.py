"""Judging decoders: metrics, intervals, baselines, cross-validation."""
