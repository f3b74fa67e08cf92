package AutoExecUtils;

# What a Perl script can ask of its surroundings: outputs, live data, nodes, a person. Core modules only, Perl 5.8 or newer.
#
#   use FindBin;
#   use lib "$FindBin::Bin/../lib";
#   use AutoExecUtils;
#
#   AutoExecUtils::setEnv();
#   AutoExecUtils::saveOutput({answer => 42});

use strict;
use warnings;

use Cwd ();
use Encode ();
use File::Basename ();
use File::Path ();
use FindBin ();
use IO::Handle ();
use IO::Select ();
use IO::Socket::UNIX ();
use POSIX ();

use AutoExec::Json;

# A script may change its directory later: the outputs belong beside the script.
my $SCRIPT_DIR = $FindBin::Bin;
my $MASK = '******';
my $ANSWER_LIMIT = 86400;

sub info  { print "INFO: ",  @_, "\n"; return }
sub warning { print "WARN: ", @_, "\n"; return }
sub error { print "ERROR: ", @_, "\n"; return }
sub fine  { print "FINE: ",  @_, "\n"; return }

# Output that is not held back, a sane umask, and no secrets in the process list. Call it first, before the options are
# parsed: @ARGV keeps the values.
sub setEnv {
    STDOUT->autoflush(1);
    STDERR->autoflush(1);
    umask 022;
    hidePwdInCmdLine();
    return;
}

# Overwrites the arguments in the process list: the value of any option whose name contains pass, pwd or account, and
# passwords inside JSON.
sub hidePwdInCmdLine {
    my @words = @ARGV;
    my $found = 0;
    for my $index (0 .. $#words) {
        if ($words[$index] =~ /^-+[^=]*(?:pass|pwd|account)[^=]*$/i and $index < $#words) {
            $words[$index + 1] = $MASK;
            $found = 1;
        }
        elsif ($words[$index] =~ s/^(-+[^=]*(?:pass|pwd|account)[^=]*=).+$/$1$MASK/is) { $found = 1 }
        elsif ($words[$index] =~ s/("password"\s*:\s*)"(?:[^"\\]|\\.)+"/$1"$MASK"/gi) { $found = 1 }
    }
    $0 = join ' ', $0, @words if $found;
    return;
}

# --- Outputs and live data --------------------------------------------------------------------------------------------

# Where the outputs go: beside the script on a target, to OUTPUT_PATH on the runner.
sub outputPath {
    return $ENV{OUTPUT_PATH} if defined $ENV{OUTPUT_PATH} and $ENV{OUTPUT_PATH} ne '' and defined $ENV{OPERATION_ID};
    return "$SCRIPT_DIR/output.json";
}

# Writes the outputs, a hash reference. The whole file is replaced: call it once. Text is converted to UTF-8 by itself; the
# second argument of older scripts says so and changes nothing.
sub saveOutput {
    my ($outputs, $convertToUtf8) = @_;
    my $path = outputPath();
    info("Try save output to $path.");
    _replace($path, AutoExec::Json::encode($outputs, 1));
    info('Save output success.');
    return;
}

# Writes data for the tool's own status page while it runs.
sub saveLiveData {
    my ($data) = @_;
    my $path = $ENV{LIVEDATA_PATH};
    if (not defined $path or $path eq '') {
        warning('Could not save live data, because of environ LIVEDATA_PATH not defined.');
        return;
    }
    info("Try save live data to $path.");
    _replace($path, AutoExec::Json::encode($data, 1));
    info('Save live data success.');
    return;
}

# By way of a temporary file: a reader sees the old content or the new.
sub _replace {
    my ($path, $bytes) = @_;
    my $dir = File::Basename::dirname($path);
    File::Path::mkpath($dir) unless -d $dir;
    my $new = "$path.new";
    open(my $file, '>', $new) or die "ERROR: Can not write $new: $!\n";
    binmode $file;
    (print {$file} $bytes, "\n") and close($file) or die "ERROR: Can not write $new: $!\n";
    rename($new, $path) or die "ERROR: Can not write $path: $!\n";
    return;
}

# The bytes of a file.
sub getFileContent {
    my ($path) = @_;
    open(my $file, '<', $path) or die "ERROR: Can not open $path: $!\n";
    binmode $file;
    local $/ = undef;
    my $content = <$file>;
    close $file;
    return defined $content ? $content : '';
}

