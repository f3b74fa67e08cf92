package HostCollector::Reading;

# Files and programs as sources: what is missing gives a warning or nothing, never a failure.

use strict;
use warnings;

use Exporter ();
use IO::Select ();
use POSIX ();

our @ISA       = ('Exporter');
our @EXPORT_OK = qw(slurp lines first_line number output program masked masked_command round2);

my $READ_LIMIT = 8 * 1024 * 1024;
my $RUN_LIMIT  = 15;
my $MASK       = '******';
my $SECRET     = qr/pass|pwd|secret|token|credential|api_?key|private_?key|auth_?key/i;
my %warned;

# The content of a file; nothing when it can not be read.
sub slurp {
    my ($path) = @_;
    open(my $file, '<', $path) or return undef;    ## no critic: callers test for it
    binmode $file;
    my ($text, $length) = ('', 0);
    while (length $text < $READ_LIMIT) {
        $length = sysread $file, $text, 65536, length $text;
        last if not $length;
    }
    close $file;
    return $text;
}

sub lines {
    my ($path) = @_;
    my $text = slurp($path);
    return defined $text ? split /\n/, $text : ();
}

# The first line of a file without blanks at its ends; nothing for a file that is empty or not there.
sub first_line {
    my ($path) = @_;
    my $text = slurp($path);
    return undef unless defined $text and $text =~ /^[\s\0]*([^\n]*?)[\s\0]*(?:\n|\z)/ and $1 ne '';    ## no critic
    return $1;
}

# A text as a number, so that it is one in JSON.
sub number {
    my ($text) = @_;
    return undef unless defined $text and $text =~ /^\s*(-?[0-9]+(?:\.[0-9]+)?)/;    ## no critic
    return $1 + 0;
}

sub round2 {
    my ($value) = @_;
    return undef unless defined $value;    ## no critic
    return sprintf('%.2f', $value) + 0;
}

# The path of a program, also where a login has no /sbin in its PATH. Missing ones are told once.
sub program {
    my ($name) = @_;
    my @dirs = (split(/:/, defined $ENV{PATH} ? $ENV{PATH} : ''), qw(/usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin));
    for my $dir (@dirs) {
        return "$dir/$name" if $dir =~ m{^/} and -f "$dir/$name" and -x _;
    }
    print "WARN: The program $name is missing; what it would tell stays empty.\n" unless $warned{$name}++;
    return undef;    ## no critic
}

# What a command prints, both streams, within a time limit. A program that belongs to a process is started as the user of
# that process: user => [uid, gid], and told that it is called name => text. Nothing when it does not start, is ended, or
# fails.
sub output {
    my ($command, %option) = @_;
    my @command = @$command;
    return undef unless defined $command[0];    ## no critic
    pipe(my $reader, my $writer) or return undef;    ## no critic
    my $pid = fork;
    return undef unless defined $pid;    ## no critic
    if (not $pid) {
        close $reader;
        POSIX::setsid();
        open STDIN, '<', '/dev/null';
        open STDOUT, '>&', $writer;
        $option{stdout_only} ? open(STDERR, '>', '/dev/null') : open(STDERR, '>&', $writer);
        if ($option{user} and $> == 0) {
            my ($uid, $gid) = @{$option{user}};
            # Supplementary groups first, the user last; a check that it took.
            $) = "$gid $gid";
            POSIX::setgid($gid);
            POSIX::setuid($uid);
            POSIX::_exit(126) if $> != $uid or $< != $uid;
            chdir '/';
        }
        %ENV = (PATH => '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL => 'C', %{$option{env} || {}});
        my $file = $command[0];
        $command[0] = $option{name} if defined $option{name};
        { no warnings 'exec'; exec {$file} @command; }
        POSIX::_exit(127);
    }
    close $writer;
    my ($text, $select, $deadline) = ('', IO::Select->new($reader), time + ($option{limit} || $RUN_LIMIT));
    my $complete = 0;
    while (time < $deadline and length $text < $READ_LIMIT) {
        next unless $select->can_read(1);
        my $length = sysread $reader, $text, 65536, length $text;
        next if defined $length and $length > 0;
        $complete = 1;
        last;
    }
    close $reader;
    if (not $complete) {
        print "WARN: $command[0] took too long and was ended.\n";
        kill 'KILL', -$pid;
    }
    waitpid $pid, 0;
    return undef if not $complete or ($? != 0 and not $option{any_status});    ## no critic
    return $text;
}

# A value, unless its name says that it is a secret.
sub masked {
    my ($name, $value) = @_;
    return $MASK if $name =~ $SECRET and defined $value and $value ne '';
    # User and password in a URL.
    $value =~ s{(://[^/\s:@]*):[^/\s@]+@}{$1:$MASK@}g if defined $value;
    return $value;
}

# A command line with its secrets masked: --password x, --password=x, -Dkey.password=x, -px of the MySQL client.
sub masked_command {
    my @words = @_;
    for my $index (0 .. $#words) {
        if ($words[$index] =~ /^(-{0,2}[^=\s]*)=(.*)$/s and $1 =~ $SECRET) { $words[$index] = "$1=$MASK" }
        elsif ($index and $words[$index - 1] =~ /^-{1,2}[^=]*$/ and $words[$index - 1] =~ $SECRET and $words[$index] !~ /^-/) {
            $words[$index] = $MASK;
        }
        elsif ($words[0] =~ m{(?:^|/)(?:mysql|mariadb)[\w-]*$} and $words[$index] =~ /^-p./) { $words[$index] = "-p$MASK" }
        else { $words[$index] = masked('', $words[$index]) }
    }
    return join ' ', @words;
}

1;
