"""``python -m jumplabel bench``: run the scripts in the folder above, and report their results."""
