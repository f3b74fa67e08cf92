package AutoExec::Json;

# JSON for Perl from 5.8 on. The JSON module of Perl's core is younger than many targets, and often not installed.

use strict;
use warnings;

use B ();
use Encode ();

my %ESCAPE = ("\n" => '\\n', "\r" => '\\r', "\t" => '\\t', "\f" => '\\f', "\b" => '\\b', '"' => '\\"', '\\' => '\\\\');
my %UNESCAPE = (n => "\n", r => "\r", t => "\t", f => "\f", b => "\b", '"' => '"', '\\' => '\\', '/' => '/');
my $DEPTH = 512;

# A value as UTF-8 bytes, keys sorted. With a true second argument over several lines. References to 1 and 0 are true and
# false; a scalar that is a number and was never used as text is a number. Text is either characters, or bytes in UTF-8.
sub encode {
    my ($value, $pretty) = @_;
    my $text = _encode($value, $pretty, '', 0);
    return Encode::encode('UTF-8', $text);
}

sub _encode {
    my ($value, $pretty, $indent, $depth) = @_;
    die "the value is nested too deeply for JSON\n" if $depth > $DEPTH;
    return 'null' unless defined $value;
    my ($inner, $break, $after) = $pretty ? ("$indent   ", "\n", "\n$indent") : ('', '', '');
    my $kind = ref $value;
    if ($kind eq 'HASH') {
        my @members = map {
            $inner . _string($_) . ($pretty ? ' : ' : ':') . _encode($value->{$_}, $pretty, $inner, $depth + 1)
        } sort keys %$value;
        return @members ? '{' . $break . join(",$break", @members) . $after . '}' : '{}';
    }
    if ($kind eq 'ARRAY') {
        my @members = map { $inner . _encode($_, $pretty, $inner, $depth + 1) } @$value;
        return @members ? '[' . $break . join(",$break", @members) . $after . ']' : '[]';
    }
    if ($kind eq 'SCALAR') { return $$value ? 'true' : 'false' }
    if ($kind) { die "a reference to $kind has no form in JSON\n" }
    my $flags = B::svref_2object(\$value)->FLAGS;
    if ($flags & (B::SVp_IOK() | B::SVp_NOK()) and not $flags & B::SVp_POK()) {
        # What is no number in JSON, such as inf, is written as text.
        return "$value" if "$value" =~ /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$/;
    }
    return _string($value);
}

sub _string {
    my ($text) = @_;
    $text = characters($text);
    $text =~ s/([\\"\n\r\t\f\x08])/$ESCAPE{$1}/g;
    $text =~ s/([\x00-\x1f\x7f])/sprintf('\\u%04x', ord $1)/ge;
    return qq("$text");
}

# Text as characters: bytes that are UTF-8 are decoded, others are taken for Latin-1.
sub characters {
    my ($text) = @_;
    return $text if utf8::is_utf8($text) or $text !~ /[\x80-\xff]/;
    my $bytes = $text;
    my $decoded = eval { Encode::decode('UTF-8', $bytes, Encode::FB_CROAK()) };
    return defined $decoded ? $decoded : $text;
}

# The value of a JSON text; dies with the place of an error. Strings come as characters, true and false as 1 and 0.
sub decode {
    my ($text) = @_;
    die "there is no JSON text\n" unless defined $text;
    $text = characters($text);
    my $value = _value(\$text, 0);
    $text =~ /\G\s*/gc;
    _fail(\$text, 'more text after the value') if pos($text) < length $text;
    return $value;
}

sub _fail {
    my ($text, $why) = @_;
    die "the JSON text is not valid at character " . ((pos $$text) || 0) . ": $why\n";
}

sub _value {
    my ($text, $depth) = @_;
    _fail($text, 'it is nested too deeply') if $depth > $DEPTH;
    $$text =~ /\G\s*/gc;
    if ($$text =~ /\G\{\s*/gc) {
        my %members;
        return \%members if $$text =~ /\G\}/gc;
        while (1) {
            $$text =~ /\G\s*"/gc or _fail($text, 'a member has no name');
            my $name = _text($text);
            $$text =~ /\G\s*:/gc or _fail($text, 'a colon is missing');
            $members{$name} = _value($text, $depth + 1);
            next if $$text =~ /\G\s*,/gc;
            return \%members if $$text =~ /\G\s*\}/gc;
            _fail($text, 'a comma or a closing brace is missing');
        }
    }
    if ($$text =~ /\G\[\s*/gc) {
        my @members;
        return \@members if $$text =~ /\G\]/gc;
        while (1) {
            push @members, _value($text, $depth + 1);
            next if $$text =~ /\G\s*,/gc;
            return \@members if $$text =~ /\G\s*\]/gc;
            _fail($text, 'a comma or a closing bracket is missing');
        }
    }
    return _text($text) if $$text =~ /\G"/gc;
    return $1 + 0 if $$text =~ /\G(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)(?![0-9A-Za-z_.])/gc;
    return 1 if $$text =~ /\Gtrue\b/gc;
    return 0 if $$text =~ /\Gfalse\b/gc;
    return undef if $$text =~ /\Gnull\b/gc;    ## no critic: a value, not an empty list
    return _fail($text, 'there is no value');
}

# The rest of a string behind its opening quote.
sub _text {
    my ($text) = @_;
    my $out = '';
    while (1) {
        if ($$text =~ /\G([^"\\\x00-\x1f]+)/gc) { $out .= $1 }
        elsif ($$text =~ /\G"/gc) { return $out }
        elsif ($$text =~ /\G\\([nrtfb"\\\/])/gc) { $out .= $UNESCAPE{$1} }
        elsif ($$text =~ /\G\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})/gc) {
            $out .= chr(0x10000 + ((hex($1) - 0xd800) << 10) + (hex($2) - 0xdc00));
        }
        elsif ($$text =~ /\G\\u([0-9a-fA-F]{4})/gc) {
            my $code = hex $1;
            $out .= $code >= 0xd800 && $code < 0xe000 ? "\x{fffd}" : chr $code;
        }
        # Texts that were put together by hand have bare line breaks.
        elsif ($$text =~ /\G([\x01-\x1f])/gc) { $out .= $1 }
        else { _fail($text, 'a string has no end, or a bad escape') }
    }
}

1;
