"""Log files followed into a running service: lines over rotation, places that were acknowledged, what is sent."""
