"""Pretraining: recipes, objectives, and the run from a corpus to a BERT in a folder."""
