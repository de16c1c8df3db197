"""What mattered in a sweep or study: which swept keys a metric depends on, from its runs."""
