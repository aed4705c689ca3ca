"""Fine-tuning: a head on a pretrained body, trained, scored, and saved."""
