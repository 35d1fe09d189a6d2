"""The tests; a package, so that no installed package of this name hides it from the processes that tests start."""
