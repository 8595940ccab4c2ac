"""For uWSGI, without JUMPLABEL_SERVE: the master serves, and each of its workers."""

import os

import uwsgidecorators

import jumplabel

SOCKETS = os.path.join(os.environ["SHOP_FOLDER"], "sockets")
jumplabel.serve(SOCKETS)


@uwsgidecorators.postfork
def serve() -> None:
    jumplabel.serve(SOCKETS)


from shop_wsgi import application  # noqa: E402, F401
