"""What the machine can do without us, and what we make of it: `python bench/run.py --help`."""
