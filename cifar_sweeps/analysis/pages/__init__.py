"""Self-contained HTML pages: one style, tables and figures, no external files and no scripts."""
