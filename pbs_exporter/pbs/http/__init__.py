"""HTTP to one PBS: connections, login, TLS, limits, and decoding."""
