"""The recorded sample: a private PostgreSQL server under a scripted shop workload, with faults at known sessions.

Owns the recorder (``python -m training.sample.record``) and what it recorded (``postgres.log.gz``, ``labels.csv``).
Knows no detector: the log and the labels are read like any other data set.
"""
