"""Attention to look at."""
