"""Every figure the README quotes, one script each, with the peers it is measured against."""
