import os
import signal
import threading
import time

import pytest

from synfundus.interrupts import interrupts_kept


class Finalized:
    """Ctrl-C arrives while it is finalized."""

    def __del__(self) -> None:
        self._close()

    def _close(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.001)  # the handler runs here


def test_an_interrupt_that_arrives_in_a_finalizer_is_not_lost() -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interrupts_kept():
        finalized = Finalized()
        del finalized
        time.sleep(5)
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_interrupt_elsewhere_is_raised_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), interrupts_kept():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)


def test_other_threads_may_use_it_and_have_no_signals() -> None:
    done: list[bool] = []

    def work() -> None:
        with interrupts_kept():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
