"""Every figure of docs/figures.md, one script each, with the peers it is measured against."""
