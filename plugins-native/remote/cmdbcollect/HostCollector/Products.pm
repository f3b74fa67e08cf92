package HostCollector::Products;

# Which processes are which product, and what its files and its program tell about it.
#
# A product: type, category, how a process is recognised (match: a pattern on "name command line"; comm: exact names; env: a
# variable that must be set), and details: a function of the process that returns keys of the record, or nothing when the
# process is none after all. The list is in the order of trying: generic ones come last.

use strict;
use warnings;

use File::Basename qw(basename dirname);

use HostCollector::Processes;
use HostCollector::Reading qw(slurp lines first_line output);

my $INTERPRETER = qr/^(?:sh|dash|bash|ksh\w*|mksh|zsh|csh|tcsh|busybox|perl[\d.]*|python[\d.]*|ruby[\d.]*|node)$/;

my @PRODUCTS = (
    {type => 'Nginx', category => 'INS', comm => [qw(nginx openresty tengine)], match => qr/\bmaster process\b|\bnginx\b/, details => \&_nginx},
    {type => 'Apache', category => 'INS', comm => [qw(httpd apache2 httpd.worker httpd2-prefork)], details => \&_apache},
    {type => 'Lighttpd', category => 'INS', comm => ['lighttpd'], details => sub { _plain($_[0], ['-v'], qr{lighttpd/([\d.]+)}, '-f') }},
    {type => 'Mysql', category => 'DBINS', comm => [qw(mysqld mariadbd)], details => \&_mysql},
    {type => 'Postgresql', category => 'DBINS', comm => [qw(postgres postmaster postgresql)], details => \&_postgresql},
    {type => 'Redis', category => 'INS', comm => [qw(redis-server redis-sentinel valkey-server)], details => \&_redis},
    {type => 'Memcached', category => 'INS', comm => ['memcached'], details => sub { _plain($_[0], ['-V'], qr/([\d.]+)/) }},
    {type => 'Mongodb', category => 'DBINS', comm => [qw(mongod mongos)], details => sub {
        my ($process) = @_;
        my %found = _plain($process, ['--version'], qr/version v?([\d.]+)/, '-f', '--config');
        return (%found, DATA_DIR => _option($process, '--dbpath'), INSTANCE_NAME => $process->{COMM});
    }},
    {type => 'Keepalived', category => 'INS', comm => ['keepalived'], details => sub { _plain($_[0], ['-v'], qr/v([\d.]+)/, '-f', '--use-file') }},
    {type => 'Docker', category => 'INS', comm => ['dockerd'], details => sub { _plain($_[0], ['--version'], qr/version ([\d.]+)/, '--config-file') }},
    {type => 'Sshd', category => 'INS', comm => ['sshd'], details => \&_sshd},
    {type => 'RabbitMQ', category => 'INS', comm => [qw(beam beam.smp)], match => qr/\brabbit\b/, details => sub {
        my ($process) = @_;
        my ($version) = $process->{COMMAND} =~ m{rabbitmq_server-([\d.]+)};
        my ($home) = $process->{COMMAND} =~ m{(/\S*?rabbitmq_server[^/\s]*)};
        return (SERVER_NAME => _after($process, '-sname'), VERSION => $version, INSTALL_PATH => $home);
    }},
    # Java, by the class that is started.
    {type => 'Tomcat', category => 'INS', comm => ['java', 'jsvc'], match => qr/\borg\.apache\.catalina\.startup\.Bootstrap\b|-Dcatalina\.base=/, details => \&_tomcat},
    {type => 'Elasticsearch', category => 'INS', comm => ['java'], match => qr/\borg\.elasticsearch\.bootstrap\./, details => sub {
        my ($process) = @_;
        my $home = _property($process, 'es.path.home');
        return (_java($process), INSTALL_PATH => $home, CONFIG_PATH => _property($process, 'es.path.conf'),
            VERSION => _version_of_jar($home && "$home/lib", 'elasticsearch'));
    }},
    {type => 'Kafka', category => 'INS', comm => ['java'], match => qr/\bkafka\.Kafka\b/, details => sub {
        my ($process) = @_;
        my ($version) = $process->{COMMAND} =~ m{/kafka_[\d.]+-([\d.]+?)\.jar};
        return (_java($process), VERSION => $version, CONFIG_PATH => _last_file($process, qr/\.properties$/));
    }},
    {type => 'Zookeeper', category => 'INS', comm => ['java'], match => qr/\borg\.apache\.zookeeper\.server\./, details => sub {
        my ($process) = @_;
        my ($version) = $process->{COMMAND} =~ m{/zookeeper-(\d[\d.]*?)\.jar};
        return (_java($process), VERSION => $version, CONFIG_PATH => _last_file($process, qr/\.cfg$/));
    }},
    {type => 'ActiveMQ', category => 'INS', comm => ['java'], match => qr/-Dactivemq\.home=/, details => sub {
        my ($process) = @_;
        my $home = _property($process, 'activemq.home');
        return (_java($process), INSTALL_PATH => $home, CONFIG_PATH => _property($process, 'activemq.conf'),
            VERSION => _version_of_jar($home && "$home/lib", 'activemq-broker'));
    }},
    {type => 'Jetty', category => 'INS', comm => ['java'], match => qr/-Djetty\.(?:home|base)=|\borg\.eclipse\.jetty\b/, details => sub {
        my ($process) = @_;
        return (_java($process), INSTALL_PATH => _property($process, 'jetty.home'), CONFIG_PATH => _property($process, 'jetty.base'));
    }},
    {type => 'Java', category => 'INS', comm => ['java'], details => \&_java},
    {type => 'PHP', category => 'INS', match => qr/\bphp(?:-fpm)?[\d.]*\b/, comm_like => qr/^php/, details => sub { _plain($_[0], ['-v'], qr/PHP ([\d.]+)/) }, listens => 1},
    {type => 'Python', category => 'INS', comm_like => qr/^python[\d.]*$/, details => sub {
        my ($process) = @_;
        my ($script) = grep { !/^-/ } @{$process->{WORDS}}[1 .. $#{$process->{WORDS}}];
        my $module = _after($process, '-m');
        return (_plain($process, ['--version'], qr/Python ([\d.]+)/), SERVER_NAME => defined $module ? $module : defined $script ? basename($script) : 'python');
    }, listens => 1},
);

sub all { return @PRODUCTS }

# The product of a process, or nothing.
sub of {
    my ($process, $classes) = @_;
    for my $product (@PRODUCTS) {
        next if %$classes and not $classes->{$product->{type}};
        # The kernel cuts names to 15 characters, and a program may have set another one: the program file counts as well. A
        # script has the name of its file, which says nothing.
        my $program = _program_name($process);
        my %names = ($program => 1);
        $names{$process->{COMM}} = 1 unless $program =~ $INTERPRETER;
        next if $product->{comm} and not grep { $names{$_} or $names{substr $_, 0, 15} } @{$product->{comm}};
        next if $product->{comm_like} and not grep { $_ =~ $product->{comm_like} } keys %names;
        next if $product->{match} and "$process->{COMM} $process->{COMMAND}" !~ $product->{match};
        return $product;
    }
    return undef;    ## no critic
}

sub _program_name {
    my ($process) = @_;
    my $path = readlink "/proc/$process->{PID}/exe";
    $path = '' unless defined $path;
    $path =~ s/ \(deleted\)$//;
    return basename($path);
}

# --- What products share ----------------------------------------------------------------------------------------------

# The program file of a process.
sub _program {
    my ($process) = @_;
    my $path = readlink "/proc/$process->{PID}/exe";
    return undef if not defined $path or $path =~ / \(deleted\)$/;    ## no critic
    return $path;
}

# What the program of a process says about itself. It is started as the user of the process, never with more rights.
sub _ask {
    my ($process, @arguments) = @_;
    # A file of a container is not the host's file of that name.
    return '' if $process->{CONTAINER};
    my $program = _program($process) or return '';
    my $text = output([$program, @arguments], user => [$process->{UID}, $process->{GID}], any_status => 1, limit => 10,
        # One file may be several programs, by the name it is called: redis-server is redis-check-rdb.
        name => $process->{COMM});
    return defined $text ? $text : '';
}

sub _plain {
    my ($process, $arguments, $pattern, @config) = @_;
    my ($version) = _ask($process, @$arguments) =~ $pattern;
    my $program = _program($process);
    my ($path) = grep { defined } map { _option($process, $_) } @config;
    return (SERVER_NAME => $process->{COMM}, VERSION => $version, INSTALL_PATH => defined $program ? dirname($program) : undef,
        CONFIG_PATH => defined $path ? _absolute($process, $path) : undef);
}

# The word behind another one.
sub _after {
    my ($process, $name) = @_;
    my @words = @{$process->{WORDS}};
    for my $index (0 .. $#words - 1) {
        return $words[$index + 1] if $words[$index] eq $name;
    }
    return undef;    ## no critic
}

# The value of an option: --name=value or --name value.
sub _option {
    my ($process, $name) = @_;
    for my $word (@{$process->{WORDS}}) {
        return $1 if $word =~ /^\Q$name\E=(.*)$/s;
    }
    return _after($process, $name);
}

sub _property {
    my ($process, $name) = @_;
    my ($value) = map { /^-D\Q$name\E=(.*)$/s ? $1 : () } @{$process->{WORDS}};
    return $value;
}

sub _absolute {
    my ($process, $path) = @_;
    return $path if $path =~ m{^/};
    my $directory = readlink "/proc/$process->{PID}/cwd";
    return defined $directory ? "$directory/$path" : $path;
}

sub _last_file {
    my ($process, $pattern) = @_;
    my ($path) = reverse grep { /$pattern/ and !/^-/ } @{$process->{WORDS}};
    return defined $path ? _absolute($process, $path) : undef;
}

sub _version_of_jar {
    my ($directory, $name) = @_;
    return undef unless defined $directory;    ## no critic
    my ($version) = map { m{/\Q$name\E-(\d[\d.]*)\.jar$} ? $1 : () } glob "$directory/$name-*.jar";
    return $version;
}

# --- Web servers ------------------------------------------------------------------------------------------------------

sub _nginx {
    my ($process) = @_;
    my $about = _ask($process, '-V');
    my ($version) = $about =~ m{version: \S+?/(\S+)};
    my ($prefix) = $about =~ /--prefix=(\S+)/;
    my ($built_in) = $about =~ /--conf-path=(\S+)/;
    # The title is "nginx: master process /usr/sbin/nginx -c /etc/nginx.conf".
    my ($given) = $process->{COMMAND} =~ /\s-c\s*(\S+)/;
    my ($other) = $process->{COMMAND} =~ /\s-p\s*(\S+)/;
    $prefix = $other if defined $other;
    my $config = defined $given ? $given : $built_in;
    $config = "$prefix/$config" if defined $config and $config !~ m{^/} and defined $prefix;
    return (SERVER_NAME => 'nginx', VERSION => $version, INSTALL_PATH => $prefix, CONFIG_PATH => $config);
}

sub _apache {
    my ($process) = @_;
    my $about = _ask($process, '-V');
    my ($version) = $about =~ m{Apache/([\d.]+)};
    my ($root) = $about =~ /HTTPD_ROOT="([^"]+)"/;
    my ($file) = $about =~ /SERVER_CONFIG_FILE="([^"]+)"/;
    my $given = _after($process, '-f');
    my $directory = _after($process, '-d');
    $root = $directory if defined $directory;
    $file = $given if defined $given;
    $file = "$root/$file" if defined $file and defined $root and $file !~ m{^/};
    return (SERVER_NAME => $process->{COMM}, VERSION => $version, INSTALL_PATH => $root, CONFIG_PATH => $file);
}

