# -*- coding: utf-8 -*-
"""What a Python script can ask of its surroundings: outputs, live data, nodes, a person.

Standard library only, Python 2.7 and 3.

    import os, sys
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
    import AutoExecUtils

    AutoExecUtils.setEnv()
    AutoExecUtils.saveOutput({'answer': 42})
"""
from __future__ import print_function

import errno
import io
import json
import os
import re
import select
import signal
import socket
import stat
import sys
import time

# A script may change its directory later: the outputs belong beside the script.
_SCRIPT_DIR = os.path.dirname(os.path.abspath(sys.argv[0] if sys.argv and sys.argv[0] else '.'))
_MASK = '******'
_ANSWER_LIMIT = 86400
_TEXT = type(u'')


def info(text):
    print('INFO: ' + text)
    sys.stdout.flush()


def warn(text):
    print('WARN: ' + text)
    sys.stdout.flush()


def error(text):
    print('ERROR: ' + text)
    sys.stdout.flush()


def fine(text):
    print('FINE: ' + text)
    sys.stdout.flush()


def setEnv():
    """Output that is not held back, a sane umask, and no secrets in the process list where the system lets us."""
    os.umask(0o022)
    if hasattr(sys.stdout, 'reconfigure'):
        sys.stdout.reconfigure(encoding='utf-8', errors='replace', line_buffering=True)
        sys.stderr.reconfigure(encoding='utf-8', errors='replace', line_buffering=True)
    elif sys.version_info[0] == 2:
        sys.stdout = os.fdopen(os.dup(sys.stdout.fileno()), 'w', 1)
    hidePwdInCmdLine()


def hidePwdInCmdLine():
    """Overwrites passwords among the arguments in the process list: Linux shows the memory where the arguments stand."""
    secrets = []
    for index, word in enumerate(sys.argv[1:], 1):
        if re.match(r'^-+[^=]*(pass|pwd|account)[^=]*$', word, re.I) and index + 1 < len(sys.argv):
            secrets.append(sys.argv[index + 1])
        found = re.match(r'^-+[^=]*(?:pass|pwd|account)[^=]*=(.+)$', word, re.I | re.S)
        if found:
            secrets.append(found.group(1))
        secrets.extend(re.findall(r'"password"\s*:\s*"((?:[^"\\]|\\.)+)"', word, re.I))
    secrets = [item for item in secrets if item and item != _MASK]
    if not secrets or not sys.platform.startswith('linux'):
        return
    try:
        with open('/proc/self/stat') as table:
            fields = table.read().rsplit(')', 1)[1].split()
        # Fields 48 and 49 of proc(5), counted behind the name, which is field 2.
        begin, end = int(fields[45]), int(fields[46])
        with io.open('/proc/self/mem', 'r+b', buffering=0) as memory:
            memory.seek(begin)
            words = memory.read(end - begin)
            for item in secrets:
                item = os.fsencode(item) if hasattr(os, 'fsencode') else item
                words = words.replace(item, b'*' * len(item))
            memory.seek(begin)
            memory.write(words)
    except (IndexError, ValueError, IOError, OSError):
        pass


# --- Outputs and live data -------------------------------------------------------------------------------------------

def outputPath():
    """Where the outputs go: beside the script on a target, to OUTPUT_PATH on the runner."""
    if os.environ.get('OUTPUT_PATH') and 'OPERATION_ID' in os.environ:
        return os.environ['OUTPUT_PATH']
    return os.path.join(_SCRIPT_DIR, 'output.json')


def saveOutput(outputs, convertToUtf8=None):
    """Writes the outputs, a dict. The whole file is replaced: call it once. The second argument changes nothing."""
    path = outputPath()
    info('Try save output to %s.' % path)
    _replace(path, outputs)
    info('Save output success.')


def saveLiveData(data):
    """Writes data for the tool's own status page while it runs."""
    path = os.environ.get('LIVEDATA_PATH')
    if not path:
        warn('Could not save live data, because of environ LIVEDATA_PATH not defined.')
        return
    info('Try save live data to %s.' % path)
    _replace(path, data)
    info('Save live data success.')


