"""Figures and the HTML report."""

from boldformer.visualization.report import build_report

__all__ = ["build_report"]
