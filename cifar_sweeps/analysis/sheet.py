"""A picture that is drawn pixel by pixel, without matplotlib. Imports no torch: reports of studies have such ones."""

from dataclasses import dataclass, field

from PIL import Image


@dataclass
class Sheet:
    """A drawn sheet. missing: letters that no font here has, which are drawn as boxes. is_chart: it shows no photo."""

    image: Image.Image
    missing: set[str] = field(default_factory=set)
    is_chart: bool = False
