"""Results of recorded runs: tables, tests of published claims, and reports of studies."""
