"""What a data set holds: duplicates, statistics of its pixels, sheets of its images."""
