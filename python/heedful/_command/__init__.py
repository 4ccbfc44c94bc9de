"""What `python -m heedful` runs."""
