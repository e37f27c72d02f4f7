"""LogAnomaly (Meng et al., IJCAI 2019): the next key from the order, meaning and counts of those before it."""
