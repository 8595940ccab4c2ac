"""A configuration of gunicorn that patches as soon as it is read: in the master, before any application is loaded."""

import gevent.monkey

gevent.monkey.patch_all()
