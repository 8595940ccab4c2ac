"""The loggers that log.py compares: how a module gets one, its statement, and how it is switched on and off.

Only the process that times a library's rows imports that library.
"""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple, TextIO

LEVELS = {False: logging.INFO, True: logging.DEBUG}


class Library(NamedTuple):
    header: str
    """The first lines of a module."""
    statement: tuple[str, str]
    """Replacements in the templates."""
    configure: Callable[[Any, bool, TextIO], None]
    """Makes the module's debug statements do nothing, or write to a stream."""
    value: str
    """A regular expression that finds the logged value in a line."""


def logging_to(module: Any, on: bool, stream: TextIO) -> None:
    for handler in module.logger.handlers[:]:
        module.logger.removeHandler(handler)
    module.logger.addHandler(logging.StreamHandler(stream))
    module.logger.propagate = False
    module.logger.setLevel(LEVELS[on])


def structlog_to(module: Any, on: bool, stream: TextIO) -> None:
    """Configure structlog as its documentation advises for speed, with the standard library's JSON."""
    import structlog

    structlog.configure(
        cache_logger_on_first_use=True,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[on]),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    module.logger = structlog.get_logger()  # the old one may keep the old configuration


def uncached_structlog_to(module: Any, on: bool, stream: TextIO) -> None:
    """Configure structlog with its defaults, except for the level and the stream."""
    import structlog

    structlog.reset_defaults()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[on]),
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    module.logger = structlog.get_logger()


def loguru_to(module: Any, on: bool, stream: TextIO) -> None:
    module.logger.remove()
    module.logger.add(stream, level=LEVELS[on])


def loguru_of_a_library_to(module: Any, on: bool, stream: TextIO) -> None:
    module.logger.remove()
    module.logger.add(stream, level=logging.DEBUG)
    (module.logger.enable if on else module.logger.disable)(module.__name__)


LOGGING = Library(
    "import logging\nlogger = logging.getLogger(__name__)", ("LOG(", "logger.debug("), logging_to, "^(.*)$"
)
GUARDED = LOGGING._replace(statement=("LOG(", "if logger.isEnabledFor(logging.DEBUG): logger.debug("))
STRUCTLOG = Library(
    "import structlog\nlogger = structlog.get_logger()",
    ('LOG("%s", ', 'logger.debug("seen", it='),
    structlog_to,
    '^{"it": (.*), "event": "seen", ',
)
UNCACHED_STRUCTLOG = STRUCTLOG._replace(configure=uncached_structlog_to, value="seen .*it[^=]*=(?:\033\\[.*?m)?(\\w+)")
LOGURU = Library("from loguru import logger", ('LOG("%s", ', 'logger.debug("{}", '), loguru_to, " - (.*)$")
LOGURU_OF_A_LIBRARY = LOGURU._replace(configure=loguru_of_a_library_to)
