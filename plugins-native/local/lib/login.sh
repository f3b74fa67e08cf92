# What tools share that log in to a host of their own. Source it: . "$(dirname "$0")/../lib/login.sh"
#
# Of the variables that a tool sets, $pass (a file that holds the password, or nothing), $user, $host and $check are used here.

lib=$(cd "$(dirname "$0")/../lib" && pwd) || exit 1

die() {
    printf 'ERROR: %s\n' "$2"
    exit "$1"
}

# A text as a JSON string.
json_string() {
    printf '"%s"' "$(printf '%s' "$1" | sed 's/\\/\\\\/g; s/"/\\"/g')"
}

# Runs ssh or scp, with the password by way of a file: with_login PROGRAM ARGUMENT...
with_login() {
    program=$1
    shift
    if [ -n "$pass" ]; then
        export AUTOEXEC_PASSWORD_FILE="$pass" SSH_ASKPASS="$lib/askpass" SSH_ASKPASS_REQUIRE=force
        export DISPLAY="${DISPLAY:-none}"
        batch=no
    else
        batch=yes
    fi
    # The executor's own list of host keys: one that has changed is refused, a new one is added.
    set -- -o StrictHostKeyChecking=accept-new "$@"
    [ -z "${AUTOEXEC_HOME-}" ] || set -- -o "UserKnownHostsFile=\"$AUTOEXEC_HOME/conf/known_hosts\"" -o HashKnownHosts=no "$@"
    "$program" -o "BatchMode=$batch" -o NumberOfPasswordPrompts=1 -o ConnectTimeout=30 \
        -o PreferredAuthentications="publickey,password,keyboard-interactive" "$@"
}

# Says so if the host refused the login: tell_refused FILE, which has what the program wrote.
tell_refused() {
    if grep -q 'Permission denied (' "$1"; then
        printf 'ERROR: %s@%s login failed check username and password.\n' "${user:-$(id -un)}" "$host"
    fi
}

# Says what would be changed, and ends: would_change SUBJECT AFTER
would_change() {
    printf 'INFO: Would make %s, %s.\n' "$1" "$2"
    [ -z "${OUTPUT_PATH-}" ] ||
        printf '{"changes": [{"subject": %s, "before": null, "after": %s}]}\n' \
            "$(json_string "$1")" "$(json_string "$2")" > "$OUTPUT_PATH"
    exit 0
}

is_checking() {
    case $check in 1|true|yes) return 0 ;; *) return 1 ;; esac
}
