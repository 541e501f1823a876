"""A self-contained page: one template's look, plotly.js and our scripts inside, and everything that comes from a run escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from sweep.reading.dependence import level_text
from sweep.reading.words import brief, ends, interval, mean, number


def render(
    template: str,
    context: Mapping[str, Any],
    scripts: Iterable[str] = ("page.js",),
    whole: bool = True,
    charts: bool = True,
    room: str = "sweep.page",
) -> str:
    """The page that a template makes of the context, `scripts` of this folder included, and plotly.js if it has `charts`.

    The template is a file of this folder or of another `room`, which may extend and include those of this one.
    The page's policy lets these very scripts run, by their hashes, and no other. Not `whole`: without any script. An unknown
    name in the template is an error.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name, ".") for name in dict.fromkeys((room, "sweep.page"))]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "interval": interval, "mean": mean, "ends": ends, "setting": _setting}
    environment.filters |= {"script_json": script_json, "level_text": level_text}
    sources = []
    if whole and charts:
        sources.append(plotly())
    if whole:
        sources.append("".join(own_script(name) for name in scripts))
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in sources]
    allowed = " ".join(f"'sha256-{h}'" for h in hashes) or "'none'"
    return environment.get_template(template).render(
        {**context, "scripts": list(map(Markup, sources)), "allowed": allowed}
    )


def _setting(value: object) -> str:
    return "—" if value is None else brief(value, 4) if isinstance(value, float) else str(value)


@lru_cache(maxsize=1)
def plotly() -> str:
    """plotly.js as it can stand in a script element."""
    return str(get_plotlyjs()).replace("</script", "<\\/script").replace("\r\n", "\n")


def own_script(name: str) -> str:
    """A script of this folder as it can stand in a script element; ValueError where it would end the element."""
    text = (files("sweep.page") / name).read_text(encoding="utf-8")
    if "</script" in text or "<!--" in text:
        raise ValueError(f"{name}: a script of a page cannot hold </script or <!--")
    return text


def script_json(value: object) -> Markup:
    """JSON that is safe inside a script element: no character of it can end the element or open a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # nothing is left that HTML could read as markup
