"""What the tests do in a notebook's kernel after each cell: every control of a new widget is moved once, and back.

The picture must change, then be what it was, and no error may appear below it.
"""

import sys

done = set()
"""The widgets that have been turned, by their identity in the kernel."""


def after_a_cell():
    """Turn the widgets that the cell has made. Whatever number of threads it has asked for, a worker has one core."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "course_lib.lab.widgets" not in sys.modules:
        return
    from ipywidgets.widgets.widget import _instances

    new = [widget for key, widget in list(_instances.items()) if key not in done]
    done.update(_instances)
    for widget in new:
        turn(widget)


def turn(widget):
    """Turn an `Explorer` or a `MaskEditor`; other widgets are parts of these."""
    kind = type(widget).__name__
    if kind == "Explorer":
        assert widget.controls, "a widget without a control"
        for control in widget.controls.values():
            move(widget, control, next(value for value in values_of(control) if value != control.value))
    elif kind == "MaskEditor":
        move(widget, widget.board[0], not widget.board[0].value)


def values_of(control):
    """The values that a control may take: the options of a choice, both of a button."""
    return [option[1] if isinstance(option, tuple) else option for option in control.options]


def move(widget, control, value):
    """Give a control another value, and its own again; AssertionError unless the picture follows."""
    what = control.description or control.tooltip
    before, start = bytes(widget.picture.value), control.value
    control.value = value
    shown = widget.message.value
    assert "Error" not in shown, f"{what} = {value!r}: {shown}"
    assert bytes(widget.picture.value) != before, f"{what} = {value!r}: the picture does not change"
    control.value = start
    if type(widget).__name__ == "Explorer":
        assert bytes(widget.picture.value) == before, f"{what} = {start!r} again: another picture"
