"""Coroutines in tests."""

import asyncio
from concurrent.futures import ThreadPoolExecutor


def in_a_loop_of_its_own(coroutine):
    """Its result, from a thread of its own: Playwright keeps a loop running in the tests' thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
