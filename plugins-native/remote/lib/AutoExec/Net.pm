package AutoExec::Net;

# TCP and HTTP for Perl from 5.8 on: whether a service is there, and what it answers. https needs the module IO::Socket::SSL
# or the program curl on the target. Certificates are not checked: the question is whether the service answers.

use strict;
use warnings;

use IO::Select ();
use IO::Socket::INET ();
use Time::HiRes ();

my $BODY_LIMIT = 1024 * 1024;
my $REDIRECTS = 7;

# A TCP connection, or nothing and the reason.
sub connect_tcp {
    my ($host, $port, $timeout) = @_;
    my $class = eval { require IO::Socket::IP; 1 } ? 'IO::Socket::IP' : 'IO::Socket::INET';
    $host =~ s/^\[(.*)\]$/$1/;
    my $socket = $class->new(PeerAddr => $host, PeerPort => $port, Proto => 'tcp', Timeout => $timeout);
    return ($socket, '') if $socket;
    my $reason = $@ || $! || 'unknown reason';
    $reason =~ s/^IO::Socket::\w+:\s*//;
    $reason =~ s/\s+$//;
    return (undef, $reason);
}

# Parts of a URL: scheme, host, port, path; nothing when it is none.
sub parts_of {
    my ($url) = @_;
    my ($scheme, $user, $host, $port, $path) = $url =~ m{^(https?)://(?:([^/@]*)@)?(\[[^\]]+\]|[^/:?#]+)(?::(\d+))?([/?][^#]*)?}i
        or return;
    $scheme = lc $scheme;
    $path = '/' unless defined $path;
    $path = "/$path" if $path =~ /^\?/;
    return {scheme => $scheme, user => $user, host => $host, port => $port || ($scheme eq 'https' ? 443 : 80), path => $path};
}

# One request without redirects: {status, headers, body} or {error}. Arguments: method, url, body, headers, timeout.
sub request_once {
    my (%want) = @_;
    my $parts = parts_of($want{url}) or return {error => 'it is not a URL'};
    my $deadline = Time::HiRes::time() + ($want{timeout} || 10);
    my %headers = (Host => $parts->{host} . ($parts->{port} =~ /^(?:80|443)$/ ? '' : ":$parts->{port}"),
        'User-Agent' => 'autoexec', Accept => '*/*', Connection => 'close', %{$want{headers} || {}});
    if (defined $parts->{user}) {
        require MIME::Base64;
        my $user = $parts->{user};
        $user =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
        $headers{Authorization} = 'Basic ' . MIME::Base64::encode_base64($user, '');
    }
    my $body = defined $want{body} ? $want{body} : '';
    utf8::encode($body) if utf8::is_utf8($body);
    $headers{'Content-Length'} = length $body if $body ne '' or $want{method} !~ /^(?:GET|HEAD|DELETE)$/;
    if ($parts->{scheme} eq 'https' and not eval { require IO::Socket::SSL; 1 }) {
        return _curl(\%want, \%headers, $body);
    }
    my ($socket, $reason) = connect_tcp($parts->{host}, $parts->{port}, $want{timeout} || 10);
    return {error => $reason} unless $socket;
    if ($parts->{scheme} eq 'https') {
        $socket = IO::Socket::SSL->start_SSL($socket, SSL_verify_mode => 0, SSL_hostname => $parts->{host}, Timeout => $want{timeout} || 10)
            or return {error => 'TLS: ' . IO::Socket::SSL::errstr()};
    }
    local $SIG{PIPE} = 'IGNORE';
    my $head = join '', "$want{method} $parts->{path} HTTP/1.1\r\n", map { "$_: $headers{$_}\r\n" } sort keys %headers;
    my $text = "$head\r\n$body";
    while (length $text) {
        my $written = syswrite $socket, $text;
        return {error => "sending failed: $!"} unless defined $written;
        substr $text, 0, $written, '';
    }
    my $answer = '';
    my $select = IO::Select->new($socket);
    while (length $answer < $BODY_LIMIT) {
        my $left = $deadline - Time::HiRes::time();
        my $waiting = $socket->can('pending') && $socket->pending;
        return {error => 'no answer in time'} if $left <= 0 or not($waiting or $select->can_read($left));
        my $length = sysread $socket, $answer, 65536, length $answer;
        next if not defined $length and $!{EINTR};
        last if not $length;
        last if _complete($answer, $want{method});
    }
    close $socket;
    return _parsed($answer);
}

# Whether an answer is there in full though the connection is still open.
sub _complete {
    my ($answer, $method) = @_;
    my $end = index $answer, "\r\n\r\n";
    return 0 if $end < 0;
    return 1 if $method eq 'HEAD';
    my $head = substr $answer, 0, $end;
    return $answer =~ /\r\n0\r\n(?:[^\r\n]+\r\n)*\r\n$/ if $head =~ /\r\ntransfer-encoding:\s*chunked/i;
    return length($answer) - $end - 4 >= $1 if $head =~ /\r\ncontent-length:\s*(\d+)/i;
    return $answer =~ m{^HTTP/\S+ (?:204|304)};
}

sub _parsed {
    my ($answer) = @_;
    my ($head, $body) = split /\r?\n\r?\n/, $answer, 2;
    $head = '' unless defined $head;
    my ($first, @lines) = split /\r?\n/, $head;
    return {error => $answer eq '' ? 'the connection was closed without an answer' : 'the answer is not HTTP'}
        unless defined $first and $first =~ m{^HTTP/\S+\s+(\d+)};
    my %result = (status => $1, headers => {}, cookies => []);
    for my $line (@lines) {
        my ($name, $value) = $line =~ /^([^:]+):\s*(.*?)\s*$/ or next;
        push @{$result{cookies}}, $value if lc $name eq 'set-cookie';
        $result{headers}{lc $name} = $value;
    }
    $body = '' unless defined $body;
    if (lc($result{headers}{'transfer-encoding'} || '') =~ /chunked/) {
        my $whole = '';
        while ($body =~ s/^([0-9a-fA-F]+)[^\r\n]*\r\n//) {
            my $length = hex $1 or last;
            $whole .= substr $body, 0, $length, '';
            $body =~ s/^\r\n//;
        }
        $body = $whole;
    }
    $result{body} = $body;
    return \%result;
}

# The same by curl. All it has to know comes by standard input: a URL may hold a password.
sub _curl {
    my ($want, $headers, $body) = @_;
    require IPC::Open2;
    my $quoted = sub { my $text = shift; $text =~ s/(["\\])/\\$1/g; $text =~ s/\r/\\r/g; $text =~ s/\n/\\n/g; return qq("$text") };
    my @lines = ('silent', 'insecure', 'include', 'globoff', 'max-time = ' . int(($want->{timeout} || 10) + 0.999),
        'request = ' . $quoted->($want->{method}), 'url = ' . $quoted->($want->{url}));
    push @lines, 'head' if $want->{method} eq 'HEAD';
    push @lines, map { 'header = ' . $quoted->("$_: $headers->{$_}") } grep { !/^(?:Host|Content-Length|Connection)$/ } sort keys %$headers;
    push @lines, 'data-binary = ' . $quoted->($body) if $body ne '';
    local $SIG{PIPE} = 'IGNORE';
    my ($out, $in);
    my $pid = eval { IPC::Open2::open2($out, $in, 'curl', '--config', '-') }
        or return {error => 'https needs the Perl module IO::Socket::SSL or the program curl on this target'};
    print {$in} map { "$_\n" } @lines;
    close $in;
    my $answer = do { local $/ = undef; <$out> };
    close $out;
    waitpid $pid, 0;
    my $code = $? >> 8;
    return {error => $code == 28 ? 'no answer in time' : "curl ended with $code"} if $code;
    $answer =~ s/^HTTP\/\S+ 1\d\d.*?\r\n\r\n//s;
    return _parsed($answer);
}

# A request with redirects and cookies; the jar is a hash of host to hash of name to value.
sub request {
    my (%want) = @_;
    my $jar = $want{cookies} || {};
    my ($method, $url, $body) = ($want{method} || 'GET', $want{url}, $want{body});
    for (0 .. $REDIRECTS) {
        my $parts = parts_of($url) or return {error => 'it is not a URL'};
        my $own = $jar->{$parts->{host}} ||= {};
        my %headers = %{$want{headers} || {}};
        $headers{Cookie} = join '; ', map { "$_=$own->{$_}" } sort keys %$own if %$own;
        my $answer = request_once(%want, method => $method, url => $url, body => $body, headers => \%headers);
        return $answer if $answer->{error};
        for my $cookie (@{$answer->{cookies}}) {
            $own->{$1} = $2 if $cookie =~ /^\s*([^=;\s]+)=([^;]*)/;
        }
        my $next = $answer->{headers}{location};
        return $answer unless $answer->{status} =~ /^30[12378]$/ and defined $next and $next ne '';
        if ($answer->{status} < 307) { ($method, $body) = ('GET', undef) unless $method eq 'HEAD' }
        if ($next =~ m{^//}) { $next = "$parts->{scheme}:$next" }
        elsif ($next !~ m{^https?://}i) {
            my $base = "$parts->{scheme}://$parts->{host}:$parts->{port}";
            my ($dir) = $parts->{path} =~ m{^([^?]*/)};
            $next = $next =~ m{^/} ? "$base$next" : "$base$dir$next";
        }
        $url = $next;
    }
    return {error => 'too many redirects'};
}

1;
