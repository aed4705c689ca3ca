"""What a BERT learned: heads in numbers, interventions, probes, grammar."""