# --- Databases --------------------------------------------------------------------------------------------------------

sub _mysql {
    my ($process) = @_;
    my ($version) = _ask($process, '--version') =~ /Ver\s+([\d.]+)/;
    my ($port) = map { defined $_ && /^(\d+)$/ ? $1 + 0 : () } _option($process, '--port');
    my $program = _program($process);
    my $data = _option($process, '--datadir');
    my $base = _option($process, '--basedir');
    $base = dirname(dirname($program)) if not defined $base and defined $program;
    my @config = grep { defined } _option($process, '--defaults-file');
    push @config, grep { -f } qw(/etc/my.cnf /etc/mysql/my.cnf) unless @config;
    my %settings = %{_ini(\@config, {mysqld => 1, mariadb => 1, mariadbd => 1, server => 1})};
    $data = $settings{datadir} unless defined $data;
    $port = $settings{port} + 0 if not defined $port and defined $settings{port} and $settings{port} =~ /^\d+$/;
    my $socket = _option($process, '--socket');
    my $id = _option($process, '--server-id');
    return (
        INSTANCE_NAME => 'mysql', SERVER_NAME => 'mysql', VERSION => $version, INSTALL_PATH => $base, CONFIG_PATH => $config[0],
        DATA_DIR => $data, PORT => $port, SOCKET => defined $socket ? $socket : $settings{socket},
        SERVER_ID => defined $id ? $id : $settings{server_id}, LOG_BIN => exists $settings{log_bin} ? 1 : 0,
        PRODUCT => $process->{COMM} eq 'mariadbd' || (_program_name($process) =~ /maria/) ? 'MariaDB' : 'MySQL',
    );
}

