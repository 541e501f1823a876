"""A self-contained page: one template's look, plotly.js inside, and everything that comes from a run escaped."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from sweep.wording import interval, number


def render(template: str, context: Mapping[str, Any]) -> str:
    """The page that a template of this package makes of the context, plotly.js included. An unknown name is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sweep", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "interval": interval, "script_json": script_json}
    plotly = Markup(get_plotlyjs().replace("</script", "<\\/script"))
    return environment.get_template(template).render({**context, "plotly": plotly})


def script_json(value: object) -> Markup:
    """JSON that is safe inside a script element: no character of it can end the element or open a comment."""
    text = json.dumps(value, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # nothing is left that HTML could read as markup


def replace(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    os.replace(temporary, path)
