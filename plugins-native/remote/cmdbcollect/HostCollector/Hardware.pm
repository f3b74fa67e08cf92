package HostCollector::Hardware;

# Processors, firmware, disks, network and host bus adapters of a Linux host, from /proc and /sys.

use strict;
use warnings;

use POSIX ();

use HostCollector::Reading qw(slurp lines first_line number output program round2);

my $DMI = '/sys/class/dmi/id';
my $GIB = 1024 * 1024 * 1024;

# Keys about the processors, the same in the records of the system and of the host.
sub cpu {
    my (%sockets, %cores, $logical, %first);
    my ($socket) = (0);
    for my $line (lines('/proc/cpuinfo')) {
        my ($name, $value) = $line =~ /^([^:]+?)\s*:\s*(.*?)\s*$/ or next;
        $logical++ if $name eq 'processor' and $value =~ /^\d+$/;
        if ($name eq 'physical id') { $socket = $value; $sockets{$value} = 1 }
        if ($name eq 'core id') { $cores{"$socket/$value"} = 1 }
        $first{lc $name} = $value unless defined $first{lc $name};
    }
    my $arch = (POSIX::uname())[4];
    $logical ||= 1;
    my $frequency = $first{'cpu mhz'};
    # The highest of the socket where the kernel tells it; the present one changes all the time.
    my $highest = first_line('/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq');
    $frequency = $highest / 1000 if defined $highest and $highest =~ /^\d+$/;
    my ($model) = grep { defined } @first{'model name', 'hardware', 'cpu', 'cpu model', 'processor'};
    return (
        CPU_ARCH        => $arch,
        CPU_COUNT       => scalar(keys %sockets) || 1,
        CPU_CORES       => scalar(keys %cores) || $logical + 0,
        CPU_LOGIC_CORES => $logical + 0,
        CPU_MODEL       => $model,
        CPU_FREQUENCY   => defined $frequency ? sprintf('%.0fMHz', $frequency) : undef,
        CPU_MICROCODE   => $first{microcode},
    );
}

# What the firmware says: vendor, product and so on.
sub firmware {
    my ($name) = @_;
    my $value = first_line("$DMI/$name");
    return undef if not defined $value or $value =~ /^(?:None|Not Specified|To be filled by O\.?E\.?M\.?|Default string|0+)$/i;    ## no critic
    return $value;
}

# Whether the host is virtual, or a container.
sub is_virtual {
    return 1 if grep { /^flags\s*:.*\bhypervisor\b/ } lines('/proc/cpuinfo');
    my $about = join ' ', map { defined $_ ? $_ : '' } map { firmware($_) } qw(sys_vendor product_name bios_vendor board_vendor);
    return 1 if $about =~ /VMware|QEMU|KVM|Xen|VirtualBox|innotek|Bochs|Parallels|OpenStack|Virtual Machine|Amazon EC2|Google Compute|Alibaba|Nutanix|oVirt|RHEV|bhyve/i;
    return 1 if -e '/proc/xen' and -d '/sys/hypervisor/type';
    return 1 if -e '/.dockerenv' or -e '/run/.containerenv';
    return 0;
}

# --- Network ----------------------------------------------------------------------------------------------------------

sub interfaces {
    my @found;
    for my $path (sort glob '/sys/class/net/*') {
        my ($name) = $path =~ m{([^/]+)$};
        next if $name eq 'lo' or not -e "$path/address";
        my $speed = number(first_line("$path/speed"));
        my $real = readlink $path;
        my $state = first_line("$path/operstate");
        my $up = defined $state && $state eq 'up' || (first_line("$path/carrier") || '0') eq '1';
        # A member of a bond shows the bond's address: the own one is told by the bonding driver.
        my $mac = first_line("$path/bonding_slave/perm_hwaddr") || first_line("$path/address");
        push @found, {
            NAME => $name, MAC => $mac, SPEED => defined $speed && $speed > 0 ? $speed : undef, UNIT => 'Mb/s',
            STATUS => $up ? 'up' : 'down', IS_VIRTUAL => defined $real && $real =~ m{/virtual/} ? 1 : 0,
        };
    }
    return \@found;
}

# Addresses of the host without loopback: two lists of {IP, NETMASK}.
sub addresses {
    my (@v4, @v6);
    my $ip = program('ip');
    my $text = $ip ? output([$ip, '-o', 'addr', 'show'], stdout_only => 1) : undef;
    for my $line (split /\n/, defined $text ? $text : '') {
        my ($nic, $family, $address, $bits) = $line =~ m{^\d+:\s+(\S+)\s+(inet6?)\s+([0-9a-fA-F.:]+)(?:/(\d+))?} or next;
        next if $nic eq 'lo' or $address =~ /^127\./;
        if ($family eq 'inet') {
            $bits = 32 unless defined $bits;
            my $mask = $bits == 0 ? 0 : (0xffffffff << (32 - $bits)) & 0xffffffff;
            push @v4, {IP => $address, NETMASK => join('.', unpack 'C4', pack 'N', $mask)};
        }
        else { push @v6, {IP => $address, NETMASK => defined $bits ? $bits : '128'} unless $address =~ /^fe80:/i }
    }
    if (not $ip and my $ifconfig = program('ifconfig')) {
        for my $block (split /\n(?=\S)/, output([$ifconfig, '-a']) || '') {
            next if $block =~ /^lo[:\s]/;
            push @v4, {IP => $1, NETMASK => $2} while $block =~ /inet (?:addr:)?([\d.]+).*?(?:Mask:|netmask )([\d.]+)/g;
        }
    }
    return (\@v4, \@v6);
}

sub has_bond {
    my @bonds = glob '/proc/net/bonding/*';
    return @bonds ? 1 : 0;
}

