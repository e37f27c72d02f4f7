"""One room for each step of a batch's way: intake, parse, windows, score, judge, report."""
