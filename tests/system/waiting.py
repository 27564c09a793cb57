# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition, never for a time."""
import select
import time


def wait_for(condition, seconds=30.0, what="condition"):
    """Polls until condition() is true; its value. The interval only bounds the polling rate."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what() if callable(what) else what}")
        select.select([], [], [], 0.02)
