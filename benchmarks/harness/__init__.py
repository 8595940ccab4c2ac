"""``python -m jumplabel bench``: runs the scripts in the folder above, and reports what they measure."""
