"""How good the song files are: 20 generated songs, seeds not used in tuning, ours beside UltraSinger's method."""
