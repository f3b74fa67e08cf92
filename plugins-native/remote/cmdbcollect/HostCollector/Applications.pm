package HostCollector::Applications;

# The records of recognised applications: what each product tells, and what every process has: files, ports, connections.

use strict;
use warnings;

use HostCollector::Processes;
use HostCollector::Products;
use HostCollector::Reading qw(masked masked_command round2);

# The records of all recognised applications. Options: classes (a hash of wanted types, empty for all), inspect, containers,
# environment (only processes with this variable), verbose, own_addresses (IPv4 and IPv6 of the host), os (keys of the host).
sub records {
    my ($processes, %option) = @_;
    my %by_pid = map { ($_->{PID} => $_) } @$processes;
    my (%product_of, @main);
    for my $process (@$processes) {
        next if $process->{STATE} eq 'Z' or $process->{PID} == $$;
        $process->{CONTAINER} = HostCollector::Processes::container($process->{PID});
        next if $process->{CONTAINER} and not $option{containers};
        my $product = HostCollector::Products::of($process, $option{classes}) or next;
        $product_of{$process->{PID}} = $product;
    }
    # A process whose parent is of the same type belongs to it.
    my %members;
    for my $process (grep { $product_of{$_->{PID}} } @$processes) {
        my ($top, $left) = ($process, 64);
        while ($left-- and my $parent = $by_pid{$top->{PPID}}) {
            last unless $product_of{$parent->{PID}} and $product_of{$parent->{PID}} == $product_of{$process->{PID}};
            $top = $parent;
        }
        push @main, $top unless $members{$top->{PID}};
        push @{$members{$top->{PID}}}, $process;
    }
    my @records;
    for my $process (@main) {
        my $variables = HostCollector::Processes::environment($process->{PID});
        next if defined $option{environment} and $option{environment} ne '' and not exists $variables->{$option{environment}};
        my $product = $product_of{$process->{PID}};
        my $record = eval {
            local $SIG{ALRM} = sub { die "it took too long\n" };
            alarm 600;
            my $found = _record($process, $product, $members{$process->{PID}}, $variables, \%option);
            alarm 0;
            $found;
        };
        alarm 0;
        if ($@) { print "WARN: Process $process->{PID} of type $product->{type}: $@" }
        push @records, $record if $record;
    }
    return @records;
}

sub _record {
    my ($process, $product, $members, $variables, $option) = @_;
    my $sockets = HostCollector::Processes::sockets_of($process->{PID});
    my (@own, @files);
    for my $member (@$members) {
        my ($inodes, $count) = HostCollector::Processes::open_files($member->{PID});
        push @own, @$inodes;
        my $limit = HostCollector::Processes::open_files_limit($member->{PID});
        push @files, {PID => $member->{PID} + 0, OPEN => $count, MAX => $limit,
            RATE => defined $count && $limit ? round2(100 * $count / $limit) : undef};
    }
    my %seen;
    my @sockets = map { $sockets->{$_} } grep { $sockets->{$_} and not $seen{$_}++ } @own;
    my @listening = grep { $_->{STATE} eq 'LISTEN' } @sockets;
    return undef if $product->{listens} and not @listening;    ## no critic

    print "INFO: Process $process->{PID} matched filter:$product->{type}, begin to collect data...\n";
    my %details = $product->{details}->($process) or return undef;    ## no critic
    print "INFO: Matched Object Type:$product->{category}/$product->{type}.\n";
    my %ports = map { ($_->{PORT} => 1) } @listening;
    my ($smallest) = sort { $a <=> $b } keys %ports;
    # A port of the configuration that nobody listens on is not the service's.
    delete $details{PORT} if defined $details{PORT} and %ports and not $ports{$details{PORT}};
    my $port = defined $details{PORT} ? $details{PORT} + 0 : defined $smallest ? $smallest + 0 : undef;
    my %os = %{$option->{os}};
    my ($cpu, $memory) = (0, 0);
    for (@$members) { $cpu += $_->{'%CPU'}; $memory += $_->{MEM_MB} }
    my $usage = 0;
    $usage += $_->{'%MEM'} for @$members;
    my @listen = _sorted(map { _joined($_->{ADDRESS}, $_->{PORT}) } @listening);
    my @names = sort keys %$variables;
    my %record = (
        SERVICE_PORTS => [map { {NAME => lc $product->{type}, PORT => $_ + 0} } sort { $a <=> $b } keys %ports],
        %details,
        _OBJ_CATEGORY   => $product->{category},
        _OBJ_TYPE       => $product->{type},
        _MULTI_PROC     => @$members > 1 ? 1 : 0,
        PK              => $product->{category} eq 'DBINS' ? [qw(MGMT_IP PORT INSTANCE_NAME)] : [qw(MGMT_IP PORT)],
        MGMT_IP         => $os{MGMT_IP},
        PRIMARY_IP      => $os{MGMT_IP},
        VIP             => $os{MGMT_IP},
        OS_ID           => $os{OS_ID},
        PORT            => $port,
        PID             => $process->{PID} + 0,
        COMMAND         => masked_command(@{$process->{WORDS}}),
        OS_USER         => $process->{USER},
        UPTIME          => $process->{ELAPSED},
        CPU_LOGIC_CORES => $os{CPU_LOGIC_CORES},
        CPU_USAGE       => round2($cpu),
        MEM_USED        => round2($memory),
        MEM_USAGE       => round2($usage),
        OPEN_FILES_INFO => \@files,
        LISTEN          => [map { {ADDR => $_} } @listen],
        PROC_INFO       => _process_info($process),
        MAIN_ENV        => [map { {NAME => $_, VALUE => masked($_, $variables->{$_})} } @names],
        RUN_ON          => [{_OBJ_CATEGORY => 'OS', _OBJ_TYPE => 'Linux', OS_ID => $os{OS_ID}, MGMT_IP => $os{MGMT_IP}}],
        _connections(\@sockets, \%ports, \@listen, $option),
        _belonging($variables->{TS_INSNAME}),
    );
    $record{_CONTAINERTYPE} = $process->{CONTAINER} if $process->{CONTAINER};
    return \%record;
}

