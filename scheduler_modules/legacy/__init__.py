"""The old command line and class of `scheduler.py`, each call handed to the module that owns it."""