# --- Nodes ------------------------------------------------------------------------------------------------------------

# This node as a hash reference. On a target without its password.
sub getMyNode {
    my $text = $ENV{AUTOEXEC_NODE};
    return undef if not defined $text or $text eq '';    ## no critic: callers test for it
    return AutoExec::Json::decode($text);
}

# The nodes of a phase or group, without passwords, in the order of the file. Runner tools only.
sub getNodesArray {
    my ($phase, $group) = @_;
    my @nodes = map { delete $_->{password}; $_ } @{_nodes($phase, $group)};
    return \@nodes;
}

# The same as a map by resource id.
sub getNodes {
    my ($phase, $group) = @_;
    my %nodes = map { ($_->{resourceId} => $_) } @{getNodesArray($phase, $group)};
    return \%nodes;
}

# One node of the phase, password included.
sub getNode {
    my ($id) = @_;
    my ($node) = grep { defined $_->{resourceId} and $_->{resourceId} eq $id } @{_read_nodes($ENV{AUTOEXEC_NODES_PATH})};
    return $node;
}

sub _nodes {
    my ($phase, $group) = @_;
    my $own = $ENV{AUTOEXEC_NODES_PATH};
    return [] unless defined $own;
    my $dir = File::Basename::dirname($own);
    my @names;
    push @names, "nodes-ph-$phase.json" if defined $phase and $phase ne '';
    push @names, "nodes-gp-$group.json" if defined $group and $group ne '';
    my ($path) = grep { -e } map { "$dir/$_" } @names, 'nodes.json';
    return _read_nodes(defined $path ? $path : $own);
}

# The first line is a header.
sub _read_nodes {
    my ($path) = @_;
    return [] unless defined $path and -e $path;
    my ($header, @lines) = split /\n/, getFileContent($path);
    return [map { AutoExec::Json::decode($_) } grep { /\S/ } @lines];
}

# The merged outputs of all operations on this node: {operation id => {name => value}}.
sub loadNodeOutput {
    my $path = $ENV{NODE_OUTPUT_PATH};
    return {} unless defined $path and -s $path;
    return AutoExec::Json::decode(getFileContent($path));
}

# What this operation put out in the run before.
sub getOpPreOutput {
    my $id = $ENV{OPERATION_ID};
    my $all = loadNodeOutput();
    return defined $id && ref $all->{$id} eq 'HASH' ? $all->{$id} : {};
}

# --- Operator input ---------------------------------------------------------------------------------------------------

sub getNodePipeFile {
    my ($jobPath, $phase, $node) = @_;
    my ($host, $port, $id) = map { defined $node->{$_} ? $node->{$_} : '' } qw(host port resourceId);
    return "$jobPath/log/$phase/$host-$port-$id.txt.run.pipe";
}

# Sends one message to the executor; false where it can not be reached.
sub _send {
    my ($message) = @_;
    my $path = $ENV{AUTOEXEC_JOB_SOCK};
    return 0 unless defined $path and -e $path;
    my $socket = IO::Socket::UNIX->new(Type => Socket::SOCK_DGRAM(), Peer => $path) or return 0;
    return defined $socket->send(AutoExec::Json::encode($message));
}

# Tells the executor that the node waits for a person. Never a failure. Without a title: that it does not wait any more.
sub informNodeWaitInput {
    my ($phase, $id, $title, $opType, $message, $options, $role, $pipeFile) = @_;
    my ($state, %rest) = ('running', clean => 1, interact => undef);
    if (defined $title) {
        ($state, %rest) = (
            'waitInput',
            clean => undef,
            interact => {title => $title, opType => $opType, message => $message, options => $options || [], role => $role,
                pipeFile => $pipeFile});
    }
    if (_send({action => 'informNodeWaitInput', phaseName => $phase, resourceId => $id, %rest})) {
        info("Inform runner udpate status to $state success.");
    }
    else {
        my $path = defined $ENV{AUTOEXEC_JOB_SOCK} ? $ENV{AUTOEXEC_JOB_SOCK} : 'not defined';
        warning("Inform runner update status to $state failed: socket $path can not be reached.");
    }
    return;
}

