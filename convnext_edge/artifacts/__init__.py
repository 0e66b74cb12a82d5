"""Artifacts: the files that commands write, each with a sidecar that says what it is and how it was made.

What is in such a file is the business of the packages above; here it is bytes.
"""
