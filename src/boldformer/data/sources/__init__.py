"""Layouts of datasets on disk: BIDS, HCP, class folders, maps, OpenNeuro."""
