"""What the tests of inputs share."""

from pipelines.inputs.items import find_items

RATE = 8000


def items(spec, text=None, ports=("audio",)):
    return find_items(str(spec) if spec else None, text, {}, dict.fromkeys(ports, "")).items
