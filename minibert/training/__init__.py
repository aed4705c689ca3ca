"""One training loop that knows nothing of BERT, and what it needs."""
