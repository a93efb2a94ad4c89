"""Settings for all tests."""

from __future__ import annotations

import os
import sys
import threading

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
_repeated = pytest.StashKey[list[str]]()
_pauses = pytest.StashKey[Pauses]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test; again, with new fixtures of each scope, if it failed while the machine paused. Benchmarks run undisturbed."""
    if item.config.getoption("benchmark_only"):
        return None
    stash = item.config.stash
    if _pauses not in stash:
        stash[_pauses] = Pauses(threading.Event())
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for number in range(1 + _REPEATS_MAX):
        before_s = stash[_pauses].seconds
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        failed = [report.longreprtext for report in reports if report.failed]
        paused_s = stash[_pauses].seconds - before_s
        if number == _REPEATS_MAX or paused_s <= _PAUSE_S_MAX or not failed:
            break
        try:
            item.session._setupstate.teardown_exact(None)
        except Exception as fault:  # a fixture of the module: it met the same pause
            failed.append(repr(fault))
        reasons = " / ".join(text.rstrip().rpartition("\n")[2] for text in failed)
        stash.setdefault(_repeated, []).append(f"{item.nodeid} ({paused_s:.1f} s; {reasons})")
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that were run again."""
    for repeated in terminalreporter.config.stash.get(_repeated, []):
        terminalreporter.write_line(f"run again, because the machine paused: {repeated}")


def pytest_sessionfinish() -> None:
    """Stop the thread pool of the reactor (it resolves names there): tests crash the reactor and never stop it."""
    reactor = sys.modules.get("twisted.internet.reactor")
    pool = getattr(reactor, "threadpool", None)
    if pool is not None:
        pool.stop()
