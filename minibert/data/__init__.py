"""Text to batches: corpora, masking, sentence pairs, shards, streams; labelled texts and tasks."""
