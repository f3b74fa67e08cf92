package HostCollector::Processes;

# The processes of a Linux host from /proc, and which sockets they have.

use strict;
use warnings;

use POSIX ();

use HostCollector::Reading qw(slurp lines first_line number round2);

my %TCP = ('01' => 'ESTABLISHED', '02' => 'SYN_SENT', '03' => 'SYN_RECV', '04' => 'FIN_WAIT1', '05' => 'FIN_WAIT2', '06' => 'TIME_WAIT',
    '07' => 'CLOSE', '08' => 'CLOSE_WAIT', '09' => 'LAST_ACK', '0A' => 'LISTEN', '0B' => 'CLOSING');

# All processes in the order of their numbers: the attributes of "ps" as keys, and the words of the command line. Kernel
# threads are left out.
sub list {
    my $tick = POSIX::sysconf(&POSIX::_SC_CLK_TCK) || 100;
    my $page = POSIX::sysconf(&POSIX::_SC_PAGESIZE) || 4096;
    my ($uptime) = split ' ', first_line('/proc/uptime') || '0';
    my ($total) = map { /^MemTotal:\s+(\d+)/ ? $1 : () } lines('/proc/meminfo');
    my (%user, %group, @found);
    for my $pid (sort { $a <=> $b } map { m{^/proc/(\d+)$} ? $1 : () } glob '/proc/[0-9]*') {
        my $stat = slurp("/proc/$pid/stat") or next;
        my ($comm, $rest) = $stat =~ /^\d+ \((.*)\) (.*)/s or next;
        my @field = split ' ', $rest;
        my ($state, $parent, $pgid) = @field[0, 1, 2];
        next if $pid == 2 or $parent == 2;
        my $cmdline = slurp("/proc/$pid/cmdline");
        my $status  = slurp("/proc/$pid/status") or next;
        my ($ruid, $uid) = $status =~ /^Uid:\s+(\d+)\s+(\d+)/m or next;
        my ($rgid, $gid) = $status =~ /^Gid:\s+(\d+)\s+(\d+)/m;
        for ($ruid, $uid) { $user{$_} = getpwuid($_) || $_ unless exists $user{$_} }
        for ($rgid, $gid) { $group{$_} = getgrgid($_) || $_ unless exists $group{$_} }
        # Programs that write a title of their own end it with zeros, or with none.
        my @words = defined $cmdline ? split /\0/, $cmdline : ();
        my $seconds = $uptime - $field[19] / $tick;
        $seconds = 0 if $seconds < 0;
        my $cpu = ($field[11] + $field[12]) / $tick;
        my $memory = $field[21] * $page / 1024;
        push @found, {
            PID => $pid + 0, PPID => $parent + 0, PGID => $pgid + 0, USER => $user{$uid}, GROUP => $group{$gid}, RUSER => $user{$ruid},
            RGROUP => $group{$rgid}, '%CPU' => round2($seconds > 0 ? 100 * $cpu / $seconds : 0),
            '%MEM' => round2($total ? 100 * $memory / $total : 0), TIME => _clock($cpu), ELAPSED => int $seconds, COMM => $comm,
            COMMAND => @words ? join(' ', @words) : "[$comm]", STATE => $state, WORDS => \@words, UID => $uid + 0, GID => $gid + 0,
            MEM_MB => round2($memory / 1024),
        };
    }
    return \@found;
}

sub _clock {
    my ($seconds) = @_;
    return sprintf '%02d:%02d:%02d', $seconds / 3600, $seconds / 60 % 60, $seconds % 60;
}

# The environment a process was started with.
sub environment {
    my ($pid) = @_;
    my $text = slurp("/proc/$pid/environ");
    return {} unless defined $text;
    return {map { /^([^=]+)=(.*)$/s ? ($1 => $2) : () } split /\0/, $text};
}

# The kind of container a process is in; nothing on the host itself.
sub container {
    my ($pid) = @_;
    my $own = readlink '/proc/self/ns/mnt';
    my $its = readlink "/proc/$pid/ns/mnt";
    return undef if not defined $its or not defined $own or $its eq $own;    ## no critic
    my $groups = slurp("/proc/$pid/cgroup") || '';
    return $1 if $groups =~ /(docker|kubepods|containerd|libpod|crio|lxc)/;
    return undef;    ## no critic
}

# --- Sockets ----------------------------------------------------------------------------------------------------------

# The TCP sockets that processes of one network have: by inode {state, local, remote, queues}.
sub sockets_of {
    my ($pid) = @_;
    my %sockets;
    for my $file ("/proc/$pid/net/tcp", "/proc/$pid/net/tcp6") {
        for my $line (lines($file)) {
            my ($local, $remote, $state, $sending, $receiving, $inode) =
                $line =~ /^\s*\d+:\s+(\S+)\s+(\S+)\s+([0-9A-F]{2})\s+([0-9A-F]+):([0-9A-F]+)\s+\S+\s+\S+\s+\d+\s+\d+\s+(\d+)/ or next;
            next if $inode == 0;
            my ($address, $port) = _address($local);
            my ($peer, $peer_port) = _address($remote);
            $sockets{$inode} = {
                STATE => $TCP{$state} || $state, ADDRESS => $address, PORT => $port, PEER => $peer, PEER_PORT => $peer_port,
                SEND => hex $sending, RECEIVE => hex $receiving,
            };
        }
    }
    return \%sockets;
}

# The kernel writes an address as words of four bytes, each in the machine's byte order.
sub _address {
    my ($text) = @_;
    my ($hex, $port) = split /:/, $text;
    my $bytes = join '', map { pack 'N', $_ } unpack 'L*', pack 'H*', $hex;
    $port = hex $port;
    return (join('.', unpack 'C4', $bytes), $port) if length $bytes == 4;
    # An IPv4 address in an IPv6 socket.
    return (join('.', unpack 'C4', substr $bytes, 12), $port) if substr($bytes, 0, 12) eq ("\0" x 10) . "\xff\xff";
    my @words = map { sprintf '%x', $_ } unpack 'n8', $bytes;
    my $address = join ':', @words;
    # The longest run of zeros is left out.
    my ($best) = sort { length $b <=> length $a } $address =~ /((?:\b0(?::|$)){2,})/g;
    if (defined $best) {
        $address =~ s/(?:^|:)\Q$best\E/::/;
        $address = '::' if $address =~ /^:*$/;
        $address =~ s/:::/::/;
    }
    return ($address, $port);
}

# Inodes of the sockets a process has open, and the number of its open files.
sub open_files {
    my ($pid) = @_;
    opendir my $dir, "/proc/$pid/fd" or return ([], undef);
    my @numbers = grep { /^\d+$/ } readdir $dir;
    closedir $dir;
    my @inodes = map { (readlink("/proc/$pid/fd/$_") || '') =~ /^socket:\[(\d+)\]/ ? $1 : () } @numbers;
    return (\@inodes, scalar @numbers);
}

sub open_files_limit {
    my ($pid) = @_;
    my ($limit) = map { /^Max open files\s+(\S+)/ ? $1 : () } lines("/proc/$pid/limits");
    return defined $limit && $limit =~ /^\d+$/ ? $limit + 0 : undef;
}

1;
