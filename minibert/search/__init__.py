"""Search: vectors of sentences that were trained to find the text that belongs to a question."""