# Settings of some sections of INI files; files that one includes are read as well.
sub _ini {
    my ($paths, $sections, $settings, $depth) = @_;
    $settings ||= {};
    $depth ||= 0;
    return $settings if $depth > 4;
    for my $path (@$paths) {
        my $section = '';
        for my $line (lines($path)) {
            if ($line =~ /^\s*\[([^\]]+)\]/) { $section = $1; $section =~ s/-[\d.]+$// }
            elsif ($line =~ /^\s*!includedir\s+(\S+)/) { _ini([sort glob "$1/*.cnf"], $sections, $settings, $depth + 1) }
            elsif ($line =~ /^\s*!include\s+(\S+)/) { _ini([$1], $sections, $settings, $depth + 1) }
            elsif ($sections->{$section} and $line =~ /^\s*([\w-]+)\s*(?:=\s*(.*?))?\s*$/) {
                my ($name, $value) = ($1, defined $2 ? $2 : '');
                $name =~ tr/-/_/;
                $settings->{$name} = $value;
            }
        }
    }
    return $settings;
}

sub _postgresql {
    my ($process) = @_;
    my $data = _after($process, '-D');
    # A process of a server has a title such as "postgres: checkpointer".
    return () if $process->{COMMAND} =~ /^\S+: /;
    my ($version) = _ask($process, '--version') =~ /\)\s+([\d.]+)/;
    my $config;
    ($config) = map { /^-?-?config_file=(.*)$/ || /^config_file=(.*)$/ ? $1 : () } @{$process->{WORDS}};
    $data = readlink "/proc/$process->{PID}/cwd" unless defined $data;
    # Number, directory, start, port, socket directory.
    my @about = defined $data ? lines("$data/postmaster.pid") : ();
    $config = "$data/postgresql.conf" if not defined $config and defined $data;
    my $program = _program($process);
    return (
        INSTANCE_NAME => 'postgres', SERVER_NAME => 'postgres', VERSION => $version, DATA_DIR => $data, CONFIG_PATH => $config,
        INSTALL_PATH => defined $program ? dirname(dirname($program)) : undef,
        PORT => defined $about[3] && $about[3] =~ /^\s*(\d+)/ ? $1 + 0 : undef,
    );
}

