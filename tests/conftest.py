"""Settings for all tests."""

from __future__ import annotations

import os
import sys
import threading
from typing import NamedTuple

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, settings

from tests.pauses import Pauses

# CI tries the same examples each time; a developer's machine tries new ones.
# A pause of the machine may decide no test, so the deadline of an example (in ms) is far from what it takes.
settings.register_profile("patient", deadline=10_000, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("build", settings.get_profile("patient"), derandomize=True)
settings.load_profile("build" if os.environ.get("CI") else "patient")

#: A test that failed while the machine paused for longer is run again, at most so many times. After a turn of the reactor that is
#: later than 0.25 s, a server refuses connections and marks reads as degraded, as it should.
_PAUSE_S_MAX, _REPEATS_MAX = 0.25, 2
#: In CI, a test that failed without a pause counts as passed if it then passes so many times one after the other. CI prints its
#: failure with the word UNSTEADY, so that it can be mended. After so many of them, the next one has failed.
_STEADY_PASSES, _UNSTEADY_MAX = 3, 3 if os.environ.get("CI") else 0
_repeated = pytest.StashKey[list[str]]()
_unsteady = pytest.StashKey[list[str]]()
_pauses = pytest.StashKey[Pauses]()


class _Run(NamedTuple):
    """One run of a test: its reports, the texts of what failed, and the pauses of the machine meanwhile."""

    reports: list[pytest.TestReport]
    failures: list[str]
    paused_s: float


def _run(item: pytest.Item, nextitem: pytest.Item | None) -> _Run:
    paused = item.config.stash[_pauses]
    before_s = paused.seconds
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    return _Run(reports, [report.longreprtext for report in reports if report.failed], paused.seconds - before_s)


def _run_again(item: pytest.Item, nextitem: pytest.Item | None, last: _Run) -> _Run:
    """Run a test with new fixtures of each scope. What fails at the end of the old ones is added to the last run."""
    try:
        item.session._setupstate.teardown_exact(None)
    except Exception as fault:  # a fixture of the module: it met the same pause
        last.failures.append(repr(fault))
    return _run(item, nextitem)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test; again if it failed while the machine paused, or in CI if it may be unsteady. Benchmarks run undisturbed."""
    if item.config.getoption("benchmark_only"):
        return None
    stash = item.config.stash
    if _pauses not in stash:
        stash[_pauses] = Pauses(threading.Event())
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    last = _run(item, nextitem)
    for _ in range(_REPEATS_MAX):
        if not last.failures or last.paused_s <= _PAUSE_S_MAX:
            break
        again = _run_again(item, nextitem, last)
        reasons = " / ".join(text.rstrip().rpartition("\n")[2] for text in last.failures)
        stash.setdefault(_repeated, []).append(f"{item.nodeid} ({last.paused_s:.1f} s; {reasons})")
        last = again
    if last.failures and len(stash.setdefault(_unsteady, [])) < _UNSTEADY_MAX:
        last = _steady(item, nextitem, last)
    for report in last.reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _steady(item: pytest.Item, nextitem: pytest.Item | None, failed: _Run) -> _Run:
    """The last of the runs that all passed, or the first one. A run that was skipped has not passed.

    The fixtures of the module stay (unless it was the module's last test): what an earlier test left in them may be the cause.
    """
    for _ in range(_STEADY_PASSES):
        again = _run(item, nextitem)
        if again.failures or not any(report.when == "call" and report.passed for report in again.reports):
            return failed
    reports = [report for report in failed.reports if report.failed]
    said = [text for report in reports for text in (report.longreprtext, *(text for _, text in report.sections))]
    item.config.stash[_unsteady].append("\n".join((item.nodeid, *said)))
    return again


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that were run again."""
    stash = terminalreporter.config.stash
    for repeated in stash.get(_repeated, []):
        terminalreporter.write_line(f"run again, because the machine paused: {repeated}")
    for unsteady in stash.get(_unsteady, []):
        terminalreporter.write_line(f"UNSTEADY: failed once, then passed {_STEADY_PASSES} times. Mend it: {unsteady}")


def pytest_sessionfinish() -> None:
    """Stop the thread pool of the reactor (it resolves names there): tests crash the reactor and never stop it."""
    reactor = sys.modules.get("twisted.internet.reactor")
    pool = getattr(reactor, "threadpool", None)
    if pool is not None:
        pool.stop()
