"""The process: its clocks, threads, locks and sockets as the system has them, its forks, and its environment.

In here: what holds whatever gevent, freezegun or uWSGI replace. ``forks.py`` says what is done in the child of a fork.
May not know: keys and sites; other rooms tell this one what to do in a child.
"""
