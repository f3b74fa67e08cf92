package AutoExec::Table;

# JSON data as a table, and rules over its rows.
#
# A rule compares columns, written [path], with numbers, quoted texts and other columns:
#
#   [CPU.USED] > 90 and not [STATE] eq "up"
#   [NAME] =~ "^db" or ([SIZE] >= 10 and [SIZE] < 20)
#
# Comparisons: == != < <= > >= of numbers (== and != of texts where a side is none), eq ne lt le gt ge of texts, =~ !~ of a
# text with a pattern, contains, startswith. Rules are read, never run as program code. The strongest first: comparison,
# not, and, or.

use strict;
use warnings;

use AutoExec::Json;

my $WORD = qr/==|!=|<=|>=|=~|!~|<|>|&&|\|\||!|\(|\)|\b(?:eq|ne|lt|le|gt|ge|and|or|not|contains|startswith)\b/;
my %COMPARE = map { ($_ => 1) } qw(== != < <= > >= =~ !~ eq ne lt le gt ge contains startswith);

# Whether a rule holds for a row, a hash of path to value. Dies with the place of an error in the rule.
sub evaluate {
    my ($rule, $row) = @_;
    my $state = {tokens => _tokens($rule), row => $row, rule => $rule};
    my $result = _or($state);
    _fail($state, 'more text than a rule') if @{$state->{tokens}};
    return $result ? 1 : 0;
}

sub _fail {
    my ($state, $why) = @_;
    my $next = $state->{tokens}[0];
    die "The rule '$state->{rule}' is not valid" . ($next ? " at '$next->[1]'" : ' at its end') . ": $why\n";
}

sub _tokens {
    my ($rule) = @_;
    my @tokens;
    for ($rule) {
        while (1) {
            if (/\G\s+/gc) { next }
            elsif (/\G\[([^\]]*)\]/gc) { push @tokens, [path => $1] }
            elsif (/\G\$(?:\{([^}]+)\}|([A-Za-z_][\w.]*))/gc) { push @tokens, [path => defined $1 ? $1 : $2] }
            elsif (/\G"((?:[^"\\]|\\.)*)"/gcs or /\G'((?:[^'\\]|\\.)*)'/gcs) {
                my $text = $1;
                $text =~ s/\\(["'\\])/$1/g;
                push @tokens, [value => $text];
            }
            elsif (/\G(-?[0-9]+(?:\.[0-9]+)?)(?![\w.])/gc) { push @tokens, [value => $1] }
            elsif (m{\G/((?:[^/\\]|\\.)*)/(i?)}gc) { push @tokens, [value => $2 ? "(?i)$1" : $1] }
            elsif (/\G($WORD)/gc) { push @tokens, [word => $1] }
            elsif (/\G(.)/gcs) { die "The rule '$rule' is not valid at '" . $1 . substr($rule, pos $rule) . "'\n" }
            else { last }
        }
    }
    return \@tokens;
}

sub _take {
    my ($state, @words) = @_;
    my $next = $state->{tokens}[0];
    return undef unless $next and $next->[0] eq 'word';    ## no critic
    return undef unless grep { $_ eq $next->[1] } @words;    ## no critic
    return (shift @{$state->{tokens}})->[1];
}

sub _or {
    my ($state) = @_;
    my $result = _and($state);
    while (_take($state, 'or', '||')) { my $right = _and($state); $result ||= $right }
    return $result;
}

sub _and {
    my ($state) = @_;
    my $result = _not($state);
    while (_take($state, 'and', '&&')) { my $right = _not($state); $result &&= $right }
    return $result;
}

sub _not {
    my ($state) = @_;
    return _take($state, 'not', '!') ? !_not($state) : _comparison($state);
}

sub _comparison {
    my ($state) = @_;
    if (_take($state, '(')) {
        my $result = _or($state);
        _take($state, ')') or _fail($state, 'a closing parenthesis is missing');
        return $result;
    }
    my $left = _operand($state);
    my $next = $state->{tokens}[0];
    return defined $left && $left ne '' && $left ne '0' unless $next and $next->[0] eq 'word' and $COMPARE{$next->[1]};
    shift @{$state->{tokens}};
    return _compare($next->[1], $left, _operand($state));
}

