"""Reports of a study: tables, plots, Markdown, an HTML page, tables for the terminal."""
