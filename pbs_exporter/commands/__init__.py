"""The commands of `pbs-exporter`: one file each."""
