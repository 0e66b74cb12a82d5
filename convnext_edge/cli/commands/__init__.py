"""The commands, by theme; importing a module of them puts them into the group."""
