"""Public data sets: where their publishers keep them, how they are fetched, and how they become logs with labels."""
