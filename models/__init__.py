"""What is learned and how it judges: the ground floor, pure code that training and the service share to the letter.

No network, no Redis, no clock; torch only in files named ``network.py``.
"""
