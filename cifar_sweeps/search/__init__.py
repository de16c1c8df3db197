"""Search: which job of a sweep is started next, which is paused, and which paused one goes on."""
