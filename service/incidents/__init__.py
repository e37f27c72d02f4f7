"""Incidents and what people say of them."""
