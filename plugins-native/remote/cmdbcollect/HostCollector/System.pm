package HostCollector::System;

# The record of a Linux system: identity, processors, memory, network, storage, configuration and, when asked for, load.

use strict;
use warnings;

use POSIX ();
use Time::HiRes ();

use HostCollector::Hardware;
use HostCollector::Reading qw(slurp lines first_line number output program round2);

my $TOP_COUNT = 10;
my $SAMPLE_SECONDS = 1;

# File systems that are no storage.
my $PSEUDO = qr/^(?:autofs|bdev|binder|binfmt_misc|bpf|cgroup2?|configfs|cpuset|debugfs|devfs|devpts|devtmpfs|efivarfs|fuse\S*|fusectl
    |hugetlbfs|iso9660|mqueue|nfsd|none|nsfs|proc|pstore|ramfs|rootfs|rpc_pipefs|securityfs|selinuxfs|squashfs|swap|sysfs|tmpfs
    |tracefs|usbfs)$/x;

# --- Identity ---------------------------------------------------------------------------------------------------------

# The version as distribution and number, and the same with the first number only: debian12.11, debian12.
sub version {
    my %release;
    for my $line (lines('/etc/os-release'), lines('/usr/lib/os-release')) {
        $release{$1} = $3 if $line =~ /^(\w+)=(["']?)(.*?)\2\s*$/ and not exists $release{$1};
    }
    my ($id, $number) = @release{qw(ID VERSION_ID)};
    # The file of Debian has the minor number, that of Red Hat and its relatives too.
    if (defined $id and $id eq 'debian') {
        my $full = first_line('/etc/debian_version');
        $number = $full if defined $full and $full =~ /^\d/;
    }
    elsif (my $text = first_line('/etc/redhat-release')) {
        my ($name, $full) = $text =~ /^(\w+).*?release\s+([\d.]+)/;
        $id = lc $name if not defined $id and defined $name;
        $number = $full if defined $full;
    }
    elsif (not defined $id and my $suse = slurp('/etc/SuSE-release')) {
        ($id, $number) = ('suse', $suse =~ /VERSION\s*=\s*(\d+).*?PATCHLEVEL\s*=\s*(\d+)/s ? "$1.$2" : '');
    }
    $id = 'linux' unless defined $id;
    $number = '' unless defined $number;
    my ($major) = $number =~ /^(\d+)/;
    return ("$id$number", $id . (defined $major ? $major : ''));
}

# --- Memory, in MB ----------------------------------------------------------------------------------------------------

sub memory {
    my %kib = map { /^(\w+(?:\(\w+\))?):\s+(\d+)/ ? ($1 => $2) : () } lines('/proc/meminfo');
    my $mb = sub { my $value = $kib{$_[0]}; return defined $value ? round2($value / 1024) : undef };
    # Kernels before 3.14 do not tell what is available.
    $kib{MemAvailable} = ($kib{MemFree} || 0) + ($kib{Buffers} || 0) + ($kib{Cached} || 0) unless defined $kib{MemAvailable};
    my $total = $kib{MemTotal} || 1;
    return (
        MEM_TOTAL     => $mb->('MemTotal'),
        MEM_FREE      => $mb->('MemFree'),
        MEM_AVAILABLE => $mb->('MemAvailable'),
        MEM_CACHED    => $mb->('Cached'),
        MEM_BUFFERS   => $mb->('Buffers'),
        MEM_USAGE     => round2(100 * ($total - $kib{MemAvailable}) / $total),
        SWAP_TOTAL    => $mb->('SwapTotal'),
        SWAP_FREE     => $mb->('SwapFree'),
    );
}

# --- Load -------------------------------------------------------------------------------------------------------------

# Fields of the first line of /proc/stat: user nice system idle iowait irq softirq steal ...
sub _cpu_times {
    my ($line) = lines('/proc/stat');
    my (undef, @times) = split ' ', $line;
    # Guest time is part of user time already.
    return @times[0 .. ($#times < 7 ? $#times : 7)];
}

# Processor time of each process in clock ticks.
sub _process_times {
    my %times;
    for my $path (glob '/proc/[0-9]*/stat') {
        my $text = slurp($path) or next;
        my ($pid, $rest) = $text =~ /^(\d+) \(.*\) (.*)/s or next;
        my @field = split ' ', $rest;
        $times{$pid} = $field[11] + $field[12];
    }
    return %times;
}

# Two looks at the counters, a second apart.
sub load {
    my ($processes) = @_;
    my @before = _cpu_times();
    my %before = _process_times();
    my $start  = Time::HiRes::time();
    Time::HiRes::sleep($SAMPLE_SECONDS);
    my @after = _cpu_times();
    my %after = _process_times();
    my $elapsed = Time::HiRes::time() - $start;
    my @used = map { $after[$_] - $before[$_] } 0 .. $#after;
    my $all = 0;
    $all += $_ for @used;
    $all ||= 1;
    my $busy = round2(100 * ($all - $used[3] - ($used[4] || 0)) / $all);
    my ($one, $five, $fifteen) = split ' ', first_line('/proc/loadavg') || '';
    my $tick = POSIX::sysconf(&POSIX::_SC_CLK_TCK) || 100;
    my %memory = memory();
    my @top;
    for my $process (@$processes) {
        my $pid = $process->{PID};
        next unless defined $after{$pid} and defined $before{$pid};
        my @pages = split ' ', first_line("/proc/$pid/statm") || '0 0 0';
        my $mb = sub { round2($_[0] * POSIX::sysconf(&POSIX::_SC_PAGESIZE) / 1048576) };
        push @top, {
            PID => $pid + 0, USER => $process->{USER}, COMMAND => $process->{COMM},
            CPU_USAGE => round2(100 * ($after{$pid} - $before{$pid}) / $tick / $elapsed),
            MEM_USAGE => round2(100 * $mb->($pages[1]) / ($memory{MEM_TOTAL} || 1)),
            VIRT => $mb->($pages[0]), RES => $mb->($pages[1]), SHR => $mb->($pages[2]),
        };
    }
    my $highest = sub {
        my ($key) = @_;
        my @sorted = sort { $b->{$key} <=> $a->{$key} || $a->{PID} <=> $b->{PID} } @top;
        return [@sorted > $TOP_COUNT ? @sorted[0 .. $TOP_COUNT - 1] : @sorted];
    };
    return (
        CPU_LOAD_AVG_1         => number($one),
        CPU_LOAD_AVG_5         => number($five),
        CPU_LOAD_AVG_15        => number($fifteen),
        CPU_USAGE              => $busy,
        # /proc/stat sums all cores, so the average is the same figure.
        CPU_USAGE_PERCORE      => $busy,
        IOWAIT_PCT             => round2(100 * ($used[4] || 0) / $all),
        DEFUNC_PROCESSES_COUNT => scalar(grep { $_->{STATE} eq 'Z' } @$processes),
        TOP_CPU_RPOCESSES      => $highest->('CPU_USAGE'),
        TOP_MEM_PROCESSES      => $highest->('MEM_USAGE'),
    );
}

# --- Network ----------------------------------------------------------------------------------------------------------

sub network {
    my ($v4, $v6) = HostCollector::Hardware::addresses();
    my @dns = map { /^\s*nameserver\s+(\S+)/ ? {VALUE => $1} : () } lines('/etc/resolv.conf');
    my @ntp;
    for my $path (qw(/etc/chrony.conf /etc/chrony/chrony.conf /etc/ntp.conf /etc/ntpsec/ntp.conf), glob '/etc/chrony/sources.d/*.sources') {
        push @ntp, map { /^\s*(?:server|pool|peer)\s+(\S+)/ ? $1 : () } lines($path);
    }
    push @ntp, map { /^\s*NTP=\s*(.*\S)/ ? split(' ', $1) : () } lines('/etc/systemd/timesyncd.conf');
    my %seen;
    return (
        IP_ADDRS       => $v4,
        IPV6_ADDRS     => $v6,
        DNS_SERVERS    => \@dns,
        NTP_SERVERS    => [map { {VALUE => $_} } grep { not $seen{$_}++ } @ntp],
        ETH_INTERFACES => HostCollector::Hardware::interfaces(),
        NIC_BOND       => HostCollector::Hardware::has_bond(),
    );
}

# --- Storage, in GB ---------------------------------------------------------------------------------------------------

# "/mnt/a\040b" as it is.
sub _plain {
    my ($text) = @_;
    $text =~ s/\\([0-7]{3})/chr oct $1/ge;
    return $text;
}

sub mounts {
    my (%mount, @order, $has_nfs);
    for my $line (lines('/proc/mounts')) {
        my ($device, $point, $type) = split ' ', $line;
        next if not defined $type or $type =~ $PSEUDO;
        # A bind mount shows the same device once more; a later mount hides an earlier one.
        $point = _plain($point);
        # The layers of containers; the root of one is its storage.
        next if $type eq 'overlay' and $point ne '/';
        push @order, $point unless $mount{$point};
        $mount{$point} = {NAME => $point, DEVICE => _plain($device), FS_TYPE => $type, UNIT => 'GB'};
        $has_nfs = 1 if $type =~ /^nfs/;
    }
    # One call per mount point, so that a file server that does not answer hides nothing else.
    my $df = program('df');
    for my $point (@order) {
        my $found = $mount{$point};
        @$found{qw(CAPACITY USED AVAILABLE USED_PCT INODE_USED_PCT)} = (undef) x 5;
        my $sizes = $df ? output([$df, '-P', '-k', $point], limit => 5, stdout_only => 1) : undef;
        if (defined $sizes and $sizes =~ /\n\S.*?\s(\d+)\s+(\d+)\s+(-?\d+)\s+(\d+)%/) {
            @$found{qw(CAPACITY USED AVAILABLE)} = map { round2($_ / 1048576) } $1, $2, $3;
            $found->{USED_PCT} = $4 + 0;
        }
        my $inodes = defined $sizes ? output([$df, '-P', '-i', $point], limit => 5, stdout_only => 1) : undef;
        $found->{INODE_USED_PCT} = $1 + 0 if defined $inodes and $inodes =~ /\s(\d+)%\s/;
    }
    return (MOUNT_POINTS => [@mount{@order}], NFS_MOUNTED => $has_nfs ? 1 : 0, DISKS => HostCollector::Hardware::disks());
}

# --- Configuration ----------------------------------------------------------------------------------------------------

sub users {
    my @users;
    for my $line (lines('/etc/passwd')) {
        my ($name, undef, $uid, $gid, undef, $home, $shell) = split /:/, $line, -1;
        next unless defined $shell and $uid =~ /^\d+$/ and ($uid == 0 or $uid >= 500);
        push @users, {NAME => $name, UID => $uid, GID => $gid, HOME => $home, SHELL => $shell};
    }
    return \@users;
}

# Services with whether they start with the system and whether they run; systemd, else chkconfig.
sub services {
    my @services;
    if (-d '/run/systemd/system' and my $systemctl = program('systemctl')) {
        my %active;
        my $units = output([$systemctl, 'list-units', '--type=service', '--all', '--no-legend', '--no-pager', '--plain'], stdout_only => 1);
        for my $line (split /\n/, defined $units ? $units : '') {
            $active{$1} = $2 if $line =~ /^\s*(\S+)\.service\s+\S+\s+(\S+)/;
        }
        my $files = output([$systemctl, 'list-unit-files', '--type=service', '--no-legend', '--no-pager'], stdout_only => 1);
        for my $line (split /\n/, defined $files ? $files : '') {
            my ($name, $state) = $line =~ /^(\S+)\.service\s+(\S+)/ or next;
            next if $name =~ /\@$/;
            push @services, {NAME => $name, ENABLE => $state =~ /^enabled/ ? 1 : 0, ACTIVE => ($active{$name} || '') eq 'active' ? 1 : 0};
        }
    }
    elsif (-d '/etc/init.d') {
        my %starts = map { m{/S\d\d([^/]+)$} ? ($1 => 1) : () } glob('/etc/rc3.d/S*'), glob('/etc/rc.d/rc3.d/S*'), glob('/etc/rc2.d/S*');
        for my $path (sort glob '/etc/init.d/*') {
            my ($name) = $path =~ m{([^/]+)$};
            next if not -x $path or $name =~ /^(?:README|functions|rc|rcS|skeleton|single|killall|halt)$/;
            push @services, {NAME => $name, ENABLE => $starts{$name} ? 1 : 0, ACTIVE => undef};
        }
    }
    return \@services;
}

sub selinux {
    my $mode = first_line('/sys/fs/selinux/enforce');
    $mode = first_line('/selinux/enforce') unless defined $mode;
    return !defined $mode ? 'disabled' : $mode ? 'enforcing' : 'permissive';
}

# Seconds that the clock is off, by chrony or ntp; nothing when neither answers.
sub ntp_offset {
    my ($running) = @_;
    if ($running->{chronyd} and my $chronyc = program('chronyc')) {
        my $text = output([$chronyc, '-n', 'tracking'], limit => 5, stdout_only => 1);
        return $2 eq 'slow' ? -$1 : $1 + 0 if defined $text and $text =~ /^System time\s*:\s*([\d.]+) seconds (fast|slow)/m;
    }
    if ($running->{ntpd} and my $ntpq = program('ntpq')) {
        my $text = output([$ntpq, '-pn'], limit => 5, stdout_only => 1);
        return $1 / 1000 if defined $text and $text =~ /^\*\S+(?:\s+\S+){7}\s+(-?[\d.]+)/m;
    }
    return undef;    ## no critic
}

sub configuration {
    my ($processes) = @_;
    my %running = map { ($_->{COMM} => 1) } @$processes;
    my $ssh = program('ssh');
    my ($ssh_version) = ($ssh && output([$ssh, '-V']) || '') =~ /^([^\s,]+)/;
    my $openssl = program('openssl');
    my ($openssl_version) = ($openssl && output([$openssl, 'version']) || '') =~ /^OpenSSL\s+(\S+)/;
    # firewalld runs as a Python program, whose name the kernel cuts.
    my $firewall = $running{firewalld} || grep { $_->{COMMAND} =~ m{/firewalld\b} } @$processes;
    return (
        USERS                 => users(),
        SERVICES              => services(),
        MAX_OPEN_FILES        => number(first_line('/proc/sys/fs/file-max')),
        SELINUX_STATUS        => selinux(),
        FIREWALL_ENABLE       => $firewall ? 1 : 0,
        NETWORKMANAGER_ENABLE => $running{NetworkManager} ? 1 : 0,
        NTP_ENABLE            => $running{chronyd} || $running{ntpd} || $running{'systemd-timesyn'} ? 1 : 0,
        NTP_OFFSET_SECS       => ntp_offset(\%running),
        SSH_VERSION           => $ssh_version,
        OPENSSL_VERSION       => $openssl_version,
    );
}

# --- The record -------------------------------------------------------------------------------------------------------

# The record of the system, without what the caller knows (address, ids). Load with a true second argument.
sub record {
    my ($processes, $inspect) = @_;
    my ($version, $major) = version();
    my ($uptime) = split ' ', first_line('/proc/uptime') || '';
    my (undef, $hostname, $kernel) = POSIX::uname();
    return (
        _OBJ_CATEGORY  => 'OS',
        _OBJ_TYPE      => 'Linux',
        PK             => ['MGMT_IP'],
        OS_TYPE        => 'Linux',
        HOSTNAME       => $hostname,
        VERSION        => $version,
        MAJOR_VERSION  => $major,
        KERNEL_VERSION => $kernel,
        MACHINE_ID     => first_line('/etc/machine-id') || first_line('/var/lib/dbus/machine-id'),
        IS_VIRTUAL     => HostCollector::Hardware::is_virtual(),
        SYS_VENDOR     => HostCollector::Hardware::firmware('sys_vendor'),
        PRODUCT_NAME   => HostCollector::Hardware::firmware('product_name'),
        PRODUCT_UUID   => HostCollector::Hardware::firmware('product_uuid'),
        UPTIME         => defined $uptime ? int $uptime : undef,
        HOST_ON        => [{_OBJ_CATEGORY => 'HOST', _OBJ_TYPE => 'HOST', BOARD_SERIAL => HostCollector::Hardware::serial()}],
        HostCollector::Hardware::cpu(),
        memory(),
        network(),
        mounts(),
        configuration($processes),
        ($inspect ? load($processes) : ()),
    );
}

1;
