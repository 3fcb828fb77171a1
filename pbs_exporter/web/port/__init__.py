"""Our own port as `[exporter] web_config_file` describes it: TLS, login, headers and the limit of requests.

The file is that of Prometheus's exporter-toolkit. `web_config` reads it with `yaml_tree`, `current` keeps the last good
one, `guard` decides about each request with `passwords` and `rate_limit`, and `tls` and `listener` make connections.
"""
