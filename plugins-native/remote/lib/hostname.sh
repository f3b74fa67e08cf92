# The host's name and addresses. Source autoexec.sh first.

# The two loopback lines a new hosts file starts with, without those whose address is in the wanted lines.
loopback_lines() {
    printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n' | autoexec_wanted=$1 LC_ALL=C awk '
        BEGIN {
            n = split(ENVIRON["autoexec_wanted"], line, "\n")
            for (i = 1; i <= n; i++) { split(line[i], part, /[ \t]+/); has[part[1]] = 1 }
        }
        !($1 in has)'
}

# This host's IPv4 addresses, one per line, loopback left out.
own_addresses() {
    if has_program ip; then
        ip -o -4 addr show 2>/dev/null | LC_ALL=C awk '{ sub(/\/.*/, "", $4); print $4 }'
    elif has_program ifconfig; then
        LC_ALL=C ifconfig -a 2>/dev/null | LC_ALL=C awk '$1 == "inet" { sub(/^addr:/, "", $2); print $2 }'
    else
        hostname -I 2>/dev/null | tr ' ' '\n' | grep -v :
    fi | grep -v '^127\.'
}

# Sets the host name now and for the next start.
set_hostname() {
    case $1 in
        ''|-*|*[!A-Za-z0-9.-]*) error "Not a host name: $1"; return 1 ;;
    esac
    autoexec_right=1
    [ "$(uname -n)" = "$1" ] || autoexec_right=0
    if [ -f /etc/hostname ] && [ "$(head -n 1 /etc/hostname)" != "$1" ]; then autoexec_right=0; fi
    if [ "$autoexec_right" = 1 ]; then
        info "The host name is $1 already."
        return 0
    fi
    if is_on "$opt_check"; then
        info "Would set hostname:$1."
        return 0
    fi
    if [ -f /etc/hostname ] || [ -d /run/systemd/system ]; then
        printf '%s\n' "$1" > /etc/hostname || { error "Can not write /etc/hostname."; return 1; }
    elif [ -f /etc/sysconfig/network ]; then
        # Red Hat 6 and before.
        autoexec_text=$(LC_ALL=C sed '/^HOSTNAME=/d' /etc/sysconfig/network) &&
            printf '%s\nHOSTNAME=%s\n' "$autoexec_text" "$1" > /etc/sysconfig/network ||
            { error "Can not write /etc/sysconfig/network."; return 1; }
    elif [ -f /etc/HOSTNAME ]; then
        printf '%s\n' "$1" > /etc/HOSTNAME || { error "Can not write /etc/HOSTNAME."; return 1; }
    fi
    if ! hostname "$1"; then
        error "Set hostname:$1 failed."
        return 1
    fi
    fine "Set hostname:$1 success."
}
