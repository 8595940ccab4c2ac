"""Which statements instrumented() lists as logging statements that were left."""

import pytest

from jumplabel._instrument.mark_statements import mark
from jumplabel._instrument.options import Options

OTHERS = [
    "future.exception()",
    "self.task.exception()",
    "done.exception(timeout=3)",
    "results.error()",
    "results.error('text')",
    "self.results.error(x)",
    "self.critical(x)",
    "self.error('text %s', x)",
    "cls.warning('text')",
    "parser.error('text')",
    "self.parser.error(f'{x}')",
    "math.log(x)",
    "math.log(x, 2)",
    "np.log(x, out=x)",
    "self.np.log(x, y)",
    "QMessageBox.critical(self, 'a', 'b')",
    "self.dialog.error('text')",
    "catalog.info(x)",
    "messages.info(request, 'text')",
    "warnings.warn('text')",
    "event.info()",
    "self.bar.debug()",
]


@pytest.mark.parametrize("statement", OTHERS)
@pytest.mark.parametrize("options", [Options(), Options(only_pure=True)])
def test_methods_of_other_objects_are_not_listed(statement: str, options: Options) -> None:
    names = "self, cls, x, y, request, future, done, results, parser, catalog, messages, warnings, event, math, np"
    source = f"def f({names}, QMessageBox):\n    {statement}\n"
    assert mark(source.encode(), "shop.py", options).left == []


@pytest.mark.parametrize("statement", ["parser.error(f'{x()}')", "np.log(x(), x())", "pool.exception('a', x())"])
def test_methods_of_globals_that_are_no_loggers_are_not_listed(statement: str) -> None:
    source = f"import numpy as np\nparser = ArgumentParser()\npool = Pool(3)\ndef f(x):\n    {statement}\n"
    assert mark(source.encode(), "shop.py", Options(only_pure=True)).left == []


LOGGERS = [
    "self.log.debug('a')",
    "self.logger.exception(x)",
    "self._log.error(x)",
    "app.logger.critical(x)",
    "current_app.logger.info('a')",
    "LOG.info(x)",
    "access_log.info(x)",
    "accessLog.info(x)",
    "syslog.error('a')",
    "mylogger2.error(x)",
    "lg.warning(x)",
    "request.debug('a %s', x)",
    "spam.info(x)",
    "self.spam.info(x)",
    "ham.info(x)",
    "audit.critical(x)",
    "trail.critical(x)",
    "self.log.log(x, 'a')",
    "audit.log(*x)",
]


@pytest.mark.parametrize("statement", LOGGERS)
def test_methods_of_loggers_are_listed(statement: str) -> None:
    source = f"""\
def f(self, app, current_app, LOG, access_log, accessLog, syslog, mylogger2, lg, request, x, audit: logging.Logger):
    spam = logging.getLogger("a")
    self.spam = spam.getChild("b")
    ham: "logging.LoggerAdapter" = make()
    from loguru import logger as trail
    {statement}
"""
    assert [line for line, _ in mark(source.encode(), "shop.py", Options()).left] == [6]


@pytest.mark.parametrize("statement", ["logger.exception()", "logger.debug()", "logger.log(10)", "logger.log()"])
def test_a_statement_that_a_logger_would_refuse_stays(statement: str) -> None:
    """It raises TypeError. As a site that is off it would not."""
    found = mark(f"def f():\n    {statement}\n".encode(), "shop.py", Options())
    assert (found.marks, found.left) == (0, [])


@pytest.mark.parametrize(
    "statement", ["logger.info(msg='a')", "logger.info(event='a')", "logger.debug(*x)", "spam.info(x)"]
)
def test_an_object_that_can_be_found_gets_a_site_whatever_its_name(statement: str) -> None:
    assert mark(f"def f(x):\n    {statement}\n".encode(), "shop.py", Options()).marks == 1
