"""What tests share, in files named for what they give."""
