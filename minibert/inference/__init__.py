"""Using a BERT: filling blanks, writing and scoring texts, sentence vectors."""
