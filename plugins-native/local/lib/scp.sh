# What fileops/scpget and scpput share. Source it: . "$(dirname "$0")/../lib/scp.sh"
#
# Sets $host, $port, $user, $remote, $local, $pass (a file that holds the password) and $check from the options.

. "$(dirname "$0")/../lib/login.sh"

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

# Copies: copy FROM TO WHAT
copy() {
    errors=$(mktemp) || exit 1
    trap 'rm -f "$errors"' EXIT
    with_login scp -r -p "$1" "$2" 2>"$errors" </dev/null
    status=$?
    if [ "$status" -ne 0 ]; then
        sed 's/^/scp: /' "$errors"
        tell_refused "$errors"
        die "$status" "$3 failed."
    fi
    printf 'INFO: %s success.\n' "$3"
}

# Writes the output filePath.
put_out() {
    [ -z "${OUTPUT_PATH-}" ] || printf '{"filePath": %s}\n' "$(json_string "$1")" > "$OUTPUT_PATH"
}