# Asks a person and waits for a day at most. Returns user and value; the value is undefined after force-exit, or when
# standard input ended, which means that the executor is gone.
sub doInteract {
    my ($title, $opType, $message, $options, $role, $pipeFile) = @_;
    my $guard = AutoExecUtils::Pipe->new($pipeFile,
        {title => $title, opType => $opType, message => $message, options => $options || [], role => $role, pipeFile => $pipeFile});
    local $SIG{TERM} = sub { die "ERROR: Wait user input aborted.\n" };
    local $SIG{INT}  = $SIG{TERM};
    local $SIG{HUP}  = $SIG{TERM};
    print "[Wait Interact]$message\n";
    my $deadline = time + $ANSWER_LIMIT;
    while (defined(my $line = $guard->line($deadline))) {
        my $user;
        ($user, $line) = ($1, $2) if $line =~ /^\[(.*?)\]#\s(.*)$/s;
        info("Get input:$line");
        return ($user, undef) if $line eq 'force-exit';
        return ($user, $line) if _valid($opType, $options, $line);
        warning("Invalid input value:$line, try again.");
    }
    return (undef, undef);
}

sub _valid {
    my ($opType, $options, $value) = @_;
    my %allowed = map { ($_ => 1) } @{$options || []};
    return $allowed{$value} if $opType eq 'button' or $opType eq 'select';
    if ($opType eq 'mselect') {
        my $chosen = eval { AutoExec::Json::decode($value) };
        return 0 unless ref $chosen eq 'ARRAY' and @$chosen;
        return not grep { ref $_ or not defined $_ or not $allowed{Encode::encode('UTF-8', $_)} and not $allowed{$_} } @$chosen;
    }
    return 1;
}

# Sets variables in the running executor; without the flag also for later phases and runs.
sub setJobEnv {
    my ($onlyInProcess, $items) = @_;
    return _send({action => 'setEnv', onlyInProcess => $onlyInProcess ? 1 : 0, items => $items});
}

# --- Tables -----------------------------------------------------------------------------------------------------------

# Whether a rule holds for the values of a row; see AutoExec::Table for the language.
sub evalDsl {
    my ($rule, $row) = @_;
    require AutoExec::Table;
    return AutoExec::Table::evaluate($rule, $row);
}

# Prints data as a table, a line per row, and checks the rows: 0 all good, 1 a row breaks the rule, 2 no row.
sub JsonToTableCheck {
    my ($data, $fields, $filter, $rule) = @_;
    require AutoExec::Table;
    return AutoExec::Table::check($data, $fields, $filter, $rule);
}

# A named pipe with its description beside it; both go with the object.
package AutoExecUtils::Pipe;    ## no critic: a detail of this module

sub new {
    my ($class, $path, $question) = @_;
    my $dir = File::Basename::dirname($path);
    File::Path::mkpath($dir) unless -d $dir;
    unlink $path if -e $path;
    AutoExecUtils::_replace("$path.json", AutoExec::Json::encode($question));
    POSIX::mkfifo($path, 0700) or die "ERROR: Can not make the pipe $path: $!\n";
    # For reading and writing: it never ends, and opening does not wait.
    open(my $pipe, '+<', $path) or die "ERROR: Can not open the pipe $path: $!\n";
    my $select = IO::Select->new($pipe);
    # Only a pipe or a terminal can say that whoever started us is gone.
    $select->add(\*STDIN) if -p STDIN or -t STDIN;
    return bless {path => $path, pipe => $pipe, select => $select, text => ''}, $class;
}

# The next line; nothing when standard input has ended. Dies when the time is over.
sub line {
    my ($self, $deadline) = @_;
    while (1) {
        return $1 if $self->{text} =~ s/^([^\n]*)\n//;
        my $left = $deadline - time;
        my @ready = $left > 0 ? $self->{select}->can_read($left) : ();
        die "WARN: Wait user input timeout or execution aborted.\n" if not @ready and time >= $deadline;
        for my $handle (@ready) {
            my $length = sysread $handle, $self->{text}, 4096, length $self->{text};
            return undef if not $length;    ## no critic: the end
        }
    }
}

sub DESTROY {
    my ($self) = @_;
    unlink $self->{path}, "$self->{path}.json";
    return;
}

1;
