"""Rivals: what users of other libraries get from the same model, made and timed beside ours.

A rival is a row of `registry` and a function of a module in `recipes`, which calls the library as its
documentation does. It works in a process of its own (`worker`), in an environment of its own where its
packages exclude ours. So `rival`, `worker` and `recipes` import nothing of this package but each other at the
top: no rival's environment has the rest of what we need. Ours are contenders among them. No model that we
ship is made here.
"""
