"""Tool `example/fileline`: makes sure that a file holds a line."""

from autoexec_sdk import Change, Effect, Failure, Tool, filesystem, group, http, log, option, output, random, result

MOST = 256 << 20


class Remote:
    """Where the file comes from and goes to. Several tools may have these options in common."""

    begin: str | None = option("URL of what the file begins with when it does not exist")
    copy: str | None = option("URL that gets the file afterwards, with PUT")


class FileLine(Tool):
    """Makes sure that a file holds a line."""

    class Options:
        path: str = option("File of the runner", kind="filepath")
        line: str = option("Line that it shall hold")
        remote = group(Remote)

    class Outputs:
        changed = result("Whether the file was changed")
        copied = result("Bytes that were copied")

    def run(self, call):
        path, line, remote = call.options.path, call.options.line, call.options.remote
        checked(line)
        if remote.begin and not filesystem.exists(path):
            # Bodies are handed on piece by piece: they need not fit into the memory of the tool.
            size = http.get(remote.begin).require_success().save(path, MOST)
            log.info(f"{path}: {size} bytes of {remote.begin}")
        is_there, begun = look(path, line)
        if not is_there:
            filesystem.append(path, f"{chr(10) if begun else ''}{line}\n")
            log.info(f"{path}: added the line")
        else:
            log.info(f"{path} holds the line already")
        if remote.copy:
            http.put(remote.copy, file=path, headers={"x-request-id": random.token(8).hex()}).require_success()
        output.put(changed=not is_there, copied=filesystem.stat(path).size if remote.copy else 0)
        return f"{path} holds the line"

    def check(self, call):
        path, line, remote = call.options.path, checked(call.options.line), call.options.remote
        if remote.begin and not filesystem.exists(path):
            return [Change.created(path, remote.begin), Change.created(f"line of {path}", line)]
        return [] if look(path, line)[0] else [Change.created(f"line of {path}", line)]

    def probe(self, call):
        if not look(call.options.path, checked(call.options.line))[0]:
            return Effect.NONE
        # The file does not say whether it was copied.
        return Effect.UNKNOWN if call.options.remote.copy else Effect.COMPLETE


def checked(line):
    if "\n" in line:
        raise Failure("option `line`: it must be one line", "invalid-option", 2, option="line")
    return line


def look(path, line):
    """Whether the file has the line, and what its last line has begun with. No more of the file than a piece is kept."""
    wanted, begun = line.encode(), b""
    for piece in filesystem.chunks(path) if filesystem.exists(path) else []:
        *lines, begun = (begun + piece).split(b"\n")
        if wanted in lines:
            return True, begun
    return begun == wanted, begun
