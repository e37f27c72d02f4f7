"""What live traffic looked like, as columns that any version of the same template tree can judge again."""
