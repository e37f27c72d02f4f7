"""What live traffic looked like, kept in capped files beside the service: written here, read by ``models.spool``."""
