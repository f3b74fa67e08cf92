package JSON;

# What the scripts of the replaced system use of the JSON module, on our own reader and writer. A target that has the real
# module gets this one all the same: one behaviour everywhere.

use strict;
use warnings;

use Exporter ();
use AutoExec::Json;

our @ISA     = ('Exporter');
our @EXPORT  = qw(to_json from_json encode_json decode_json);
our $VERSION = '4.00';

sub encode_json { return AutoExec::Json::encode($_[0]) }
sub decode_json { return AutoExec::Json::decode($_[0]) }
sub from_json { return AutoExec::Json::decode($_[0]) }

# Characters, unless the options ask for utf8.
sub to_json {
    my ($value, $options) = @_;
    $options ||= {};
    my $bytes = AutoExec::Json::encode($value, $options->{pretty} || $options->{indent});
    return $options->{utf8} ? $bytes : AutoExec::Json::characters($bytes);
}

sub new {
    my ($class) = @_;
    return bless {}, $class;
}

for my $option (qw(utf8 pretty indent canonical allow_nonref allow_unknown allow_blessed relaxed latin1 ascii)) {
    no strict 'refs';
    *$option = sub {
        my ($self, $on) = @_;
        $self->{$option} = @_ < 2 || $on ? 1 : 0;
        return $self;
    };
}

sub encode { my ($self, $value) = @_; return to_json($value, $self) }
sub decode { my ($self, $text) = @_; return AutoExec::Json::decode($text) }

sub true  { return \1 }
sub false { return \0 }

1;
