"""Reports of a study: tables, plots, Markdown, an HTML page, and tables for the terminal."""
