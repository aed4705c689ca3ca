"""Text on its way to batches: archives, corpora."""
