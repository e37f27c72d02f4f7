"""What survives which fault: ``python -m tests.faults`` (``make faults``), and a short part of it in ``make test``."""
