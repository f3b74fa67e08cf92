# -*- coding: utf-8 -*-
"""JSON data as a table, and rules over its rows: the same language as AutoExec/Table.pm describes.

    [CPU.USED] > 90 and not [STATE] eq "up"

Rules are read, never run as program code.
"""
from __future__ import print_function

import re
import sys

_TOKEN = re.compile(
    r'\s*(?:\[(?P<path>[^\]]*)\]|\$(?:\{(?P<braced>[^}]+)\}|(?P<name>[A-Za-z_][\w.]*))'
    r'|"(?P<double>(?:[^"\\]|\\.)*)"|\'(?P<single>(?:[^\'\\]|\\.)*)\''
    r'|(?P<number>-?[0-9]+(?:\.[0-9]+)?)(?![\w.])|/(?P<pattern>(?:[^/\\]|\\.)*)/(?P<flag>i?)'
    r'|(?P<word>==|!=|<=|>=|=~|!~|<|>|&&|\|\||!|\(|\)|(?:eq|ne|lt|le|gt|ge|and|or|not|contains|startswith)\b))', re.S)
_NUMBER = re.compile(r'^\s*-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\s*$')
_COMPARE = ('==', '!=', '<', '<=', '>', '>=', '=~', '!~', 'eq', 'ne', 'lt', 'le', 'gt', 'ge', 'contains', 'startswith')
_TEXT = type(u'')


class RuleError(ValueError):
    """A rule that can not be read."""


class _Rule(object):
    def __init__(self, rule, row):
        self.rule, self.row, self.tokens = rule, row, []
        at = 0
        text = rule.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if not found:
                raise RuleError("The rule '%s' is not valid at '%s'" % (rule, text[at:].strip()))
            self.tokens.append(self._token(found))
            at = found.end()

    @staticmethod
    def _token(found):
        for group in ('path', 'braced', 'name'):
            if found.group(group) is not None:
                return 'path', found.group(group)
        for group in ('double', 'single'):
            if found.group(group) is not None:
                return 'value', re.sub(r'\\(["\'\\])', r'\1', found.group(group))
        if found.group('pattern') is not None:
            return 'value', ('(?i)' if found.group('flag') else '') + found.group('pattern')
        if found.group('number') is not None:
            return 'value', found.group('number')
        return 'word', found.group('word')

    def fail(self, why):
        place = "at '%s'" % self.tokens[0][1] if self.tokens else 'at its end'
        raise RuleError("The rule '%s' is not valid %s: %s" % (self.rule, place, why))

    def take(self, *words):
        if self.tokens and self.tokens[0][0] == 'word' and self.tokens[0][1] in words:
            return self.tokens.pop(0)[1]
        return None

    def either(self):
        result = self.both()
        while self.take('or', '||'):
            right = self.both()
            result = result or right
        return result

    def both(self):
        result = self.negated()
        while self.take('and', '&&'):
            right = self.negated()
            result = result and right
        return result

    def negated(self):
        return not self.negated() if self.take('not', '!') else self.comparison()

    def comparison(self):
        if self.take('('):
            result = self.either()
            if not self.take(')'):
                self.fail('a closing parenthesis is missing')
            return result
        left = self.operand()
        operator = self.take(*_COMPARE)
        if operator is None:
            return left not in (None, '', 0, '0', False)
        return _compare(operator, left, self.operand())

    def operand(self):
        if not self.tokens or self.tokens[0][0] == 'word':
            self.fail('a column or a value is missing')
        kind, text = self.tokens.pop(0)
        return self.row.get(text) if kind == 'path' else text


def _as_text(value):
    if isinstance(value, bool):
        return '1' if value else '0'
    return value if isinstance(value, (str, _TEXT)) else str(value)


def _compare(operator, left, right):
    """A missing value compares as "no", except with what says "unlike"."""
    if left is None or right is None:
        return operator in ('!=', 'ne', '!~') and not (left is None and right is None)
    left, right = _as_text(left), _as_text(right)
    numbers = bool(_NUMBER.match(left) and _NUMBER.match(right))
    if operator in ('=~', '!~'):
        try:
            found = re.search(right, left) is not None
        except re.error as problem:
            raise RuleError("The pattern '%s' is not valid: %s" % (right, problem))
        return found == (operator == '=~')
    if operator == 'contains':
        return right in left
    if operator == 'startswith':
        return left.startswith(right)
    if operator in ('==', '!=', '<', '<=', '>', '>='):
        if numbers:
            left, right = float(left), float(right)
        elif operator not in ('==', '!='):
            return False
    return {'==': left == right, 'eq': left == right, '!=': left != right, 'ne': left != right, '<': left < right,
            'lt': left < right, '<=': left <= right, 'le': left <= right, '>': left > right, 'gt': left > right,
            '>=': left >= right, 'ge': left >= right}[operator]


def evaluate(rule, row):
    """Whether a rule holds for a row, a dict of path to value."""
    state = _Rule(rule, row)
    result = state.either()
    if state.tokens:
        state.fail('more text than a rule')
    return bool(result)


def rows(data, prefix=''):
    """The scalars of an object form a row; each nested object, or list of objects, multiplies the rows."""
    if isinstance(data, (list, tuple)):
        return [row for item in data for row in rows(item, prefix)]
    if not isinstance(data, dict):
        return [{prefix or 'VALUE': data}]
    result = [{}]
    for name in sorted(data):
        path = '%s.%s' % (prefix, name) if prefix else name
        inner = rows(data[name], path) if isinstance(data[name], (dict, list, tuple)) else [{path: data[name]}]
        if inner:
            result = [dict(row, **part) for row in result for part in inner]
    return result


def check(data, fields=None, condition=None, rule=None):
    """Prints the rows and checks them: 0 all good, 1 a row breaks the rule, 2 no row."""
    found = rows(data) if data is not None else []
    if not found:
        print('ERROR: No data return from api.')
        return 2
    fields = list(fields) if fields else sorted(set(name for row in found for name in row))
    print('\t'.join(fields))
    matched = failed = False
    for row in found:
        if condition and condition.strip() and not evaluate(condition, row):
            continue
        matched, mark = True, ''
        if rule and rule.strip():
            good = evaluate(rule, row)
            failed, mark = failed or not good, 'FINE: ' if good else 'ERROR: '
        line = mark + '\t'.join('' if row.get(name) is None else _as_text(row[name]) for name in fields)
        print(line.encode('utf-8') if sys.version_info[0] == 2 and isinstance(line, _TEXT) else line)
    if not matched:
        print('ERROR: No data matched filter:%s' % condition)
        return 2
    return 1 if failed else 0
