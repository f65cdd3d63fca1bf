"""What Hydra and OmegaConf say, as one line of ours."""

from __future__ import annotations

import re

from suite.config.choices import nearest
from suite.config.design import known_keys


def one_line(error: Exception) -> str:
    """Their many-line messages as one, with the nearest valid key where a key is at fault."""
    text = " ".join(str(error).split())
    cause = error.__cause__
    if cause is not None and str(cause).split() and " ".join(str(cause).split()) not in text:
        text += " " + " ".join(str(cause).split())
    wrong_key = re.search(r"Key '([^']+)' (?:is )?not in", text)
    full_key = re.search(r"full_key: (\S+)", text)
    place = re.search(r"In '([^']+)'", text)
    where = f"{place.group(1)}: " if place else ""
    if wrong_key:
        key = full_key.group(1) if full_key else wrong_key.group(1)
        return f"{where}there is no key {key!r}; the nearest is {nearest(key, known_keys())!r}"
    if full_key:
        return f"{where}{full_key.group(1)}: {re.split(' full_key:', text.split('composing config: ')[-1])[0]}"
    return text.split(" See https://")[0]
