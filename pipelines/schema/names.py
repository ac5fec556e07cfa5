"""Names of files and folders made from what a user wrote: titles, items, texts."""

from __future__ import annotations

import re
import unicodedata

#: No system gives these a meaning of their own: what Windows reserves is shorter. They need no library, which takes 25 ms to load.
_PLAIN = re.compile(r"[A-Za-z]{4}|[A-Za-z0-9][A-Za-z0-9 _-]{3,117}[A-Za-z0-9]")
#: Control and format characters, line and paragraph separators: nothing that a reader sees.
_INVISIBLE = ("Cc", "Cf", "Zl", "Zp")


def safe_name(text: str, otherwise: str = "item") -> str:
    """`text` as the name of one file or folder on every system: visible, not hidden, at most 120 bytes of UTF-8 (NFC).

    Letters of any script are kept. What is invisible or has a meaning in paths becomes `_`, and a name that Windows reserves
    has `_` appended. A `-`, which commands take for an option, does not stand first. `otherwise` is for where nothing is left.

    >>> safe_name("AC/DC - Où?"), safe_name("con"), safe_name("...")
    ('AC_DC - Où_', 'con_', 'item')
    """
    if _PLAIN.fullmatch(text):
        return text
    from pathvalidate import sanitize_filename

    normal = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    visible = "".join("_" if unicodedata.category(char) in _INVISIBLE else char for char in normal)
    name = sanitize_filename(visible, replacement_text="_", platform="universal")
    return name.encode()[:120].decode("utf-8", "ignore").lstrip(" .-").rstrip(" .") or otherwise
