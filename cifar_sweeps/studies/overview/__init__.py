"""What there is: the studies and arms in `conf/`, and the sweeps that were recorded."""
