"""Boards and curves as pictures."""
