"""The jobs of a sweep that tries all combinations: zips, the product, and rules that leave jobs out."""
