"""What came out of the recorded runs: tables of results, claims put to the test, the report of a study."""
