"""The results page: every measurement, its tables and its pictures, made by one command."""
