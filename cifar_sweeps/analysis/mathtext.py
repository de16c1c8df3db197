"""Escape text for matplotlib."""


def escape_mathtext(text: str) -> str:
    """Escape text so that matplotlib draws it literally: text between dollar signs would be parsed as a formula."""
    # Browsers refuse an SVG with a control character.
    printable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return printable.replace("$", r"\$")
