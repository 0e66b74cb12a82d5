"""Engines on other machines: the way there, the program that answers there, and the session that asks it.

A device is reached by the user's own `ssh` or `adb`; nothing listens on a port, and nothing stays there. What
a command does with the answers is no business of this folder.
"""
