"""What a source could be for a log that nobody has described yet: proposed from its lines, with a preview."""
