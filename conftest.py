"""For every test: a test that does not run is a failure, so that nothing is ever skipped in silence."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why the session fails."""
    for report in _unrun(terminalreporter):
        terminalreporter.write_line(f"NOT RUN {report.nodeid}: {report.longrepr}", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session that skipped a test, or expected one to fail."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and _unrun(reporter) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _unrun(reporter: pytest.TerminalReporter) -> list[pytest.TestReport]:
    return [*reporter.stats.get("skipped", ()), *reporter.stats.get("xfailed", ())]
