"""All collectors against one deadline, into one page."""