def _to_json(value, indent=None):
    """JSON as bytes in UTF-8; bytes in the data are decoded, whatever they are."""
    text = json.dumps(_characters(value), ensure_ascii=False, indent=indent, sort_keys=True)
    return text if isinstance(text, bytes) else text.encode('utf-8', 'replace')


def _characters(value):
    if isinstance(value, bytes):
        for encoding in ('utf-8', 'gb18030'):
            try:
                return value.decode(encoding)
            except UnicodeDecodeError:
                pass
        return value.decode('latin-1')
    if isinstance(value, dict):
        return dict((_characters(name) if isinstance(name, (bytes, _TEXT)) else name, _characters(item))
                    for name, item in value.items())
    if isinstance(value, (list, tuple, set)):
        return [_characters(item) for item in value]
    return value


def _replace(path, value):
    """By way of a temporary file: a reader sees the old content or the new."""
    _make_directory(os.path.dirname(path))
    with open(path + '.new', 'wb') as output:
        output.write(_to_json(value, indent=4) + b'\n')
    os.rename(path + '.new', path)


def _make_directory(path):
    try:
        os.makedirs(path)
    except OSError as problem:
        if problem.errno != errno.EEXIST or not os.path.isdir(path):
            raise


def getFileContent(path):
    """The bytes of a file."""
    with open(path, 'rb') as content:
        return content.read()


# --- Nodes -----------------------------------------------------------------------------------------------------------

def _from_json(data):
    return json.loads(data.decode('utf-8') if isinstance(data, bytes) else data)


def getMyNode():
    """This node as a dict, or None. On a target without its password."""
    text = os.environ.get('AUTOEXEC_NODE')
    return _from_json(text) if text else None


def getNodesArray(phase=None, group=None):
    """The nodes of a phase or group, without passwords, in the order of the file. Runner tools only."""
    own = os.environ.get('AUTOEXEC_NODES_PATH')
    if not own:
        return []
    names = []
    if phase:
        names.append('nodes-ph-%s.json' % phase)
    if group not in (None, ''):
        names.append('nodes-gp-%s.json' % group)
    names.append('nodes.json')
    paths = [os.path.join(os.path.dirname(own), name) for name in names]
    nodes = _read_nodes(next((path for path in paths if os.path.exists(path)), own))
    for node in nodes:
        node.pop('password', None)
    return nodes


def getNodes(phase=None, group=None):
    """The same as a dict by resource id."""
    return dict((node.get('resourceId'), node) for node in getNodesArray(phase, group))


def getNode(resourceId):
    """One node of the phase, password included, or None."""
    for node in _read_nodes(os.environ.get('AUTOEXEC_NODES_PATH')):
        if str(node.get('resourceId')) == str(resourceId):
            return node
    return None


def _read_nodes(path):
    if not path or not os.path.exists(path):
        return []
    lines = getFileContent(path).decode('utf-8').split('\n')
    # The first line is a header.
    return [json.loads(line) for line in lines[1:] if line.strip()]


def loadNodeOutput():
    """The merged outputs of all operations on this node: {operation id: {name: value}}."""
    path = os.environ.get('NODE_OUTPUT_PATH')
    if not path or not os.path.exists(path):
        return {}
    content = getFileContent(path)
    return _from_json(content) if content.strip() else {}


def getOpPreOutput():
    """What this operation put out in the run before."""
    return loadNodeOutput().get(os.environ.get('OPERATION_ID')) or {}


# --- Operator input --------------------------------------------------------------------------------------------------

def getNodePipeFile(jobPath, phase, node):
    parts = tuple('' if node.get(name) is None else node.get(name) for name in ('host', 'port', 'resourceId'))
    return '%s/log/%s/%s-%s-%s.txt.run.pipe' % ((jobPath, phase) + parts)


def _send(message):
    """Sends one message to the executor; false where it can not be reached."""
    path = os.environ.get('AUTOEXEC_JOB_SOCK')
    if not path or not os.path.exists(path):
        return False
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        channel.sendto(_to_json(message), path)
        return True
    except (socket.error, OSError):
        return False
    finally:
        channel.close()


