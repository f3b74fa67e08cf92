# What fileops/scpget and scpput share. Source it: . "$(dirname "$0")/../lib/scp.sh"
#
# Sets $host, $port, $user, $remote, $local, $pass (a file that holds the password) and $check from the options.

lib=$(cd "$(dirname "$0")/../lib" && pwd) || exit 1

die() {
    printf 'ERROR: %s\n' "$2"
    exit "$1"
}

# A text as a JSON string.
json_string() {
    printf '"%s"' "$(printf '%s' "$1" | sed 's/\\/\\\\/g; s/"/\\"/g')"
}

# Refuses a path that leads to a parent directory or holds control characters.
check_path() {
    case $1 in
        '') die 1 "The option --$2 is missing." ;;
    esac
    case /$1/ in
        */../*) die 1 "The path $1 has a part .., which is not allowed: write where it leads to." ;;
    esac
    case $1 in
        *[[:cntrl:]]*) die 1 "The path in --$2 holds control characters." ;;
    esac
}

read_options() {
    addr= remote= local= user= pass= check=0
    while [ $# -gt 0 ]; do
        case $1 in
            --*=*) option=${1%%=*} value=${1#*=}; shift ;;
            --*) [ $# -gt 1 ] || die 1 "The option $1 needs a value."
                option=$1 value=$2; shift 2 ;;
            *) die 1 "Unexpected argument: $1" ;;
        esac
        case $option in
            --addr) addr=$value ;;
            --remotedir) remote=$value ;;
            --dir) local=$value ;;
            --user) user=$value ;;
            --pass) pass=$value ;;
            --check) check=$value ;;
            *) die 1 "Unknown option: $option" ;;
        esac
    done
    case $addr in
        \[*\]:*) host=${addr%]:*} host=${host#[} port=${addr##*]:} ;;
        \[*\]) host=${addr#[} host=${host%]} port=22 ;;
        *:*:*) host=$addr port=22 ;;
        *:*) host=${addr%:*} port=${addr##*:} ;;
        *) host=$addr port=22 ;;
    esac
    case $host in
        ''|-*|*[!A-Za-z0-9._:-]*) die 1 "--addr is not host[:port]: $addr" ;;
    esac
    case $port in
        ''|*[!0-9]*) die 1 "--addr is not host[:port]: $addr" ;;
    esac
    case $user in
        -*|*[!A-Za-z0-9._@\\-]*) die 1 "--user holds characters that no user name has." ;;
    esac
    check_path "$remote" remotedir
    check_path "$local" dir
    case $local in -*) local=./$local ;; esac
    command -v scp >/dev/null 2>&1 ||
        die 1 "The program scp is missing on the runner: install the package openssh-client."
    # As messages name the place, and as scp takes it.
    place=${user:+$user@}$host:$remote
    case $host in *:*) bracketed="[$host]" ;; *) bracketed=$host ;; esac
    # An address of this form is decoded by scp.
    source="scp://${user:+$user@}$bracketed:$port/$(printf '%s' "$remote" | sed 's/%/%25/g')"
}

# Copies, with the password by way of a file: copy FROM TO WHAT
copy() {
    errors=$(mktemp) || exit 1
    trap 'rm -f "$errors"' EXIT
    if [ -n "$pass" ]; then
        export AUTOEXEC_PASSWORD_FILE="$pass" SSH_ASKPASS="$lib/askpass" SSH_ASKPASS_REQUIRE=force
        export DISPLAY="${DISPLAY:-none}"
        batch=no
    else
        batch=yes
    fi
    # The executor's own list of host keys: one that has changed is refused, a new one is added.
    set -- "$1" "$2" "$3" -o StrictHostKeyChecking=accept-new
    [ -z "${AUTOEXEC_HOME-}" ] || set -- "$@" -o "UserKnownHostsFile=\"$AUTOEXEC_HOME/conf/known_hosts\"" -o HashKnownHosts=no
    from=$1 to=$2 what=$3
    shift 3
    scp -r -p "$@" -o "BatchMode=$batch" -o NumberOfPasswordPrompts=1 -o ConnectTimeout=30 \
        -o PreferredAuthentications="publickey,password,keyboard-interactive" \
        "$from" "$to" 2>"$errors" </dev/null
    status=$?
    if [ "$status" -ne 0 ]; then
        sed 's/^/scp: /' "$errors"
        if grep -q 'Permission denied (' "$errors"; then
            printf 'ERROR: %s@%s login failed check username and password.\n' "${user:-$(id -un)}" "$host"
        fi
        die "$status" "$what failed."
    fi
    printf 'INFO: %s success.\n' "$what"
}

# Writes the output filePath.
put_out() {
    [ -z "${OUTPUT_PATH-}" ] || printf '{"filePath": %s}\n' "$(json_string "$1")" > "$OUTPUT_PATH"
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
