"""What axe-core, the engine of browsers' accessibility checks, has against a page that is open."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

WIDTHS, SCHEMES = (390, 1600), ("light", "dark")
GRAVE = ("serious", "critical")


def grave_faults(page: Page) -> list[str]:
    """Serious and critical violations on a phone and a wide screen, light and dark, what is folded away opened first."""
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    found = []
    for width, scheme in product(WIDTHS, SCHEMES):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found += [f"{width} {scheme}: {fault}" for fault in faults(page)]
    return found


def faults(page: Page) -> Iterator[str]:
    """Those of the page as it is shown now."""
    for one in Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]:
        if one["impact"] in GRAVE:
            yield f"{one['impact']} {one['id']}: {', '.join(str(node['target']) for node in one['nodes'])}"
