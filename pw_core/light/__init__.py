"""What light things keep from the table and from what stands behind: cast from particles, laid over pictures."""
