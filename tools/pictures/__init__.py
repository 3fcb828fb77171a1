"""Draw the pictures of docs/pictures: see `make pictures`."""
