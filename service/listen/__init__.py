"""Listeners beside HTTP: what comes in by syslog and Kafka, gathered and handed to the core in batches."""
