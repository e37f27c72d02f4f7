"""Templates: the constant part of log messages, their stable ids, how they are mined, and how well."""
