"""The loop's panel in the words of a user: train, wait, look, correct."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.browser.conftest import Page
from tests.patience import PATIENCE_S

_SEEN = 0.01  # share of the pixels


def train(page: Page, method: str, minutes: float) -> None:
    """Fill in the form and press Train, once the methods are known."""
    form = page.tab.locator("form.train")
    form.wait_for()
    form.locator("select").select_option(method)
    form.get_by_label("Minutes").fill(str(minutes))
    form.get_by_role("button", name="Train").click()


def card(page: Page, run: str) -> Any:
    """What the page shows of a run."""
    return page.tab.locator(".run", has=page.tab.get_by_role("button", name=run, exact=True))


def wait_for(page: Page, run: str) -> None:
    """Wait until a run has ended and its prediction lies over the image."""
    card(page, run).get_by_role("button", name="Show", pressed=True).wait_for(timeout=1000 * PATIENCE_S)
    card(page, run).get_by_text("finished").wait_for()


def lies_over_the_image_if_found(page: Page, found: np.ndarray) -> bool:
    """Whether the prediction is seen exactly where it is more than background; after a few slow steps it may not be.

    Args:
        page: with a run's prediction.
        found: the classes of the image or slice that is shown.
    """
    return lies_over_the_image(page, "Prediction") == bool((found > 0).mean() > _SEEN)


def lies_over_the_image(page: Page, what: str) -> bool:
    """Whether the picture is another one with the overlay than without."""
    button = page.tab.get_by_role("button", name=what, exact=True)
    if button.get_attribute("aria-pressed") == "false":
        button.click()
    shown = page.picture()
    page.keys("o")
    hidden = page.picture()
    page.keys("o")
    return bool((np.abs(shown - hidden).max(axis=2) > 20).mean() > _SEEN)
