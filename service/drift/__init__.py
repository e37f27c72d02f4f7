"""How far a source has moved from what its live version was trained on, and the proposal to train again."""
