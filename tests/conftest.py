from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, or a skip where POINTILLIST_DATA does not name one."""
    folder = os.environ.get("POINTILLIST_DATA")
    if not folder:
        pytest.skip("POINTILLIST_DATA is not set")
    return Path(folder)
