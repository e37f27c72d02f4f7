"""DeepLog's log-key model (Du et al., CCS 2017): the next key, and the end, of a session from the keys before it."""
