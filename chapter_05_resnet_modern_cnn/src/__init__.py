"""The code of chapter 5."""