sub _operand {
    my ($state) = @_;
    my $next = $state->{tokens}[0];
    _fail($state, 'a column or a value is missing') unless $next and $next->[0] ne 'word';
    shift @{$state->{tokens}};
    return $next->[0] eq 'path' ? $state->{row}{$next->[1]} : $next->[1];
}

# A missing value compares as "no", except with what says "unlike".
sub _compare {
    my ($operator, $left, $right) = @_;
    if (not defined $left or not defined $right) {
        return $operator =~ /^(?:!=|ne|!~)$/ ? defined $left || defined $right : 0;
    }
    my $number = qr/^\s*-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\s*$/;
    my $numbers = $left =~ $number && $right =~ $number;
    if ($operator eq '==') { return $numbers ? $left == $right : $left eq $right }
    if ($operator eq '!=') { return $numbers ? $left != $right : $left ne $right }
    if ($operator =~ /^[<>]/) {
        return 0 unless $numbers;
        return $operator eq '<' ? $left < $right : $operator eq '<=' ? $left <= $right
            : $operator eq '>' ? $left > $right : $left >= $right;
    }
    if ($operator eq 'contains') { return index($left, $right) >= 0 }
    if ($operator eq 'startswith') { return index($left, $right) == 0 }
    if ($operator =~ /~/) {
        my $found = eval { $left =~ /$right/ ? 1 : 0 };
        die "The pattern '$right' is not valid: $@" unless defined $found;
        return $operator eq '=~' ? $found : !$found;
    }
    my $order = $left cmp $right;
    return $operator eq 'eq' ? $order == 0 : $operator eq 'ne' ? $order != 0 : $operator eq 'lt' ? $order < 0
        : $operator eq 'le' ? $order <= 0 : $operator eq 'gt' ? $order > 0 : $order >= 0;
}

# Rows of data: the scalars of an object form a row, keyed by dotted path; each nested object, or list of objects,
# multiplies the rows.
sub rows {
    my ($data, $prefix) = @_;
    $prefix = '' unless defined $prefix;
    if (ref $data eq 'ARRAY') { return map { rows($_, $prefix) } @$data }
    return ({$prefix eq '' ? 'VALUE' : $prefix => $data}) unless ref $data eq 'HASH';
    my @rows = ({});
    for my $name (sort keys %$data) {
        my ($path, $value) = ($prefix eq '' ? $name : "$prefix.$name", $data->{$name});
        my @inner = ref $value ? rows($value, $path) : ({$path => $value});
        next unless @inner;
        @rows = map { my $row = $_; map { +{%$row, %$_} } @inner } @rows;
    }
    return @rows;
}

sub check {
    my ($data, $fields, $filter, $rule) = @_;
    my @rows = defined $data ? rows($data) : ();
    if (not @rows) {
        print "ERROR: No data return from api.\n";
        return 2;
    }
    my %names = map { map { ($_ => 1) } keys %$_ } @rows;
    my @fields = $fields && @$fields ? @$fields : sort keys %names;
    my $has = sub { defined $_[0] and $_[0] =~ /\S/ };
    my ($matched, $failed) = (0, 0);
    print join("\t", @fields), "\n";
    for my $row (@rows) {
        next if $has->($filter) and not evaluate($filter, $row);
        $matched++;
        my $mark = '';
        if ($has->($rule)) {
            my $good = evaluate($rule, $row);
            $failed ||= not $good;
            $mark = $good ? 'FINE: ' : 'ERROR: ';
        }
        my @cells = map { my $cell = defined $row->{$_} ? $row->{$_} : ''; utf8::encode($cell) if utf8::is_utf8($cell); $cell } @fields;
        print $mark, join("\t", @cells), "\n";
    }
    if (not $matched) {
        print "ERROR: No data matched filter:$filter\n";
        return 2;
    }
    return $failed ? 1 : 0;
}

1;
