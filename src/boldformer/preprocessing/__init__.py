"""Pure functions on arrays that turn a raw run into a clean one."""
