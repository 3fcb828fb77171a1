"""Rules, dashboards and the status page, in real Prometheus, Alertmanager and Chromium."""
