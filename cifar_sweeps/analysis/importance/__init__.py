"""What mattered among the settings of a sweep: shares of variance, importance in searches, the best so far."""
