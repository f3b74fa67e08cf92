package AutoExec::Service;

# What startwait and stopwait share: whether addresses answer, what is new in log files, and commands that are waited for.

use strict;
use warnings;

use Fcntl ();
use File::Basename ();
use POSIX ();
use Time::HiRes ();

use AutoExec::Net;
use AutoExecUtils;

my $TRY_LIMIT = 9;
my $READ_LIMIT = 1024 * 1024;
# Seconds from one look at the addresses and the logs to the next.
my $ROUND = 3;

# The addresses of an option: host:port or URL, separated by commas or semicolons.
sub addresses {
    my ($text) = @_;
    return () unless defined $text;
    my @addresses = grep { $_ ne '' } map { s/^\s+|\s+$//g; $_ } split /[,;]/, $text;
    for my $address (@addresses) {
        next if $address =~ m{^https?://}i or $address =~ /^(?:\[[^\]]+\]|[^:\s]+):\d+$/;
        AutoExecUtils::error("Not an address: $address; host:port or a URL is wanted.");
        exit 1;
    }
    return @addresses;
}

# Without the password that a URL may have.
sub shown {
    my ($address) = @_;
    $address =~ s{^(https?://[^/:@]*):[^/@]*@}{$1:******@}i;
    return $address;
}

# Whether an address answers; a URL does with 200 or 302.
sub is_up {
    my ($address, $timeout) = @_;
    $timeout = $TRY_LIMIT if not defined $timeout or $timeout > $TRY_LIMIT;
    $timeout = 1 if $timeout < 1;
    if ($address =~ m{^https?://}i) {
        my $answer = AutoExec::Net::request_once(method => 'GET', url => $address, timeout => $timeout);
        return defined $answer->{status} && $answer->{status} =~ /^(?:200|302)$/;
    }
    my ($host, $port) = $address =~ /^(.*):(\d+)$/;
    my ($socket) = AutoExec::Net::connect_tcp($host, $port, $timeout);
    return 0 unless $socket;
    close $socket;
    return 1;
}

# The same with the lines that tell it.
sub check {
    my ($address, $timeout) = @_;
    AutoExecUtils::info('Checking ' . shown($address) . '...');
    my $up = is_up($address, $timeout);
    AutoExecUtils::info($up ? 'Service is up.' : 'Service is down.');
    return $up;
}

# --- Log files --------------------------------------------------------------------------------------------------------

# Log files by patterns. Those that are there are read from their end, those that come later from their beginning.
sub new_logs {
    my ($class, $marker, @patterns) = @_;
    my $self = bless {files => {}, patterns => [], matched => 0}, $class;
    if (defined $marker and $marker ne '') {
        $self->{encoding} = $1 if $marker =~ s/^\{([\w.:-]+)\}//;
        my $pattern = eval { qr/$marker/ };
        if (not defined $pattern) {
            AutoExecUtils::error("The option --eofstr is not a valid pattern: $@");
            exit 1;
        }
        $self->{marker} = $pattern;
    }
    for my $pattern (@patterns) {
        # The shell expands variables and command substitutions in it, but no wild cards: those are looked at again and again.
        open(my $shell, '-|', 'sh', '-c', "set -f; IFS=''; printf '%s\\n' $pattern") or next;
        chomp(my @lines = <$shell>);
        close $shell;
        for my $line (grep { $_ ne '' } @lines) {
            AutoExecUtils::info("Get log pattern:$line");
            push @{$self->{patterns}}, $line;
            if (not glob_of($line)) {
                AutoExecUtils::info("Log file $line not exist, it will be opened while created.");
            }
        }
    }
    $self->look(1);
    return $self;
}

sub glob_of {
    my ($pattern) = @_;
    return -f $pattern ? ($pattern) : () if $pattern !~ /[*?\[{~]/;
    require File::Glob;
    return grep { -f } File::Glob::bsd_glob($pattern);
}

# Notes files that were not seen yet.
sub look {
    my ($self, $at_end) = @_;
    for my $path (map { glob_of($_) } @{$self->{patterns}}) {
        next if $self->{files}{$path};
        $self->{files}{$path} = {at => $at_end ? -s $path || 0 : 0, rest => ''};
        AutoExecUtils::info("Log file $path found.");
    }
    return;
}

# Prints what is new in the files, and notes whether the marker is in it.
sub tail {
    my ($self) = @_;
    $self->look(0);
    for my $path (sort keys %{$self->{files}}) {
        my $file = $self->{files}{$path};
        open(my $handle, '<', $path) or next;
        binmode $handle;
        my $size = -s $handle || 0;
        # Shorter than before: it was cut, or is another file.
        ($file->{at}, $file->{rest}) = (0, '') if $size < $file->{at};
        seek $handle, $file->{at}, Fcntl::SEEK_SET();
        my $left = 16 * $READ_LIMIT;
        while ($left > 0 and my $length = read $handle, my $text, $READ_LIMIT) {
            $left -= $length;
            $file->{at} += $length;
            $text = $file->{rest} . $text;
            $file->{rest} = $text =~ s/([^\n]+)\z// ? $1 : '';
            $self->_line($path, $_) for split /\n/, $text;
        }
        close $handle;
        # A marker may stand in a line that is not ended yet.
        $self->{matched} = 1 if $self->{marker} and $self->_decoded($file->{rest}) =~ $self->{marker};
    }
    return $self->{matched};
}

sub _line {
    my ($self, $path, $line) = @_;
    $line =~ s/\r\z//;
    $line = $self->_decoded($line);
    $self->{matched} = 1 if $self->{marker} and $line =~ $self->{marker};
    print File::Basename::basename($path), ":$line\n";
    return;
}

sub _decoded {
    my ($self, $line) = @_;
    return $line unless $self->{encoding};
    require Encode;
    my $text = eval { Encode::encode('UTF-8', Encode::decode($self->{encoding}, $line)) };
    return defined $text ? $text : $line;
}

# --- Commands ---------------------------------------------------------------------------------------------------------

# Starts a command line in a session of its own; with $quiet away from our output, so that it may outlive us. Returns what
# wait_for and finish want to know of it.
sub start {
    my ($line, $quiet) = @_;
    AutoExecUtils::info("Execte script:$line");
    my $pid = fork;
    if (not defined $pid) {
        AutoExecUtils::error("Can not start a process: $!");
        exit 1;
    }
    return {line => $line, pid => $pid, running => 1} if $pid;
    POSIX::setsid();
    open STDIN, '<', '/dev/null';
    if ($quiet) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
    }
    { no warnings 'exec'; exec '/bin/sh', '-c', $line; }
    POSIX::_exit(127);
}

# Asks every round whether it is so, the first time at once and the last time when the seconds are over. A failure of the
# command is told when it is seen; the wait goes on.
sub wait_for {
    my ($command, $seconds, $is_so) = @_;
    my $deadline = now() + $seconds;
    while (1) {
        my $begin = now();
        return 1 if $is_so->();
        _look_at($command);
        my $now = now();
        return 0 if $now >= $deadline;
        my $next = $begin + $ROUND;
        $next = $now + 0.1 if $next < $now + 0.1;
        $next = $deadline if $next > $deadline;
        pause($next - $now);
    }
}

sub _look_at {
    my ($command) = @_;
    return unless $command->{running} and waitpid($command->{pid}, POSIX::WNOHANG()) == $command->{pid};
    $command->{running} = 0;
    AutoExecUtils::warning("Execute command failed:$command->{line}") if $? != 0;
    return;
}

# Seconds and their parts, of a clock that nobody sets where there is one: whole seconds would take up to one off a limit.
sub now {
    my $now = eval { Time::HiRes::clock_gettime(Time::HiRes::CLOCK_MONOTONIC()) };
    return defined $now ? $now : Time::HiRes::time();
}

sub pause {
    my ($seconds) = @_;
    select undef, undef, undef, $seconds;
    return;
}

# Runs the command behind it; a failure is only told.
sub post {
    my ($command) = @_;
    return unless defined $command and $command ne '';
    AutoExecUtils::info("Execte post script:$command");
    my $status = system '/bin/sh', '-c', $command;
    AutoExecUtils::warning("Execute command failed:$command") if $status != 0;
    return;
}

# Ends a command with all of its session: INT, and KILL where that does not help.
sub finish {
    my ($command) = @_;
    my $session = $command->{pid};
    kill 'INT', -$session;
    for (1 .. 30) {
        waitpid $session, POSIX::WNOHANG();
        return unless kill 0, -$session;
        pause(0.1);
    }
    kill 'KILL', -$session;
    return;
}

1;
