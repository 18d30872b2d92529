"""Which names the cells of a notebook define and use, and the few cells that its exercises need."""

import symtable

from nbformat import from_dict

from course_lib.tools.student import checks_of
from course_lib.tools.tidy import has_tag


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def scopes(table):
    """A symbol table and those of the functions and comprehensions in it."""
    return [table, *(scope for child in table.get_children() for scope in scopes(child))]


def names_in(cells):
    """(what the cells define, what they use of the notebook's names); what is local to a function is neither."""
    defined, used = set(), set()
    for cell in cells:
        top, *inner = scopes(symtable.symtable(cell.source, "cell", "exec"))
        defined |= {name.get_name() for name in top.get_symbols() if name.is_assigned() or name.is_imported()}
        used |= {name.get_name() for name in top.get_symbols() if name.is_referenced()}
        used |= {name.get_name() for table in inner for name in table.get_symbols() if name.is_global()}
    return defined, used


def exercises_alone(notebook):
    """The notebook with its set-up cell, its exercises, their solutions, and the cells that define what these use."""
    setup, *cells = code_cells(notebook)
    kept, wanted = [], set()
    for cell in reversed(cells):
        defined, used = names_in([cell])
        asked = has_tag(cell, "solution") or checks_of(cell.source)
        if asked or (defined & wanted and not has_tag(cell, "claim")):
            kept, wanted = [cell, *kept], wanted - defined | used
    return from_dict(notebook | {"cells": [setup, *kept]})
