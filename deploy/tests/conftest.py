"""What the deployment tests share."""
