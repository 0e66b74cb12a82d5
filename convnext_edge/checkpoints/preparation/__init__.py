"""How the images of a checkpoint are prepared: read from beside it, or as the library of its layout does.

`found` decides which; the other modules know one library each. What a library names is not kept: what comes
out is a `Preprocessing`, whose values any library can be told by.
"""
