"""From an input's own properties to fields: names, units, shapes, elements, and what is plainly wrong."""
