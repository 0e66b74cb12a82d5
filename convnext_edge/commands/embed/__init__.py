"""The command `embed`: an engine with all that an application in another language needs to use it.

command  the function, its options and its result
bundle   the engine's part of the folder: files, labels, and what a library must know, as plain text
archives what the build of C++ downloads
cpp      the C++ library with its sample and its build
mobile   what folders for Android and iOS have in common
android  the Gradle project
ios      the Swift package
servers  what model repositories of inference servers have in common
triton   the repository for NVIDIA Triton
ovms     the repository for OpenVINO Model Server
web      the page, the runtime beside it, and copies of both for a page that is opened from disk
"""
