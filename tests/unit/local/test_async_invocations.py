"""What is invoked asynchronously waits for its turn; what is invoked synchronously does not."""

from __future__ import annotations

import threading
import time
from contextvars import copy_context
from typing import Any

import pytest

from scripts.local import async_invocations


def test_asynchronous_invocations_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_invocations, "_room", threading.BoundedSemaphore(2))
    lock, inside, at_once = threading.Lock(), set[Any](), list[int]()

    def execute(_function: Any, event: Any) -> None:
        with lock:
            inside.add(event["number"])
            at_once.append(len(inside))
        time.sleep(0.05)
        with lock:
            inside.remove(event["number"])

    in_turn = async_invocations._in_turn(execute)
    threads: list[threading.Thread] = []

    def start(function: Any, event: Any) -> None:  # as MiniStack does
        thread = threading.Thread(target=copy_context().run, args=(in_turn, function, event))
        thread.start()
        threads.append(thread)

    invoke = async_invocations._marked(start)
    for number in range(8):
        invoke({}, {"number": number})
    for thread in threads:
        thread.join()
    assert max(at_once) == 2
    assert len(at_once) == 8
    # None of it is left behind: whoever started them does not wait.
    for _ in range(2):
        async_invocations._room.acquire()
    in_turn({}, {"number": 8})
    assert len(at_once) == 9