sub _process_info {
    my ($process) = @_;
    my %info = map { ($_ => $process->{$_}) } qw(USER GROUP RUSER RGROUP TIME COMM);
    # A number that was used as text would be text in JSON.
    $info{$_} = $process->{$_} + 0 for qw(PID PPID PGID %CPU %MEM ELAPSED);
    $info{COMMAND} = masked_command(@{$process->{WORDS}});
    return \%info;
}

sub _joined {
    my ($address, $port) = @_;
    return $address =~ /:/ ? "[$address]:$port" : "$address:$port";
}

sub _sorted {
    my %seen;
    return sort grep { not $seen{$_}++ } @_;
}

# What is connected to whom.
sub _connections {
    my ($sockets, $ports, $listen, $option) = @_;
    my (%bind, %peer, %remote);
    for my $socket (grep { $_->{STATE} eq 'LISTEN' } @$sockets) {
        # A socket on all addresses is reached by each of the host's.
        my @addresses = $socket->{ADDRESS} =~ /^(?:0\.0\.0\.0|::)$/ ? @{$option->{own_addresses}} : ($socket->{ADDRESS});
        $bind{_joined($_, $socket->{PORT})} = 1 for @addresses;
    }
    my %stats = map { ($_ => 0) } qw(TOTAL_COUNT INBOUND_COUNT OUTBOUND_COUNT SYN_RECV_COUNT CLOSE_WAIT_COUNT
        RECV_QUEUED_COUNT RECV_QUEUED_SIZE SEND_QUEUED_COUNT SEND_QUEUED_SIZE);
    for my $socket (grep { $_->{STATE} ne 'LISTEN' and $_->{PEER_PORT} } @$sockets) {
        $stats{TOTAL_COUNT}++;
        my $inbound = $ports->{$socket->{PORT}};
        $stats{$inbound ? 'INBOUND_COUNT' : 'OUTBOUND_COUNT'}++;
        $stats{SYN_RECV_COUNT}++   if $socket->{STATE} eq 'SYN_RECV';
        $stats{CLOSE_WAIT_COUNT}++ if $socket->{STATE} eq 'CLOSE_WAIT';
        if ($socket->{RECEIVE}) { $stats{RECV_QUEUED_COUNT}++; $stats{RECV_QUEUED_SIZE} += $socket->{RECEIVE} }
        if ($socket->{SEND}) { $stats{SEND_QUEUED_COUNT}++; $stats{SEND_QUEUED_SIZE} += $socket->{SEND} }
        next if $inbound;
        my $address = _joined($socket->{PEER}, $socket->{PEER_PORT});
        $peer{$address} = 1;
        my $one = $remote{$address} ||= {REMOTE_ADDR => $address, OUTBOUND_COUNT => 0, SYN_SENT_COUNT => 0, SEND_QUEUED_COUNT => 0, SEND_QUEUED_SIZE => 0};
        $one->{OUTBOUND_COUNT}++;
        $one->{SYN_SENT_COUNT}++ if $socket->{STATE} eq 'SYN_SENT';
        if ($socket->{SEND}) { $one->{SEND_QUEUED_COUNT}++; $one->{SEND_QUEUED_SIZE} += $socket->{SEND} }
    }
    for my $way (qw(RECV_QUEUED SEND_QUEUED)) {
        my ($count, $size) = @stats{"${way}_COUNT", "${way}_SIZE"};
        $stats{"${way}_RATE"}     = $stats{TOTAL_COUNT} ? round2($count / $stats{TOTAL_COUNT}) : 0;
        $stats{"${way}_SIZE_AVG"} = $stats{TOTAL_COUNT} ? round2($size / $stats{TOTAL_COUNT}) : 0;
    }
    my @stats = map { {ADDR => _joined($_->{ADDRESS}, $_->{PORT}), QUEUED => $_->{RECEIVE}} } grep { $_->{STATE} eq 'LISTEN' } @$sockets;
    my %found = (
        CONN_INFO    => {LISTEN => $listen, BIND => [sort keys %bind], PEER => [sort keys %peer]},
        CONN_STATS   => \%stats,
        LISTEN_STATS => [sort { $a->{ADDR} cmp $b->{ADDR} } @stats],
    );
    $found{CONN_OUTBOUND_STATS} = [map { $remote{$_} } sort keys %remote] if $option->{inspect};
    return %found;
}

# An instance started by the deployment says in a variable what it belongs to: system/module/...
sub _belonging {
    my ($name) = @_;
    return () unless defined $name and $name =~ m{^([^/]+)/([^/]+)};
    return (
        BELONG_APPLICATION        => [{_OBJ_CATEGORY => 'APPLICATION', _OBJ_TYPE => 'APPLICATION', APP_NAME => $1}],
        BELONG_APPLICATION_MODULE => [{_OBJ_CATEGORY => 'APPLICATION_MODULE', _OBJ_TYPE => 'APPLICATION_MODULE', APP_NAME => $1, APP_MODULE_NAME => $2}],
    );
}

1;
