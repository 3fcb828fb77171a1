"""The web service: `/metrics`, `/health`, `/`."""