sub _redis {
    my ($process) = @_;
    my ($version) = _ask($process, '--version') =~ /v=([\d.]+)/;
    # The title is "redis-server *:6379": the file is known to the server alone, unless it is an argument still.
    my $config = _last_file($process, qr/\.conf$/);
    my $program = _program($process);
    my ($port) = $process->{COMMAND} =~ /^\S+ \S*:(\d+)/;
    my $mode = $process->{COMMAND} =~ /\[cluster\]/ ? 'cluster' : $process->{COMMAND} =~ /\[sentinel\]/ ? 'sentinel' : 'standalone';
    return (SERVER_NAME => 'redis', VERSION => $version, CONFIG_PATH => $config, MODE => $mode, PORT => defined $port ? $port + 0 : undef,
        INSTALL_PATH => defined $program ? dirname($program) : undef, DATA_DIR => scalar readlink "/proc/$process->{PID}/cwd");
}

# --- Others -----------------------------------------------------------------------------------------------------------

sub _sshd {
    my ($process) = @_;
    # The process of a session is none of its own.
    return () if $process->{COMMAND} =~ /^sshd(?:-session)?: [^\/\[]/ and $process->{COMMAND} !~ /listener/;
    return () if $process->{COMMAND} =~ /\s-i(?:\s|$)/;
    my ($version) = _ask($process, '-V') =~ /(OpenSSH_[^\s,]+)/;
    my ($config) = $process->{COMMAND} =~ /\s-f\s*(\S+)/;
    return (SERVER_NAME => 'sshd', VERSION => $version, CONFIG_PATH => defined $config ? $config : '/etc/ssh/sshd_config',
        INSTALL_PATH => defined _program($process) ? dirname(_program($process)) : undef);
}

# Keys of every Java program.
sub _java {
    my ($process) = @_;
    my @words = @{$process->{WORDS}};
    my ($jar, $class);
    for (my $index = 1; $index < @words; $index++) {
        if ($words[$index] eq '-jar') { $jar = $words[$index + 1]; last }
        if ($words[$index] =~ /^-(?:cp|classpath|-class-path|-module-path|p|-add-opens|-add-modules|-add-exports)$/) { $index++; next }
        next if $words[$index] =~ /^-/;
        $class = $words[$index];
        last;
    }
    my $program = _program($process);
    my ($version) = _ask($process, '-version') =~ /version "([^"]+)"/;
    my ($least, $most) = map { my $name = $_; map { /^-$name(\d+)([kKmMgG]?)$/ ? _megabytes($1, $2) : () } @words } qw(Xms Xmx);
    my $port = _property($process, 'com.sun.management.jmxremote.port');
    my $home = defined $program ? dirname(dirname($program)) : undef;
    $home =~ s{/jre$}{} if defined $home;
    return (
        SERVER_NAME => defined $jar ? basename($jar) : $class, JAR_FILE => defined $jar ? _absolute($process, $jar) : undef, MAIN_CLASS => $class,
        JAVA_VERSION => $version, JAVA_HOME => $home, MIN_HEAP_SIZE => $least, MAX_HEAP_SIZE => $most,
        JMX_PORT => defined $port && $port =~ /^\d+$/ ? $port + 0 : undef, INSTALL_PATH => scalar readlink "/proc/$process->{PID}/cwd",
    );
}

