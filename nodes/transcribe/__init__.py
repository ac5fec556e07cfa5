"""Words and when they are said."""
