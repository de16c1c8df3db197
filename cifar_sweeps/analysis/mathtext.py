"""What a person wrote, as matplotlib draws it letter for letter."""


def escape_mathtext(text: str) -> str:
    """Return text that is drawn as it reads: between dollars matplotlib would read a formula, or raise."""
    # A control character makes an SVG that no browser opens.
    printable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return printable.replace("$", r"\$")
