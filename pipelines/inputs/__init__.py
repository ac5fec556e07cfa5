"""Files, folders and tables of a user become items."""
