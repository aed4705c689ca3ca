"""Distillation: a small BERT that learns from a larger BERT."""
