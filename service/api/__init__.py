"""The HTTP surface: bodies in, answers out. Every route is thin; the work is done in ``service.pipeline``."""
