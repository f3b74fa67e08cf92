# The shell functions of the replaced system, for scripts that source common.sh.

# The directory of a script: GET_DIRNAME PATH
GET_DIRNAME() {
    (cd "$(dirname "${1:-$0}")" && pwd)
}

# Prints a command line, runs it and ends the script when it fails.
DO_CMD() {
    printf 'INFO: Execute-> %s\n' "$*"
    if [ $# -eq 1 ]; then
        eval "$1"
    else
        "$@"
    fi
    autoexec_code=$?
    if [ "$autoexec_code" -ne 0 ]; then
        printf 'ERROR: Execute %s failed, exit code:%s.\n' "$*" "$autoexec_code"
        exit "$autoexec_code"
    fi
}

# Runs a command line as another user: SUDO_CMD USER COMMAND...
SUDO_CMD() {
    autoexec_user=$1
    shift
    printf 'INFO: Execute as %s-> %s\n' "$autoexec_user" "$*"
    if [ "$(id -un)" = "$autoexec_user" ]; then
        sh -c "$*"
    elif [ "$(id -u)" = 0 ]; then
        su - "$autoexec_user" -c "$*"
    else
        sudo -n -u "$autoexec_user" -i sh -c "$*"
    fi
    autoexec_code=$?
    if [ "$autoexec_code" -ne 0 ]; then
        printf 'ERROR: Execute %s as %s failed, exit code:%s.\n' "$*" "$autoexec_user" "$autoexec_code"
        exit "$autoexec_code"
    fi
}
