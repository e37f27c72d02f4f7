"""DeepLog's parameter-value model (Du et al., CCS 2017, section 3.2): the numbers in a line from those of its template
before it."""
