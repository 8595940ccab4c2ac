"""The process: its clocks, threads, locks and sockets as the system has them, its forks, and its environment.

In here: what works alike with and without gevent, freezegun and uWSGI. ``forks.py`` says what is done in the child of a
fork. May not know: keys and sites. Other rooms tell this one what to do in a child.
"""
