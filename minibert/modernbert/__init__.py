"""ModernBERT: BERT with what the six years after it brought."""
