"""Shippers' protocols: bytes to entries, and entries to the records of a source. No input and output."""