def informNodeWaitInput(phaseName, resourceId, title=None, opType=None, message=None, options=None, role=None, pipeFile=None):
    """Tells the executor that the node waits for a person. Never a failure. Without a title: that it waits no more."""
    state = 'running' if title is None else 'waitInput'
    datagram = {'action': 'informNodeWaitInput', 'phaseName': phaseName, 'resourceId': resourceId}
    if title is None:
        datagram.update({'clean': 1, 'interact': None})
    else:
        datagram.update({'clean': None, 'interact': {
            'title': title, 'opType': opType, 'message': message, 'options': options or [], 'role': role,
            'pipeFile': pipeFile}})
    if _send(datagram):
        info('Inform runner udpate status to %s success.' % state)
    else:
        warn('Inform runner update status to %s failed: socket %s can not be reached.'
             % (state, os.environ.get('AUTOEXEC_JOB_SOCK', 'not defined')))


class _Pipe(object):
    """A named pipe with its description beside it; both go at the end of the block."""

    def __init__(self, path, question):
        self.path, self.text = path, b''
        _make_directory(os.path.dirname(path))
        if os.path.exists(path):
            os.unlink(path)
        _replace(path + '.json', question)
        os.mkfifo(path, 0o700)
        # For reading and writing: it never ends, and opening does not wait.
        self.handles = [os.open(path, os.O_RDWR)]
        try:
            # Only a pipe or a terminal can say that whoever started us is gone.
            if stat.S_ISFIFO(os.fstat(0).st_mode) or os.isatty(0):
                self.handles.append(0)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.handles[0])
        for path in (self.path, self.path + '.json'):
            try:
                os.unlink(path)
            except OSError:
                pass

    def line(self, deadline):
        """The next line; None when standard input has ended. Ends the program when the time is over."""
        while b'\n' not in self.text:
            ready = select.select(self.handles, [], [], max(0, deadline - time.time()))[0]
            if not ready:
                warn('Wait user input timeout or execution aborted.')
                sys.exit(1)
            for handle in ready:
                data = os.read(handle, 4096)
                if not data:
                    return None
                self.text += data
        line, self.text = self.text.split(b'\n', 1)
        return line.decode('utf-8', 'replace') if sys.version_info[0] > 2 else line


def doInteract(title, opType, message, options=None, role=None, pipeFile=None):
    """Asks a person and waits for a day at most. Returns user and value; the value is None after force-exit, or when
    standard input ended, which means that the executor is gone."""
    def aborted(_number, _frame):
        error('Wait user input aborted.')
        sys.exit(1)

    question = {'title': title, 'opType': opType, 'message': message, 'options': options or [], 'role': role,
                'pipeFile': pipeFile}
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [(number, signal.signal(number, aborted)) for number in numbers]
    try:
        with _Pipe(pipeFile, question) as pipe:
            print('[Wait Interact]%s' % message)
            sys.stdout.flush()
            deadline = time.time() + _ANSWER_LIMIT
            while True:
                line, user = pipe.line(deadline), None
                if line is None:
                    return None, None
                found = re.match(r'^\[(.*?)\]#\s(.*)$', line, re.S)
                if found:
                    user, line = found.groups()
                info('Get input:%s' % line)
                if line == 'force-exit':
                    return user, None
                if _valid(opType, options or [], line):
                    return user, line
                warn('Invalid input value:%s, try again.' % line)
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _valid(opType, options, value):
    if opType in ('button', 'select'):
        return value in options
    if opType == 'mselect':
        try:
            chosen = json.loads(value)
        except ValueError:
            return False
        return isinstance(chosen, list) and bool(chosen) and all(item in options for item in chosen)
    return True


def setJobEnv(onlyInProcess, items):
    """Sets variables in the running executor; without the flag also for later phases and runs."""
    return _send({'action': 'setEnv', 'onlyInProcess': 1 if onlyInProcess else 0, 'items': items})


# --- Tables ----------------------------------------------------------------------------------------------------------

def evalDsl(rule, row):
    """Whether a rule holds for the values of a row; see autoexec_table for the language."""
    import autoexec_table
    return autoexec_table.evaluate(rule, row)


def JsonToTableCheck(obj, fields=None, filter=None, rule=None):
    """Prints data as a table, a line per row, and checks the rows: 0 all good, 1 a row breaks the rule, 2 no row."""
    import autoexec_table
    return autoexec_table.check(obj, fields, filter, rule)
