"""HTTP to one PBS: connections, token authentication, TLS, request limits and decoding."""
