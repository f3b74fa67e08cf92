"""Tool `example/fileline`: makes sure that a file holds a line."""

from autoexec_sdk import Change, Effect, Failure, Tool, filesystem, log, option, output, result


class FileLine(Tool):
    """Makes sure that a file holds a line."""

    class Options:
        path: str = option("File of the runner", kind="filepath")
        line: str = option("Line that it shall hold")

    class Outputs:
        changed = result("Whether the file was changed")

    def run(self, call):
        path, line = call.options.path, call.options.line
        lines = lines_of(path, line)
        if line in lines:
            log.info(f"{path} holds the line already")
        else:
            filesystem.write(path, "\n".join([*lines, line, ""]))
            log.info(f"{path}: added the line")
        output.set("changed", line not in lines)
        return f"{path} holds the line"

    def check(self, call):
        path, line = call.options.path, call.options.line
        return [] if line in lines_of(path, line) else [Change(f"line of {path}", None, line)]

    def probe(self, call):
        path, line = call.options.path, call.options.line
        return Effect.COMPLETE if line in lines_of(path, line) else Effect.NONE


def lines_of(path, line):
    if "\n" in line:
        raise Failure("option `line`: it must be one line", "invalid-option", 2, option="line")
    return filesystem.read_text(path).splitlines() if filesystem.exists(path) else []
