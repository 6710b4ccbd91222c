"""The graph of an exported model: its operations by name, and which of them an output comes from."""

import openvino as ov


def number_operations(model: ov.Model) -> None:
    """Name the model and its operations by what they are and where they stand, so that equal models are equal files."""
    model.set_friendly_name("shelfwise")
    for number, operation in enumerate(model.get_ordered_ops()):
        # The libraries count over the life of the process.
        operation.set_friendly_name(f"{operation.get_type_name()}_{number}")


def before(model: ov.Model, output: str) -> dict[str, ov.Node]:
    """The operations that an output comes from, by name; constants are none."""
    found: dict[str, ov.Node] = {}
    pending = [model.output(output).get_node()]
    while pending:
        operation = pending.pop()
        name = operation.get_friendly_name()
        if name not in found and operation.get_type_name() != "Constant":
            found[name] = operation
            pending += [given.get_source_output().get_node() for given in operation.inputs()]
    return found
