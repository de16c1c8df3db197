"""Escape and shorten text for matplotlib."""


def escape_mathtext(text: str) -> str:
    """Escape text so that matplotlib draws it literally: text between dollar signs would be parsed as a formula."""
    # Browsers refuse an SVG with a control character.
    printable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return printable.replace("$", r"\$")


def shortened(text: str, length: int) -> str:
    """Escape a text, without its middle if it has more letters than ``length``: long names often begin alike."""
    half = length // 2
    return escape_mathtext(text if len(text) <= length else f"{text[:half]}…{text[-(length - half - 1) :]}")
