"""From overrides to a composed config, to a checked one, to the objects that it names. Imports nothing by itself."""