# Fibre Channel adapters.
sub host_bus_adapters {
    my @found;
    for my $path (sort glob '/sys/class/fc_host/*') {
        my ($name) = $path =~ m{([^/]+)$};
        my ($state) = map { defined $_ && /online/i ? 'up' : 'down' } first_line("$path/port_state");
        push @found, {
            NAME => $name, WWNN => world_wide(first_line("$path/node_name")), SPEED => first_line("$path/speed"), STATUS => $state,
            IS_VIRTUAL => first_line("$path/port_type") && first_line("$path/port_type") =~ /NPIV/ ? 1 : 0,
            PORTS => [{WWPN => world_wide(first_line("$path/port_name")), STATUS => $state}],
        };
    }
    return \@found;
}

# 0x2100001b321ab0d1 as 21:00:00:1b:32:1a:b0:d1.
sub world_wide {
    my ($text) = @_;
    return undef unless defined $text and $text =~ /^(?:0x)?([0-9a-fA-F]{16})$/;    ## no critic
    return lc join ':', unpack '(A2)*', $1;
}

# --- Disks ------------------------------------------------------------------------------------------------------------

sub disks {
    my %used = used_devices();
    my @found;
    for my $path (sort glob '/sys/block/*') {
        my ($name) = $path =~ m{([^/]+)$};
        next if $name =~ /^(?:loop|ram|zram|sr|fd|nbd|md_d)\d/;
        my $sectors = number(first_line("$path/size")) or next;
        my ($device, $type) = ("/dev/$name", 'local');
        my $real = readlink($path) || '';
        my $mapper = first_line("$path/dm/uuid") || '';
        if ($mapper =~ /^LVM-/) { $type = 'lvm' }
        elsif ($mapper =~ /^mpath-/ or $real =~ m{/rport-|/session\d+/|/nvme-fabrics/}) { $type = 'remote' }
        elsif ($mapper ne '') { next }
        $device = '/dev/mapper/' . first_line("$path/dm/name") if $mapper ne '';
        my $wwid = first_line("$path/device/wwid") || first_line("$path/wwid");
        my %disk = (
            NAME => $device, CAPACITY => round2($sectors * 512 / $GIB), UNIT => 'GB', TYPE => $type,
            NOT_MOUNTED => disk_in_use($path, \%used) ? 0 : 1,
        );
        $disk{WWID} = $wwid if defined $wwid;
        push @found, \%disk;
    }
    return \@found;
}

# Device numbers that are mounted or swapped to.
sub used_devices {
    my %used;
    for my $line (lines('/proc/self/mountinfo')) {
        $used{$1} = 1 if $line =~ /^\d+ \d+ (\d+:\d+) /;
    }
    for my $line (lines('/proc/swaps')) {
        next unless $line =~ m{^/dev/(\S+)};
        my $number = first_line("/sys/class/block/$1/dev");
        $used{$number} = 1 if defined $number;
    }
    return %used;
}

sub disk_in_use {
    my ($path, $used) = @_;
    for my $block ($path, grep { -e "$_/partition" } glob "$path/*") {
        my $number = first_line("$block/dev");
        return 1 if defined $number and $used->{$number};
        my @holders = glob "$block/holders/*";
        return 1 if @holders;
    }
    return 0;
}

# --- The record -------------------------------------------------------------------------------------------------------

sub serial {
    my $serial = firmware('board_serial') || firmware('product_serial');
    return $serial if defined $serial;
    my ($first) = grep { not $_->{IS_VIRTUAL} and $_->{MAC} } @{interfaces()};
    return $first ? $first->{MAC} : undef;
}

# What only dmidecode knows: the memory slots and the power supplies.
sub dmidecode {
    my $dmidecode = program('dmidecode');
    my %found = (DMIDECODE_INSTALLED => $dmidecode ? 1 : 0, MEM_SLOTS => undef, MEM_MAXIMUM_CAPACITY => undef, MEM_SPEED => undef,
        POWER_CORDS_COUNT => undef);
    return %found unless $dmidecode and $> == 0;
    my $text = output([$dmidecode, '-q', '-t', '16,17,39'], stdout_only => 1);
    return %found unless defined $text;
    my $maximum = 0;
    while ($text =~ /^\s*Maximum Capacity: (\d+) ([GTM])B/mg) { $maximum += $1 * {M => 1, G => 1024, T => 1024 * 1024}->{$2} }
    $found{MEM_MAXIMUM_CAPACITY} = $maximum || undef;
    my $slots = () = $text =~ /^Memory Device$/mg;
    $found{MEM_SLOTS} = $slots || undef;
    ($found{MEM_SPEED}) = $text =~ /^\s*(?:Configured (?:Memory|Clock) )?Speed: (\d+ M\S+)/m;
    my $cords = () = $text =~ /^System Power Supply$/mg;
    $found{POWER_CORDS_COUNT} = $cords || undef;
    return %found;
}

# The record of the machine, without what the caller knows (address, ids).
sub record {
    return (
        _OBJ_CATEGORY  => 'HOST',
        _OBJ_TYPE      => 'HOST',
        PK             => ['MGMT_IP', 'BOARD_SERIAL'],
        BOARD_SERIAL   => serial(),
        MANUFACTURER   => firmware('sys_vendor'),
        PRODUCT_NAME   => firmware('product_name'),
        BIOS_VERSION   => firmware('bios_version'),
        IS_VIRTUAL     => is_virtual(),
        DISKS          => [grep { $_->{TYPE} ne 'lvm' } @{disks()}],
        ETH_INTERFACES => [grep { not $_->{IS_VIRTUAL} } @{interfaces()}],
        HBA_INTERFACES => host_bus_adapters(),
        cpu(),
        dmidecode(),
    );
}

1;
