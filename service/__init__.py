"""Online work: HTTP, the pipeline, Redis state, incidents.

Importing it does nothing: no connection, no environment read.
"""