sub _megabytes {
    my ($number, $unit) = @_;
    return $number * {k => 1 / 1024, m => 1, g => 1024, '' => 1 / 1048576}->{lc $unit};
}

sub _tomcat {
    my ($process) = @_;
    my %java = _java($process);
    my $base = _property($process, 'catalina.base');
    my $home = _property($process, 'catalina.home');
    my ($version) = (slurp(($home || '') . '/RELEASE-NOTES') || '') =~ /Apache Tomcat Version ([\d.]+)/;
    my $config = defined $base ? "$base/conf/server.xml" : undef;
    my (@ports, $admin);
    my $text = defined $config ? slurp($config) || '' : '';
    $text =~ s/<!--.*?-->//gs;
    $admin = $1 + 0 if $text =~ /<Server\b[^>]*\bport\s*=\s*"(\d+)"/;
    my ($plain, $secure);
    while ($text =~ /<Connector\b([^>]*)>/g) {
        my %attribute = $1 =~ /([\w.]+)\s*=\s*"([^"]*)"/g;
        my $port = $attribute{port};
        next unless defined $port and $port =~ /^\d+$/;
        my $protocol = ($attribute{protocol} || 'HTTP/1.1') =~ /AJP/i ? 'ajp' : lc($attribute{SSLEnabled} || '') eq 'true' ? 'https' : 'http';
        push @ports, {NAME => $protocol, PORT => $port + 0};
        $plain  = $port + 0 if $protocol eq 'http'  and not defined $plain;
        $secure = $port + 0 if $protocol eq 'https' and not defined $secure;
    }
    return (%java, SERVER_NAME => defined $base ? basename($base) : 'tomcat', VERSION => $version, INSTALL_PATH => $home, CONFIG_PATH => $config,
        CATALINA_BASE => $base, CATALINA_HOME => $home, PORT => $plain, SSL_PORT => $secure, ADMIN_PORT => $admin, SERVICE_PORTS => \@ports);
}

1;
