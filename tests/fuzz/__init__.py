"""Bytes from anywhere against everything that decodes them: ``python -m tests.fuzz``."""
