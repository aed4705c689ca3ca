"""Using a BERT: blanks filled in, texts written and scored, sentences as vectors."""
