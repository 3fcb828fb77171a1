"""What `pbs-exporter` can be told to do, a file for each."""
